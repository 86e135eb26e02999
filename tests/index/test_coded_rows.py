"""Codes of rows that come one at a time and many at once, and move to larger arrays."""

import numpy as np
import pytest

from vdb.index.coded_rows import CodedRows


def unit(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    vectors = rng.standard_normal((n, d), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


@pytest.mark.parametrize("d", [1, 3, 64, 65, 384])
def test_candidates_hold_the_nearest_however_the_rows_came(rng: np.random.Generator, d: int) -> None:
    vectors, query = unit(rng, 500, d), unit(rng, 1, d)[0]
    coded = CodedRows(d, 300)
    coded.put(0, vectors[:200])
    for row in range(200, 300):
        coded.put(row, vectors[row : row + 1])
    coded = coded.grown(600, 300)
    coded.put(300, vectors[300:])
    found = coded.nearest(query, 500, np.ones(600, np.uint32), 100)
    assert len(found) == 100
    similarities = vectors @ query
    assert similarities[found].max() >= np.sort(similarities)[-3 if d < 3 else -1] - 1e-6


def test_only_named_live_rows_are_candidates(rng: np.random.Generator) -> None:
    vectors = unit(rng, 100, 16)
    coded = CodedRows(16, 100)
    coded.put(0, vectors)
    stamps = (np.arange(100) % 3).astype(np.uint32)
    assert sorted(coded.nearest(vectors[0], 50, stamps, 100).tolist()) == list(range(1, 50, 3))
    named = np.array([90, 91, 4, 0], np.uint32)
    assert sorted(coded.nearest(vectors[0], named, stamps, 100).tolist()) == [4, 91]
    assert len(coded.nearest(vectors[0], 0, stamps, 5)) == 0


def test_a_row_of_384_components_takes_200_bytes() -> None:
    assert CodedRows(384, 1_000).nbytes == 200_000
