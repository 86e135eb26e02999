"""`search_cells` of many rows, and `residual_of`: compiled kernels against twins and the words of the contract."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.readings import ENCODINGS, HUGE, blurred, make_case, only_mine, search
from vdb.index.curator.model import Encoding, Form, coded_rows
from vdb.kernels import METRIC_NUMBER, Kernels, cpu_kernels, reference_kernels
from vdb.kernels.reference import COSINE, L2
from vdb.kernels.reference_cells import LVQ8
from vdb.kernels.tables import MODEL, Table

METRICS = sorted(METRIC_NUMBER.values())
DIMENSIONS = (1, 2, 31, 33, 384)


@pytest.fixture(scope="module", params=["numpy", "cpu"])
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return reference_kernels() if request.param == "numpy" else cpu_kernels()


@given(
    seed=st.integers(0, 2**32),
    n=st.integers(600, 3_000),
    d=st.sampled_from([2, 33, 40]),
    metric=st.sampled_from(METRICS),
    encoding=st.sampled_from(ENCODINGS),
    budget=st.sampled_from([0, 500, HUGE]),
    k=st.integers(1, 30),
    m=st.sampled_from([0, 30, 40, 600]),
)
@settings(max_examples=max(60, settings().max_examples // 5))
def test_of_many_rows_the_same_are_kept(
    seed: int, n: int, d: int, metric: int, encoding: int, budget: int, k: int, m: int
) -> None:
    """So many that a sample of their scores says which are looked at first."""
    rng = np.random.default_rng(seed)
    case = blurred(rng, make_case(rng, n, d, metric, encoding, budget, k, m))
    distance, row, statistics = search(cpu_kernels(), case)
    twin_distance, twin_row, twin_statistics = search(reference_kernels(), case)
    np.testing.assert_array_equal(statistics, twin_statistics)
    np.testing.assert_array_equal(distance, twin_distance)
    is_alone = distance != np.append(distance[1:], np.nan)
    is_alone[1:] &= is_alone[:-1]  # of several at one distance any may stay at the end
    np.testing.assert_array_equal(row[is_alone], twin_row[is_alone])


@pytest.mark.parametrize("n_alive", [0, 5, 16])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_rows_beyond_the_nearest_are_kept_where_those_are_dead(
    kernels: Kernels, rng: np.random.Generator, encoding: int, n_alive: int
) -> None:
    n = 2_000
    case = only_mine(make_case(rng, n, 33, L2, encoding, HUGE, k=10, m=40), np.arange(n))
    far = np.argsort([case.true_distance(row) for row in range(n)], kind="stable")[n - n_alive :]
    case.world.dead_at[:] = 0
    case.world.dead_at[far] = 0xFFFF_FFFF
    distance, row, statistics = search(kernels, case)
    wanted = sorted(case.true_distance(row) for row in far)[:10]
    np.testing.assert_allclose(distance[: len(wanted)], wanted)
    assert (row[len(wanted) :] == -1).all() and set(row[: len(wanted)].tolist()) <= set(far.tolist())
    assert statistics[2] == n


def test_the_residual_of_a_query_is_that_of_its_twin(rng: np.random.Generator) -> None:
    for d in DIMENSIONS:
        for scale in (1e-30, 1.0, 1e30):
            kept = np.linalg.qr(rng.standard_normal((d, d)))[0][: max(1, d // 2)].astype(np.float32)
            model = Table(
                MODEL,
                (
                    coded_rows(kept, Encoding(Form.LVQ8, d)),
                    np.zeros((1, 40), np.uint8),
                    np.zeros(1, np.float32),
                ),
                (COSINE, LVQ8, 32),
            )
            query = (rng.standard_normal(d) * scale).astype(np.float32)
            compiled, twin = (made().residual_of(query, model) for made in (cpu_kernels, reference_kernels))
            assert compiled == pytest.approx(twin, abs=1e-6)
            if scale == 1.0:
                wanted = 1 - float(((kept.astype(float) @ query) ** 2).sum()) / float((query.astype(float) ** 2).sum())
                assert compiled == pytest.approx(max(0.0, wanted), abs=0.02)
    none = Table(MODEL, (np.zeros((0, 40), np.uint8), model.arrays[1], model.arrays[2]), (COSINE, LVQ8, 32))
    assert cpu_kernels().residual_of(query, none) == reference_kernels().residual_of(query, none) == 0.0
