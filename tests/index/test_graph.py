"""The graph over rows, where hnswlib is installed: rows dropped, put again, more of them than there was room for."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from vdb.index.graph import RowGraph, is_available

pytestmark = pytest.mark.skipif(not is_available(), reason="hnswlib is not installed")

D = 24


def unit(rng: np.random.Generator, n: int) -> np.ndarray:
    vectors = rng.standard_normal((n, D), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def rows(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.uint32)


def found(graph: RowGraph, query: np.ndarray, m: int) -> list[int]:
    near = graph.nearest(query, m, 10)
    assert near is not None
    assert near.dtype == np.uint32
    return [int(row) for row in near]


def test_the_nearest_rows_are_found_beyond_the_room_there_was(rng: np.random.Generator) -> None:
    vectors = unit(rng, 1_000)
    graph = RowGraph(D, 100)
    for first in range(0, 1_000, 90):
        part = np.arange(first, min(first + 90, 1_000), dtype=np.uint32)
        graph.put(part + 5_000, vectors[part])
    assert (graph.n_rows, graph.n_dropped) == (1_000, 0)
    n_first = 0
    for query in unit(rng, 100):
        near = found(graph, query, 20)
        assert len(set(near)) == 20
        n_first += near[0] == 5_000 + int(np.argmax(vectors @ query))
    assert n_first >= 99


def test_dropped_rows_are_not_found_and_more_than_live_may_be_asked_for(rng: np.random.Generator) -> None:
    vectors = unit(rng, 50)
    graph = RowGraph(D, 50)
    assert found(graph, vectors[0], 5) == []
    graph.put(np.arange(50, dtype=np.uint32), vectors)
    graph.drop(np.arange(0, 50, 2, dtype=np.uint32))
    graph.drop(rows(0, 2, 77))
    assert (graph.n_rows, graph.n_dropped) == (25, 25)
    assert sorted(found(graph, vectors[0], 200)) == list(range(1, 50, 2))
    graph.drop(np.arange(50, dtype=np.uint32))
    assert found(graph, vectors[0], 5) == []


def test_a_row_that_is_put_again_has_its_new_vector(rng: np.random.Generator) -> None:
    vectors = unit(rng, 60)
    graph = RowGraph(D, 10)
    graph.put(np.arange(30, dtype=np.uint32), vectors[:30])
    graph.drop(rows(3))
    graph.put(rows(3, 4, 29), vectors[30:33])
    for row, vector in ((3, vectors[30]), (4, vectors[31]), (29, vectors[32])):
        assert found(graph, vector, 1) == [row]
    assert (graph.n_rows, graph.n_dropped) == (30, 3)
    assert sorted(found(graph, vectors[40], 30)) == list(range(30))


@contextmanager
def being_filled(graph: RowGraph) -> Iterator[None]:
    with graph._lock:
        yield


def test_a_search_does_not_wait_for_a_graph_that_is_being_filled(rng: np.random.Generator) -> None:
    graph = RowGraph(D, 4)
    graph.put(rows(1), unit(rng, 1))
    with being_filled(graph):
        assert graph.nearest(unit(rng, 1)[0], 1, 0) is None


def test_searches_beside_insertions_find_what_lasts(rng: np.random.Generator) -> None:
    vectors = unit(rng, 2_000)
    graph = RowGraph(D, 16)
    graph.put(np.arange(200, dtype=np.uint32), vectors[:200])
    is_over, missed, n_asked = threading.Event(), [], [0]

    def read() -> None:
        while not is_over.is_set():
            row = n_asked[0] % 200
            near = graph.nearest(vectors[row], 5, 1)
            if near is not None:
                n_asked[0] += 1
                if row not in near.tolist():
                    missed.append(row)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for first in range(200, 2_000, 50):
        graph.put(np.arange(first, first + 50, dtype=np.uint32), vectors[first : first + 50])
        graph.drop(np.arange(first, first + 25, dtype=np.uint32))
    is_over.set()
    for reader in readers:
        reader.join()
    assert n_asked[0] > 10
    assert len(missed) <= n_asked[0] // 100


def test_it_says_about_what_it_takes() -> None:
    assert 1_000 * (4 * D + 128) < RowGraph(D, 1_000).nbytes - (5 << 19) < 1_000 * (4 * D + 200)
