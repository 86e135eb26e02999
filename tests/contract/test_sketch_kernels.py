"""`sketch_words`, compiled and in NumPy: the same sums, and those that a plain loop over features finds."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vdb.kernels import Kernels, cpu_kernels, reference_kernels
from vdb.kernels.reference import Int64s

MASK = (1 << 64) - 1
TABLE = np.array([0, 64, 45, 37, 32, 29], np.int32)


@pytest.fixture(scope="module", params=["numpy", "cpu"])
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return reference_kernels() if request.param == "numpy" else cpu_kernels()


def sketch(kernels: Kernels, words: Sequence[str], weights: Sequence[int], dimension: int) -> Int64s:
    marked = [f"<{word}>" for word in words]
    characters = np.array([ord(character) for word in marked for character in word], np.uint32)
    ends = np.cumsum([len(word) for word in marked], dtype=np.int64)
    sums = np.zeros(dimension, np.int64)
    kernels.sketch_words(characters, ends, np.array(weights, np.int32), TABLE, sums)
    return sums


def features_of(word: str) -> Iterator[tuple[int, bool]]:
    """Hash states before they are spread, and whether each is of the word whole; in plain integers."""

    def chained(seed: int, text: str) -> int:
        for character in text:
            seed = ((seed ^ ord(character)) * 0x9FB21C651E98DF25) & MASK
            seed ^= seed >> 32
        return seed

    yield chained(0x9AE16A3B2F90404F, word), True
    for start in range(len(word)):
        for n in (3, 4, 5):
            if start + n <= len(word):
                yield chained(0xC949D7C7509E6557, word[start : start + n]), False


def expected(words: Sequence[str], weights: Sequence[int], dimension: int) -> list[int]:
    sums = [0] * dimension
    for word, weight in zip(words, weights, strict=True):
        features = list(features_of(f"<{word}>"))
        gram = int(TABLE[min(len(features) - 1, len(TABLE) - 1)])
        for state, is_whole in features:
            for _ in range(2):
                state = (state + 0x9E3779B97F4A7C15) & MASK
                bits = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
                bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & MASK
                bits ^= bits >> 31
                for half in (bits & 0xFFFFFFFF, bits >> 32):
                    sums[((half >> 1) * dimension) >> 31] += weight * (64 if is_whole else gram) * (half % 2 * 2 - 1)
    return sums


@given(
    words=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=0, max_size=70), max_size=8),
    dimension=st.sampled_from([1, 2, 32, 384, 65_536]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=max(60, settings().max_examples))
def test_sums_are_those_of_a_plain_loop(kernels: Kernels, words: list[str], dimension: int, seed: int) -> None:
    weights = np.random.default_rng(seed).integers(0, 500, len(words)).tolist()
    assert sketch(kernels, words, weights, dimension).tolist() == expected(words, weights, dimension)


def test_words_add_up_in_any_order(kernels: Kernels) -> None:
    together = sketch(kernels, ["vector", "database"], [64, 6], 48)
    assert together.tolist() == sketch(kernels, ["database", "vector"], [6, 64], 48).tolist()
    apart = sketch(kernels, ["vector"], [64], 48) + sketch(kernels, ["database"], [6], 48)
    assert together.tolist() == apart.tolist()


def test_no_words_change_nothing(kernels: Kernels) -> None:
    assert not sketch(kernels, [], [], 32).any()
