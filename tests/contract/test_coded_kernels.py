"""`scan_codes` and `compare_rows`, compiled and in NumPy: the same rows, and those that a plain comparison finds."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vdb.index.leanvec.codes import Codes, decode, encode
from vdb.kernels import Kernels, cpu_kernels, reference_kernels
from vdb.kernels.cpu.coded import BLOCK_ROWS, RUN_ROWS
from vdb.kernels.reference import LARGEST, Float32s

EVERY: NDArray[np.uint32] = np.empty(0, np.uint32)


@pytest.fixture(scope="module", params=["numpy", "cpu"])
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return reference_kernels() if request.param == "numpy" else cpu_kernels()


def as_arrays(coded: Codes) -> tuple[NDArray[np.uint8], Float32s]:
    half = coded.codes.shape[1]
    codes = np.full((len(coded), -(-half // 32) * 32), 255, np.uint8)  # what follows the codes must not count
    codes[:, :half] = coded.codes
    return codes, np.stack((coded.step, coded.bias))


def scan(kernels: Kernels, query: Any, arrays: Any, stamps: Any, rows: Any, n: int, m: int) -> dict[int, float]:
    score, row = np.full(m, np.nan, np.float32), np.full(m, 2**32 - 1, np.uint32)
    n_found = kernels.scan_codes(query, arrays[0], arrays[1], stamps, rows, n, score, row)
    assert np.isnan(score[n_found:]).all()
    assert len(set(row[:n_found].tolist())) == n_found
    return dict(zip(row[:n_found].tolist(), score[:n_found].tolist(), strict=True))


def make(rng: np.random.Generator, n: int, d: int) -> tuple[Float32s, Float32s]:
    """Rows and a query; some rows zero or alike."""
    vectors = rng.standard_normal((n, d)).astype(np.float32)
    if n > 3:
        vectors[n // 2], vectors[n - 1] = vectors[0], 0
    return vectors, rng.standard_normal(d).astype(np.float32)


@given(
    seed=st.integers(0, 2**32),
    n=st.one_of(st.integers(0, 70), st.integers(BLOCK_ROWS - 2, BLOCK_ROWS + RUN_ROWS + 9)),
    d=st.integers(1, 400),
    m=st.integers(0, 90),
    is_listed=st.booleans(),
)
@example(seed=27, n=27, d=191, m=5, is_listed=False)  # their sums of the query's components differed
@settings(max_examples=max(60, settings().max_examples))
def test_compiled_kernels_and_twins_keep_the_rows_of_least_score(
    seed: int, n: int, d: int, m: int, is_listed: bool
) -> None:
    rng = np.random.default_rng(seed)
    vectors, query = make(rng, n, d)
    coded = encode(vectors, 4)
    stamps = rng.integers(0, 4, n).astype(np.uint32)
    rows = rng.permutation(n).astype(np.uint32)[: rng.integers(0, n + 1)] if is_listed else EVERY
    n_asked = len(rows) if is_listed else int(rng.integers(0, n + 1))
    asked = rows if is_listed else np.arange(n_asked)
    live = asked[stamps[asked] % 2 == 1]
    meant = (-(decode(coded) @ query)).tolist()
    rounding = float(np.abs(query).max() / 127 * np.abs(vectors).sum(axis=1).max(initial=0)) + 1e-4
    by_both: list[dict[int, float]] = []
    for kernels in (reference_kernels(), cpu_kernels()):
        found = scan(kernels, query, as_arrays(coded), stamps, rows, n_asked, m)
        assert len(found) == min(m, len(live))
        assert set(found) <= set(live.tolist())
        for row, score in found.items():
            assert score == pytest.approx(meant[row], abs=rounding)
        by_both.append(found)
    bound = rounding_of_scores(query, coded)
    for row in by_both[0].keys() & by_both[1].keys():
        assert abs(by_both[0][row] - by_both[1][row]) <= bound[row]
    ranked = [sorted(found.values()) for found in by_both]  # of near ties either may be kept
    np.testing.assert_allclose(ranked[0], ranked[1], rtol=0, atol=bound.max(initial=0))


def rounding_of_scores(query: Float32s, coded: Codes) -> NDArray[np.float64]:
    """What two float32 computations of each row's score may differ by at most, in any order. A score is a sum of two
    terms, and the sum of the query's components is the same number to both: each side rounds each term twice and
    their sum once, by half a unit."""
    of_biases = np.abs(coded.bias.astype(float) * query.sum(dtype=float))
    of_levels = np.abs(decode(coded).astype(float) @ query) + of_biases
    return np.asarray(3 * float(np.finfo(np.float32).eps) * (of_levels + of_biases), np.float64)


@pytest.mark.parametrize("d", [191, 400])
def test_the_sum_of_a_query_is_the_same_to_both_in_whatever_order_it_is_taken(d: int) -> None:
    for seed in range(100):
        vectors, query = make(np.random.default_rng(seed), 27, d)
        coded = encode(vectors, 4)
        coded.step[:], coded.bias[:] = 0, 1  # scores are −Σ query
        arrays, live = as_arrays(coded), np.ones(27, np.uint32)
        by_both = [scan(kernels, query, arrays, live, EVERY, 27, 5) for kernels in (reference_kernels(), cpu_kernels())]
        total = np.float32(-query.sum(dtype=float))
        for found in by_both:
            np.testing.assert_array_max_ulp(
                np.array(list(found.values()), np.float32), np.full(5, total, np.float32), maxulp=1
            )


def test_the_nearest_by_vector_are_among_the_candidates_by_code(kernels: Kernels, rng: np.random.Generator) -> None:
    vectors, query = make(rng, 2_000, 96)
    found = scan(kernels, query, as_arrays(encode(vectors, 4)), np.ones(2_000, np.uint32), EVERY, 2_000, 64)
    assert set(np.argsort(-(vectors @ query))[:8].tolist()) <= set(found)


def test_a_row_that_is_half_written_does_no_harm(kernels: Kernels, rng: np.random.Generator) -> None:
    vectors, query = make(rng, 200, 64)
    arrays = as_arrays(encode(vectors, 4))
    arrays[1][:, 7] = np.nan
    arrays[1][:, 8] = np.inf, -np.inf
    arrays[1][:, 9] = LARGEST
    found = scan(kernels, query, arrays, np.ones(200, np.uint32), EVERY, 200, 20)
    best = np.argsort(-(vectors @ query))
    assert set(best[~np.isin(best, (7, 8, 9))][:5].tolist()) <= set(found)
    assert np.isfinite(list(found.values())).all()


def test_read_only_arrays_are_accepted(kernels: Kernels, rng: np.random.Generator) -> None:
    vectors, query = make(rng, 100, 64)
    arrays, stamps, rows = as_arrays(encode(vectors, 4)), np.ones(100, np.uint32), np.arange(100, dtype=np.uint32)
    for array in (vectors, query, *arrays, stamps, rows):
        array.setflags(write=False)
    assert len(scan(kernels, query, arrays, stamps, rows, 100, 20)) == 20
    kernels.compare_rows(query, vectors, rows, np.empty(100, np.float32))


@given(seed=st.integers(0, 2**32), n=st.integers(0, 40), d=st.integers(1, 400))
def test_listed_rows_are_compared_in_their_order(seed: int, n: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-3, 4, (50, d)).astype(np.float32)
    query = rng.integers(-3, 4, d).astype(np.float32)
    rows = rng.integers(0, 50, n).astype(np.uint32)
    for kernels in (reference_kernels(), cpu_kernels()):
        similarity = np.empty(n, np.float32)
        kernels.compare_rows(query, vectors, rows, similarity)
        np.testing.assert_array_equal(similarity, vectors[rows] @ query)


def test_real_valued_products_agree_with_float64(kernels: Kernels, rng: np.random.Generator) -> None:
    vectors, query = make(rng, 100, 384)
    rows = rng.permutation(100).astype(np.uint32)
    similarity = np.empty(100, np.float32)
    kernels.compare_rows(query, vectors, rows, similarity)
    np.testing.assert_allclose(similarity, vectors[rows].astype(float) @ query.astype(float), rtol=1e-5, atol=1e-4)
