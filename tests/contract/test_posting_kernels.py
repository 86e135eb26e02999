"""Kernels of postings: both implementations against sums made one by one, to the last bit."""

import numpy as np
import pytest

from vdb.kernels import Kernels, cpu_kernels, reference_kernels
from vdb.kernels.reference_postings import UInt64s

NONE = np.empty(0, np.uint32)


@pytest.fixture(scope="module", params=["numpy", "cpu"])
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return reference_kernels() if request.param == "numpy" else cpu_kernels()


class Lists:
    """Postings as kernels take them."""

    def __init__(self, rng: np.random.Generator, sizes: list[int], n_pids: int) -> None:
        parts = []
        for size in sizes:
            pids = np.sort(rng.choice(n_pids, size, replace=False)).astype(np.uint64)
            length, frequency = rng.integers(1, 300, size), rng.integers(1, 9, size)
            parts.append(
                pids << np.uint64(32) | length.astype(np.uint64) << np.uint64(16) | frequency.astype(np.uint64)
            )
        self.postings: UInt64s = np.concatenate([np.empty(0, np.uint64), *parts])
        self.starts = np.cumsum([0, *sizes]).astype(np.int64)
        self.weights = rng.random(len(sizes)) + 0.1
        self.flat, self.slope = 0.375, 1.125 / 97

    def scores(self) -> dict[int, float]:
        found: dict[int, float] = {}
        for i, weight in enumerate(self.weights.tolist()):
            for posting in self.postings[self.starts[i] : self.starts[i + 1]].tolist():
                frequency, length = float(posting & 0xFFFF), float(posting >> 16 & 0xFFFF)
                part = weight * (frequency / (frequency + (self.flat + self.slope * length)))
                found[posting >> 32] = found.get(posting >> 32, 0.0) + part
        return found

    def rank(self, kernels: Kernels, k: int, allowed: np.ndarray | None = None) -> list[tuple[int, float]]:
        score, pid = np.empty(k), np.empty(k, np.uint32)
        n = kernels.rank_postings(
            self.postings, self.starts, self.weights, self.flat, self.slope,
            NONE if allowed is None else allowed, allowed is not None, score, pid,
        )  # fmt: skip
        return list(zip(pid[:n].tolist(), score[:n].tolist(), strict=True))


def _best(scores: dict[int, float], k: int) -> list[tuple[int, float]]:
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:k]


@pytest.mark.parametrize("k", [1, 3, 10, 5_000])
@pytest.mark.parametrize(("sizes", "n_pids"), [([1], 1), ([40, 3, 900], 1_000), ([300, 5, 300, 300], 2**32 - 1)])
def test_the_best_points_come_by_score_then_pid(
    kernels: Kernels, rng: np.random.Generator, sizes: list[int], n_pids: int, k: int
) -> None:
    lists = Lists(rng, sizes, n_pids)
    assert lists.rank(kernels, k) == _best(lists.scores(), k)


def test_only_allowed_points_are_kept(kernels: Kernels, rng: np.random.Generator) -> None:
    lists = Lists(rng, [500, 2_000], 30_000)
    allowed = np.sort(rng.choice(30_000, 9_000, replace=False)).astype(np.uint32)
    kept = {pid: score for pid, score in lists.scores().items() if pid in set(allowed.tolist())}
    assert lists.rank(kernels, 50, allowed) == _best(kept, 50)
    assert lists.rank(kernels, 50, NONE) == []


def test_ties_go_to_the_smaller_pid(kernels: Kernels) -> None:
    lists = Lists(np.random.default_rng(0), [0], 1)
    lists.postings = np.arange(100, dtype=np.uint64) * np.uint64(3) << np.uint64(32) | np.uint64(5 << 16 | 2)
    lists.starts = np.array([0, 100])
    assert [pid for pid, _ in lists.rank(kernels, 7)] == [0, 3, 6, 9, 12, 15, 18]


def test_points_score_alone_what_they_score_in_the_ranking(kernels: Kernels, rng: np.random.Generator) -> None:
    lists = Lists(rng, [700, 0, 2_000, 1], 5_000)
    scores = lists.scores()
    pids = rng.permutation(5_000)[:1_000].astype(np.uint32)
    found = np.empty(len(pids))
    kernels.score_points(lists.postings, lists.starts, lists.weights, lists.flat, lists.slope, pids, found)
    assert found.tolist() == [scores.get(pid, 0.0) for pid in pids.tolist()]


def test_without_lists_nothing_is_found(kernels: Kernels) -> None:
    lists = Lists(np.random.default_rng(0), [], 1)
    found = np.full(2, 7.0)
    kernels.score_points(lists.postings, lists.starts, lists.weights, 0.1, 0.1, np.zeros(2, np.uint32), found)
    assert lists.rank(kernels, 3) == [] and found.tolist() == [0, 0]


@pytest.mark.parametrize("how", ["swapped", "twice", "empty"])
def test_damaged_lists_are_refused(kernels: Kernels, rng: np.random.Generator, how: str) -> None:
    lists = Lists(rng, [400, 50], 100_000)
    if how == "swapped":
        lists.postings[[100, 300]] = lists.postings[[300, 100]]
    elif how == "twice":
        lists.postings[7] = lists.postings[6]
    else:
        lists.postings[200] &= ~np.uint64(0xFFFF)
    assert kernels.rank_postings(
        lists.postings, lists.starts, lists.weights, lists.flat, lists.slope, NONE, False, np.empty(5),
        np.empty(5, np.uint32),
    ) == -1  # fmt: skip
