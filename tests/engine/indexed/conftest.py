"""The indexer's own thread stays away: tests call `work`."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.indexed.books import Books, indexed_books
from tests.engine.indexed.tuning_calls import COSTS
from vdb.engine import plan_lists
from vdb.engine.indexer import Indexer
from vdb.engine.indexing import Indexing
from vdb.engine.plan_lists import ListEffort
from vdb.index.spann import index as spann_index


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Indexer, "start", lambda self: None)


@pytest.fixture(autouse=True)
def maps_small_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a server maps those of a collection of some size."""
    monkeypatch.setattr("vdb.storage.arrays.LEAST_MAPPED_BYTES", 1)


@pytest.fixture
def small_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """On disk some late rows make a fold due, and searches leave nothing out."""
    monkeypatch.setattr(spann_index, "LEAST_FOLD", 24)
    monkeypatch.setattr(plan_lists, "LISTS", ((0.99, ListEffort(1 << 30, 1_000, float("inf"), float("inf"))),))


@pytest.fixture
def measures_small_collections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Collections of a few rows are tuned, by costs that are not timed."""
    monkeypatch.setattr("vdb.engine.choosing.measured_costs", lambda *_: COSTS)

    def least(*given: Any, **named: Any) -> Indexing:
        return replace(Indexing(*given, **named), least_tuned=50)

    monkeypatch.setattr("vdb.engine.engine.Indexing", least)


@pytest.fixture
def books(tmp_path: Path, rng: np.random.Generator, measures_small_collections: None) -> Iterator[Books]:
    with indexed_books(tmp_path / "data", rng) as books:
        yield books
