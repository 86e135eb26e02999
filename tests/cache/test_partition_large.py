"""Partitions that choose candidates by codes and by a graph answer as small ones do, whatever the graph does."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cache.plain_graph import PlainGraph, settle, wait, with_graph
from tests.cache.test_partition import Churn, check, unit
from vdb.cache.candidates import Indexes
from vdb.cache.partition import CANDIDATES_PER_HIT, LEAST_CANDIDATES, Partition
from vdb.errors import InternalError
from vdb.index.coded_rows import CodedRows
from vdb.index.graph import RowGraph, is_available
from vdb.kernels.reference import Float32s, UInt32s

ROOT = Path(__file__).parents[2]
D = 32
CODED = Indexes(make_codes=CodedRows)


@pytest.fixture(autouse=True)
def coded_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vdb.cache.rows.CODED_FROM_BYTES", 1)
    monkeypatch.setattr("vdb.cache.graph_keeper.FILLED_FROM_LATE", 16)


def filled(rng: np.random.Generator, n: int, indexes: Indexes) -> tuple[Partition, dict[int, Float32s]]:
    vectors = unit(rng, n, D)
    return Partition.bulk(np.arange(n, dtype=np.uint64), vectors, indexes), dict(enumerate(vectors.copy()))


@given(
    steps=st.lists(st.tuples(st.sampled_from(["add", "remove", "search", "settle"]), st.integers(0, 600))),
    seed=st.integers(0, 2**32),
    n_first=st.sampled_from([0, 190, 400]),
    has_graph=st.booleans(),
)
@settings(max_examples=max(60, settings().max_examples))
def test_any_sequence_of_writes_leaves_what_a_dict_holds(
    steps: list[tuple[str, int]], seed: int, n_first: int, has_graph: bool
) -> None:
    rng = np.random.default_rng(seed)
    partition, entries = filled(rng, n_first, with_graph([]) if has_graph else CODED)
    for what, number in steps:
        for i in range(number, number + 40):
            if what == "add":
                entries[i] = unit(rng, 1, D)[0]
                partition.add(i, entries[i])
            elif what == "remove":
                assert partition.remove(i) == (entries.pop(i, None) is not None)
        if what == "settle":
            settle(partition)
        check(partition, entries, unit(rng, 1, D)[0], 5)
    partition.close()


@pytest.mark.parametrize("k", [1, 16, 150, 299, 1000])
def test_any_number_of_neighbours_can_be_asked_for(rng: np.random.Generator, k: int) -> None:
    partition, entries = filled(rng, 300, with_graph([]))
    settle(partition)
    check(partition, entries, unit(rng, 1, D)[0], k)


def test_the_graph_is_asked_once_it_is_there_and_told_what_is_late(rng: np.random.Generator) -> None:
    made: list[PlainGraph] = []
    partition, entries = filled(rng, 300, with_graph(made))
    settle(partition)
    assert set(made[0].vectors) == set(range(300))
    for i in range(300, 320):
        entries[i] = unit(rng, 1, D)[0]
        partition.add(i, entries[i])
        check(partition, entries, entries[i], 16)
    assert partition.remove(7)
    del entries[7]
    check(partition, entries, unit(rng, 1, D)[0], 16)
    assert made[0].n_asked >= 21
    for i in range(400, 420):
        entries[i] = unit(rng, 1, D)[0]
        partition.add(i, entries[i])
    for i in range(100, 140):
        assert partition.remove(i)
        del entries[i]
    settle(partition)
    assert abs(made[0].n_rows - len(entries)) < 16
    assert len(made) == 1


def test_what_is_written_while_a_graph_is_built_is_neither_lost_nor_found_dead(rng: np.random.Generator) -> None:
    made: list[PlainGraph] = []
    indexes = with_graph(made)

    def held_up(dimension: int, capacity: int) -> PlainGraph:
        graph = PlainGraph(dimension, capacity)
        graph.gate.clear()
        made.append(graph)
        return graph

    partition, entries = filled(
        rng, 300, Indexes(make_codes=CodedRows, make_graph=held_up, graph_from_rows=indexes.graph_from_rows)
    )
    wait(lambda: bool(made))
    for i in range(100):  # rows 0–99 end, and are used again by others
        assert partition.remove(i)
        del entries[i]
    for i in range(1_000, 1_200):
        entries[i] = unit(rng, 1, D)[0]
        partition.add(i, entries[i])
        check(partition, entries, entries[i], 5)
    assert made[0].n_asked == 0
    made[0].gate.set()
    settle(partition)
    for number in (150, 299, 1_000, 1_050, 1_199):
        check(partition, entries, entries[number], 5)
    assert made[0].n_asked == 5


def test_removed_entries_crowd_no_living_ones_out(rng: np.random.Generator) -> None:
    made: list[PlainGraph] = []
    partition, entries = filled(rng, 400, with_graph(made))
    settle(partition)
    made[0].gate.clear()
    query = unit(rng, 1, D)[0]
    k = LEAST_CANDIDATES // CANDIDATES_PER_HIT
    for number in partition.search(query, 2 * LEAST_CANDIDATES)[0].tolist():
        assert partition.remove(number)
        del entries[number]
        check(partition, entries, query, k)
    made[0].gate.set()


def test_a_graph_of_dropped_rows_is_built_anew(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vdb.cache.graph_keeper.BLOCK_ROWS", 32)
    made: list[PlainGraph] = []
    partition, entries = filled(rng, 300, with_graph(made))
    for i in range(300, 1_500):
        entries[i] = unit(rng, 1, D)[0]
        partition.add(i, entries[i])
        assert partition.remove(i - 300)
        del entries[i - 300]
        if i % 50 == 0:
            settle(partition)
            check(partition, entries, entries[i], 5)
    settle(partition)
    assert len(made) > 1
    assert made[-1].n_dropped <= made[-1].n_rows + 64


def test_a_partition_that_shrinks_gives_its_graph_up(rng: np.random.Generator) -> None:
    made: list[PlainGraph] = []
    partition, entries = filled(rng, 400, with_graph(made))
    settle(partition)
    most = partition.nbytes
    for i in range(350):
        assert partition.remove(i)
        del entries[i]
    assert partition.nbytes < most / 4
    check(partition, entries, unit(rng, 1, D)[0], 16)
    assert partition.is_settled


class Overtaken(PlainGraph):
    """Something is written while it searches, once."""

    def __init__(self, dimension: int, capacity: int) -> None:
        super().__init__(dimension, capacity)
        self.writes: list[Callable[[], object]] = []

    def nearest(self, query: Float32s, m: int, patience_s: float) -> UInt32s | None:
        near = super().nearest(query, m, patience_s)
        if self.writes:
            self.writes.pop()()
        return near


@pytest.mark.parametrize("n_added", [0, 300])
@pytest.mark.parametrize("n_removed", [1, 350])
def test_a_search_that_is_overtaken_by_writes_finds_nothing_removed(
    rng: np.random.Generator, n_added: int, n_removed: int
) -> None:
    made: list[Overtaken] = []

    def make(dimension: int, capacity: int) -> Overtaken:
        made.append(Overtaken(dimension, capacity))
        return made[-1]

    partition, entries = filled(rng, 400, Indexes(CodedRows, make, 200))
    settle(partition)
    query = unit(rng, 1, D)[0]
    near = [int(number) for number in partition.search(query, 400)[0]]

    def write() -> None:
        for i in range(1_000, 1_000 + n_added):
            entries[i] = unit(rng, 1, D)[0]
            partition.add(i, entries[i])
        for number in near[:n_removed]:
            assert partition.remove(number)
            del entries[number]

    made[0].writes.append(write)
    check(partition, entries, query, 5)
    assert made[0].writes == []
    check(partition, entries, query, 5)


class Rubbish(PlainGraph):
    """Answers with rows that ended, rows that never were, and the same ones again."""

    def nearest(self, query: Float32s, m: int, patience_s: float) -> UInt32s | None:
        near = super().nearest(query, m, patience_s)
        assert near is not None
        return np.concatenate((np.arange(20, dtype=np.uint32), near, np.array([10**6, 2**32 - 1], np.uint32)))


def test_rows_that_a_graph_makes_up_are_not_found(rng: np.random.Generator) -> None:
    partition, entries = filled(rng, 400, Indexes(CodedRows, Rubbish, 200))
    settle(partition)
    for i in range(10):
        assert partition.remove(i)
        del entries[i]
        check(partition, entries, unit(rng, 1, D)[0], 5)


def test_a_graph_that_fails_leaves_the_scan(rng: np.random.Generator, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(PlainGraph):
        def put(self, rows: UInt32s, vectors: Float32s) -> None:
            raise InternalError("no memory")

    partition, entries = filled(rng, 400, Indexes(CodedRows, Failing, 200))
    settle(partition)
    assert "its codes are scanned" in caplog.text
    for i in range(400, 500):
        entries[i] = unit(rng, 1, D)[0]
        partition.add(i, entries[i])
        check(partition, entries, entries[i], 5)


def test_a_closed_partition_answers_on(rng: np.random.Generator) -> None:
    made: list[PlainGraph] = []
    partition, entries = filled(rng, 300, with_graph(made))
    settle(partition)
    partition.close()
    for i in range(300, 400):
        entries[i] = unit(rng, 1, D)[0]
        partition.add(i, entries[i])
        check(partition, entries, entries[i], 5)
    assert made[0].n_asked == 0


needs_hnswlib = pytest.mark.skipif(not is_available(), reason="hnswlib is not installed")
HNSWLIB = pytest.param(Indexes(CodedRows, RowGraph, 320), id="hnswlib", marks=needs_hnswlib)


ENDING = """
import time
import numpy as np
from tests.cache.plain_graph import PlainGraph
from vdb.cache.candidates import Indexes
from vdb.cache.partition import Partition
from vdb.index.coded_rows import CodedRows
from vdb.index.graph import RowGraph

class Slow(PlainGraph):
    def put(self, rows, vectors):
        time.sleep(2)

vectors = np.random.default_rng(1).standard_normal((40_000, 64), dtype=np.float32)
partition = Partition.bulk(np.arange(40_000, dtype=np.uint64), vectors, Indexes(CodedRows, MADE, graph_from_rows=200))
time.sleep(0.3)
assert not partition.is_settled
"""


@pytest.mark.parametrize("made", ["Slow", pytest.param("RowGraph", marks=needs_hnswlib)])
def test_a_process_that_ends_while_a_graph_is_made_ends_well(made: str) -> None:
    command = [sys.executable, "-c", ENDING.replace("MADE", made)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "indexes", [pytest.param(CODED, id="codes"), pytest.param(with_graph([], 320), id="graph"), HNSWLIB]
)
def test_readers_beside_a_writer_see_whole_live_rows_only(rng: np.random.Generator, indexes: Indexes) -> None:
    partition = Partition(Churn.DIMENSION, indexes)
    Churn(partition, rng, rounds=40, n_lasting=300).run()
    partition.close()
