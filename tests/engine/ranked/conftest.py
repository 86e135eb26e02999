"""A collection of a few notes, each with a vector of its own direction and a text."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import vdb
from vdb.client import Collection
from vdb.local import Database

TEXTS = {
    "pump": "the hydraulic pump leaks oil after a cold start",
    "valve": "a valve that sticks is cleaned with oil",
    "gasket": "replace the gasket before winter, it is cheap",
    "engine": "the engine coughs in cold mornings",
    "manual": "see page nine of the manual",
}
DIMENSION = 8


def direction(i: int) -> NDArray[np.float32]:
    """The unit vector along axis i."""
    unit: NDArray[np.float32] = np.eye(DIMENSION, dtype=np.float32)[i]
    return unit


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with vdb.open(tmp_path, compile_kernels=False) as opened:
        yield opened


@pytest.fixture
def notes(database: Database) -> Collection:
    """Five notes of tenant acme; `manual` has no vector."""
    database.create_collection("notes", DIMENSION, text={"fields": {"text": 1}})
    notes = database.as_tenant("acme").collection("notes")
    ids = list(TEXTS)
    vectors = [direction(i) if name != "manual" else None for i, name in enumerate(ids)]
    notes.upsert(ids, vectors, [{"text": TEXTS[name], "kind": "a" if i % 2 else "b"} for i, name in enumerate(ids)])
    return notes
