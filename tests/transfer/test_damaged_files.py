"""Bytes changed, cut and repeated at random: reading ends, in rows or in an InvalidArgument of one line."""

import random
from pathlib import Path

import numpy as np
import pytest

from tests.transfer.test_formats import D, N, _write
from vdb.errors import InvalidArgument
from vdb.transfer import Fields
from vdb.transfer.rows import Position
from vdb.transfer.source import open_source

NAMES = ["a.jsonl", "a.jsonl.gz", "a.npz", "a.hdf5", "a.parquet", "a.npy"]
N_CASES = 40
_WORDS = (b"\xff" * 8, b"\0" * 8, b"\xff" * 7 + b"\x7f", b"\x01\0\0\0\0\0\0\0")


def _damaged(whole: bytes, rng: random.Random) -> bytes:
    """A few faults; most of them in the heads, at either end."""
    data = bytearray(whole)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        edge = min(len(data), 4_000)
        place = rng.choice((rng.randrange(edge), len(data) - 1 - rng.randrange(edge), rng.randrange(len(data))))
        kind = rng.choice(("byte", "byte", "bit", "word", "cut", "repeat"))
        if kind == "byte":
            data[place] = rng.randrange(256)
        elif kind == "bit":
            data[place] ^= 1 << rng.randrange(8)
        elif kind == "word":
            data[place : place + 8] = rng.choice(_WORDS)
        elif kind == "cut":
            del data[max(place, 1) :]
        else:
            data[place:place] = data[place : place + rng.randrange(50)]
    return bytes(data)


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_gives_rows_or_a_clear_error(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((N, D)).astype(np.float32)
    file = tmp_path / name
    if name == "a.npy":
        np.save(file, vectors)
    else:
        _write(file, vectors)
    whole, chance, n_refused = file.read_bytes(), random.Random(7), 0
    for _ in range(N_CASES):
        file.write_bytes(_damaged(whole, chance))
        try:
            _read(file)
        except InvalidArgument as exc:
            assert "\n" not in exc.detail and len(exc.detail) < 500
            n_refused += 1
    assert n_refused or name == "a.jsonl"


def _read(file: Path) -> None:
    source = open_source(file, Fields())
    try:
        dimension = source.dimension() or D
        for _, rows in zip(
            range(1 if source.unit == "line" else 4), source.chunks(Position(), dimension), strict=False
        ):
            assert len(rows.vectors) == len(rows.ids) == len(rows.numbers)
            assert np.isfinite(rows.vectors).all()
    finally:
        source.close()
