"""Indexed collections on a device of plain arrays; the indexer's own thread stays away."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.engine.acceleration.shelf import Shelf
from tests.engine.indexed.books import indexed_books
from vdb.engine.indexer import Indexer
from vdb.kernels.numpy_device import NumpyDevice


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests say when an index is worked on."""
    monkeypatch.setattr(Indexer, "start", lambda self: None)


@pytest.fixture
def shelf(tmp_path: Path, rng: np.random.Generator) -> Iterator[Shelf]:
    """Books of three tenants, their index on the device."""
    device = NumpyDevice()
    with indexed_books(tmp_path / "data", rng, device=device) as books:
        shelf = Shelf(books, device)
        shelf.bring()
        yield shelf
