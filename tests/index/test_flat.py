"""The flat segment: what each reader sees while one writer puts, kills, grows and compacts."""

import threading

import numpy as np
import pytest

from vdb.index.base import Index
from vdb.index.flat import FlatSegment, FlatState, scan_cost_s
from vdb.kernels import Kernels, cpu_kernels, reference_kernels
from vdb.kernels.reference import Float32s, UInt8s
from vdb.types import Metric

D = 4


@pytest.fixture(scope="module", params=["numpy", "cpu"])
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return reference_kernels() if request.param == "numpy" else cpu_kernels()


def some_vectors(rng: np.random.Generator, n: int, d: int = D) -> Float32s:
    """Small integers; the first row, and some others, are zero."""
    vectors = rng.integers(-4, 5, (n, d)).astype(np.float32)
    vectors[:: max(1, n // 3)] = 0
    return vectors


def loaded(vectors: Float32s, metric: Metric = Metric.L2, sequence: int = 1) -> FlatSegment:
    n, d = vectors.shape
    return FlatSegment.bulk(
        d,
        metric,
        pids=np.arange(n, dtype=np.uint32),
        owners=np.full(n, 9, dtype=np.uint32),
        versions=np.full(n, sequence, dtype=np.int64),
        expires_at=np.zeros(n, dtype=np.int64),
        vectors=vectors,
        sequence=sequence,
    )


def seen(segment: FlatSegment, sequence: int, state: FlatState | None = None, now_ms: int = 0) -> dict[int, int]:
    """pid -> row of everything visible; fails on a point seen twice."""
    state = segment.state if state is None else state
    zero = np.zeros((1, segment.dimension), dtype=np.float32)
    rows = segment.search(state, zero, state.n_rows, sequence, now_ms, kernels=reference_kernels()).row[0]
    rows = rows[rows >= 0]
    pids = state.pids[rows].tolist()
    assert len(set(pids)) == len(pids)
    return dict(zip(pids, rows.tolist(), strict=True))


def vector_of(segment: FlatSegment, pid: int, sequence: int) -> list[float]:
    row = seen(segment, sequence)[pid]
    values: list[float] = segment.state.vectors[row].tolist()
    return values


def stated_distances(metric: Metric, query: Float32s, vectors: Float32s) -> list[float]:
    """Float64 distances as the API states them."""
    q, v = query.astype(float), vectors.astype(float)
    if metric is Metric.L2:
        return [float(np.linalg.norm(q - row)) for row in v]
    if metric is Metric.IP:
        return [float(-(q @ row)) for row in v]
    norms = [np.linalg.norm(q) * np.linalg.norm(row) for row in v]
    return [1 - float(q @ row / norm) if norm else 1.0 for row, norm in zip(v, norms, strict=True)]


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("n_queries", [1, 3])
def test_search_ranks_all_points_by_the_stated_distance(
    kernels: Kernels, rng: np.random.Generator, metric: Metric, n_queries: int
) -> None:
    vectors, queries = some_vectors(rng, 40), some_vectors(rng, n_queries)
    queries[-1] += 1
    segment = loaded(vectors, metric)
    hits = segment.search(segment.state, queries, 50, 1, 0, kernels=kernels)
    assert hits.distance.shape == hits.row.shape == (n_queries, 50)
    assert hits.distance.dtype == np.float32
    for query, distance, row in zip(queries, hits.distance, hits.row, strict=True):
        assert sorted(row[:40].tolist()) == list(range(40))
        np.testing.assert_allclose(distance[:40], np.sort(stated_distances(metric, query, vectors)), atol=1e-6)
        assert set(row[40:].tolist()) == {-1}
        assert np.all(np.isposinf(distance[40:]))


def test_a_zero_vector_lies_at_cosine_distance_one_from_everything(kernels: Kernels) -> None:
    segment = loaded(np.array([[0, 0], [1, 0], [-2, 0], [1, 1]], dtype=np.float32), Metric.COSINE)
    queries = np.array([[3, 0], [0, 0]], dtype=np.float32)
    hits = segment.search(segment.state, queries, 4, 1, 0, kernels=kernels)
    assert hits.row[0].tolist() == [1, 3, 0, 2]
    np.testing.assert_allclose(hits.distance[0], [0, 1 - 0.5**0.5, 1, 2], atol=1e-6)
    assert hits.row[1].tolist() == [0, 1, 2, 3]
    assert hits.distance[1].tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("metric", list(Metric))
def test_an_empty_segment_answers_with_padding(kernels: Kernels, metric: Metric) -> None:
    segment = FlatSegment(D, metric)
    hits = segment.search(segment.state, np.ones((2, D), dtype=np.float32), 3, 0, 0, kernels=kernels)
    assert np.all(hits.row == -1)
    assert np.all(np.isposinf(hits.distance))


def test_a_mask_admits_only_its_rows(kernels: Kernels, rng: np.random.Generator) -> None:
    segment = loaded(some_vectors(rng, 20))
    mask: UInt8s = np.zeros(20, dtype=np.uint8)
    mask[[3, 11]] = 1
    hits = segment.search(segment.state, np.zeros((1, D), dtype=np.float32), 5, 1, 0, mask, kernels)
    assert sorted(hits.row[0].tolist()) == [-1, -1, -1, 3, 11]


def test_an_expired_point_is_hidden_from_its_millisecond_on() -> None:
    segment = FlatSegment(D, Metric.L2)
    segment.put(1, 9, np.zeros(D, dtype=np.float32), version=1, expires_at=500)
    assert 1 in seen(segment, 1, now_ms=499)
    assert 1 not in seen(segment, 1, now_ms=500)


def test_a_replaced_point_shows_its_old_row_to_an_older_sequence(rng: np.random.Generator) -> None:
    segment = loaded(some_vectors(rng, 10))
    before = segment.state
    segment.put(4, 9, np.full(D, 7, dtype=np.float32), version=2)
    assert seen(segment, 1)[4] == 4
    assert seen(segment, 1, before)[4] == 4
    assert vector_of(segment, 4, 2) == [7] * D
    assert len(seen(segment, 1)) == len(seen(segment, 2)) == 10


def test_a_killed_point_is_gone_from_its_sequence_on(rng: np.random.Generator) -> None:
    segment = loaded(some_vectors(rng, 10))
    assert segment.kill(4, 2)
    assert not segment.kill(4, 3)
    assert not segment.kill(77, 3)
    assert 4 in seen(segment, 1)
    assert 4 not in seen(segment, 2)
    assert segment.n_live == 9


def test_a_replaced_point_is_killed_once(rng: np.random.Generator) -> None:
    segment = loaded(some_vectors(rng, 10))
    segment.put(4, 9, np.ones(D, dtype=np.float32), version=2)
    assert segment.kill(4, 3)
    assert not segment.kill(4, 4)
    assert [4 in seen(segment, s) for s in (2, 3, 4)] == [True, False, False]


def test_a_killed_point_can_be_put_again(rng: np.random.Generator) -> None:
    segment = loaded(some_vectors(rng, 10))
    segment.kill(9, 2)
    segment.put(9, 9, np.ones(D, dtype=np.float32), version=4)
    assert [9 in seen(segment, s) for s in (1, 2, 3, 4)] == [True, False, False, True]


def test_a_batch_inserts_and_replaces_with_an_owner_and_expiry_each(rng: np.random.Generator) -> None:
    segment = loaded(some_vectors(rng, 5))
    pids, owners = np.array([7, 3, 6], dtype=np.uint32), np.array([1, 2, 3], dtype=np.uint32)
    vectors = some_vectors(rng, 3)
    segment.put_many(pids, owners, vectors, 2, np.array([0, 900, 0], dtype=np.int64))
    rows = seen(segment, 2)
    assert sorted(rows) == [0, 1, 2, 3, 4, 6, 7]
    state = segment.state
    assert [int(state.owners[rows[pid]]) for pid in (7, 3, 6)] == [1, 2, 3]
    assert [state.vectors[rows[pid]].tolist() for pid in (7, 3, 6)] == vectors.tolist()
    assert 3 not in seen(segment, 2, now_ms=900)


def test_bulk_keeps_arrays_of_the_right_type_and_takes_read_only_ones(rng: np.random.Generator) -> None:
    vectors = np.frombuffer(some_vectors(rng, 6).tobytes(), dtype=np.float32).reshape(6, D)
    segment = loaded(vectors)
    assert np.shares_memory(segment.state.vectors, vectors)
    assert segment.nbytes == 6 * (4 * D + 4 + 4 + 8 + 8 + 8)
    segment.put(3, 9, np.ones(D, dtype=np.float32), version=2)
    assert vector_of(segment, 3, 2) == [1] * D


def test_points_loaded_out_of_order_are_found_again(rng: np.random.Generator) -> None:
    pids = np.array([5, 9, 2, 7], dtype=np.uint32)
    ones, zeros = np.ones(4, dtype=np.int64), np.zeros(4, dtype=np.int64)
    segment = FlatSegment.bulk(D, Metric.IP, pids, pids, ones, zeros, some_vectors(rng, 4), 1)
    for sequence, pid in enumerate(pids.tolist(), 2):
        assert segment.kill(pid, sequence)
    assert seen(segment, 5) == {}


def test_growth_keeps_the_rows_and_the_states_of_readers(rng: np.random.Generator) -> None:
    segment = loaded(some_vectors(rng, 3), Metric.COSINE)
    before = segment.state
    vectors = some_vectors(rng, 200)
    for i, vector in enumerate(vectors):
        segment.put(10 + i, 9, vector, version=2 + i)
    assert len(seen(segment, 1)) == len(seen(segment, 1, before)) == 3
    assert len(seen(segment, 101)) == 103
    assert [vector_of(segment, 10 + i, 201) for i in range(200)] == vectors.tolist()
    assert len(segment.state.pids) < 1.6 * 203


def test_compaction_drops_dead_rows_and_leaves_older_states_alone(rng: np.random.Generator) -> None:
    segment = loaded(some_vectors(rng, 200), Metric.COSINE)
    for pid in range(64):
        segment.kill(pid, 2)
    wanted = [segment.should_compact]
    segment.kill(64, 3)
    segment.put(100, 9, np.ones(D, dtype=np.float32), version=4)
    wanted.append(segment.should_compact)
    before = segment.state
    segment.compact(3)
    assert sorted(seen(segment, 3)) == sorted(seen(segment, 4)) == list(range(65, 200))
    assert vector_of(segment, 100, 4) == [1] * D
    assert len(seen(segment, 1, before)) == 200
    assert segment.state.floor_sequence == 3
    assert (segment.state.n_rows, segment.n_live) == (136, 135)
    assert [*wanted, segment.should_compact] == [False, True, False]


def test_writes_after_compaction_find_their_points(rng: np.random.Generator) -> None:
    segment = loaded(some_vectors(rng, 20))
    for pid in range(0, 20, 2):
        segment.put(pid, 9, np.full(D, pid, dtype=np.float32), version=2)
    segment.compact(2)
    assert segment.kill(4, 3)
    segment.put(5, 9, np.full(D, 50, dtype=np.float32), version=4)
    segment.put(30, 9, np.full(D, 30, dtype=np.float32), version=5)
    assert sorted(seen(segment, 5)) == [0, 1, 2, 3, *range(5, 20), 30]
    assert vector_of(segment, 5, 5) == [50] * D


def test_a_sequence_below_the_floor_is_our_own_bug(rng: np.random.Generator) -> None:
    segment = loaded(some_vectors(rng, 3), sequence=5)
    with pytest.raises(AssertionError):
        segment.search(segment.state, np.zeros((1, D), dtype=np.float32), 1, 4, 0)


def test_random_histories_look_right_at_every_sequence(rng: np.random.Generator) -> None:
    segment = FlatSegment(D, Metric.L2)
    model: list[dict[int, list[float]]] = [{}]
    for sequence in range(1, 400):
        now = dict(model[-1])
        pid = int(rng.integers(0, 30))
        if rng.random() < 0.4:
            segment.kill(pid, sequence)
            now.pop(pid, None)
        else:
            vector = rng.integers(-4, 5, D).astype(np.float32)
            segment.put(pid, 9, vector, sequence)
            now[pid] = vector.tolist()
        model.append(now)
        if segment.should_compact and rng.random() < 0.2:
            segment.compact(sequence)
    for sequence in range(segment.state.floor_sequence, 400):
        found = {pid: segment.state.vectors[row].tolist() for pid, row in seen(segment, sequence).items()}
        assert found == model[sequence]


def test_readers_see_whole_writes_while_one_thread_writes(kernels: Kernels) -> None:
    """Each write replaces all points; a reader at its sequence must find each point once, of that write alone."""
    n_points, n_writes = 20, 150
    segment = FlatSegment(D, Metric.IP)
    pids = np.arange(n_points, dtype=np.uint32)
    segment.put_many(pids, 9, np.zeros((n_points, D), dtype=np.float32), version=0)
    newest = [0]
    faults: list[str] = []

    def read() -> None:
        query = np.ones((1, D), dtype=np.float32)
        while newest[0] < n_writes and not faults:
            sequence = newest[0]
            state = segment.state
            if sequence < state.floor_sequence:
                continue
            hits = segment.search(state, query, 50, sequence, 0, kernels=kernels)
            if set(hits.distance[0, :n_points].tolist()) != {-4.0 * sequence} or hits.row[0, n_points] != -1:
                faults.append(f"at {sequence}: {hits.distance[0].tolist()}")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for version in range(1, n_writes + 1):
        segment.put_many(pids, 9, np.full((n_points, D), version, dtype=np.float32), version)
        newest[0] = version
        if version % 10 == 0:
            segment.compact(version)
    for reader in readers:
        reader.join(30)
    assert faults == []


def test_scan_cost_grows_with_rows_dimension_and_queries() -> None:
    assert scan_cost_s(0, 128, 1) < scan_cost_s(1_000, 128, 1) < scan_cost_s(1_000, 256, 1) < 200e-6
    assert scan_cost_s(10_000, 128, 1) < scan_cost_s(10_000, 128, 4) < 4 * scan_cost_s(10_000, 128, 1)


def test_a_flat_segment_is_an_index() -> None:
    index: Index[FlatState] = FlatSegment(D, Metric.L2)
    assert index.nbytes == 0
