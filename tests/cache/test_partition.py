"""A partition finds what a plain comparison finds, through every add, remove, growth and compaction."""

import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vdb.cache.partition import Partition
from vdb.cache.rows import COMPACT_FROM_ROWS

D = 8


def unit(rng: np.random.Generator, n: int, dimension: int = D) -> NDArray[np.float32]:
    vectors = rng.standard_normal((n, dimension), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def plain(entries: dict[int, NDArray[np.float32]], query: NDArray[np.float32], k: int) -> list[float]:
    return sorted((float(vector @ query) for vector in entries.values()), reverse=True)[:k]


def check(partition: Partition, entries: dict[int, NDArray[np.float32]], query: NDArray[np.float32], k: int) -> None:
    numbers, similarities = partition.search(query, k)
    assert numbers.dtype == np.dtype(np.uint64)
    assert similarities.dtype == np.dtype(np.float32)
    assert len(set(numbers.tolist())) == len(numbers) == min(k, len(entries)) == len(similarities)
    np.testing.assert_allclose(similarities, plain(entries, query, k), atol=1e-6)
    for number, similarity in zip(numbers.tolist(), similarities.tolist(), strict=True):
        assert similarity == pytest.approx(float(entries[number] @ query), abs=1e-6)


def test_an_empty_partition_finds_nothing(rng: np.random.Generator) -> None:
    numbers, similarities = Partition(D).search(unit(rng, 1)[0], 16)
    assert (numbers.shape, similarities.shape) == ((0,), (0,))
    assert not Partition(D).remove(7)


def test_similarities_are_those_of_float32_vectors_descending(rng: np.random.Generator) -> None:
    vectors = unit(rng, 100)
    partition, entries = Partition(D), {}
    for i, vector in enumerate(vectors):
        number = (1 << 63) + 31 * i
        partition.add(number, vector)
        entries[number] = vector
    for k in (0, 1, 3, 16, 100, 200):
        check(partition, entries, unit(rng, 1)[0], k)


def test_a_number_that_is_added_again_has_its_new_vector_alone(rng: np.random.Generator) -> None:
    old, new = unit(rng, 2)
    partition = Partition(D)
    partition.add(5, old)
    partition.add(5, new)
    check(partition, {5: new}, new, 16)
    assert partition.n_rows == 1
    np.testing.assert_array_equal(partition.vector_of(5), new)
    assert partition.remove(5)
    assert not partition.remove(5)
    assert partition.vector_of(5) is None
    assert partition.n_rows == 0


def test_a_bulk_load_is_searched_and_written_as_any_other(rng: np.random.Generator) -> None:
    vectors = unit(rng, 50)
    numbers = rng.permutation(np.arange(2**64 - 50, 2**64, dtype=np.uint64))
    vectors.setflags(write=False)
    numbers.setflags(write=False)
    partition = Partition.bulk(numbers, vectors)
    entries = dict(zip(numbers.tolist(), vectors, strict=True))
    check(partition, entries, vectors[3], 16)
    del entries[int(numbers[3])]
    assert partition.remove(int(numbers[3]))
    entries[1] = unit(rng, 1)[0]
    partition.add(1, entries[1])
    check(partition, entries, vectors[3], 60)


def test_rows_are_used_again_and_memory_comes_back(rng: np.random.Generator) -> None:
    vectors = unit(rng, 40 * COMPACT_FROM_ROWS)
    partition = Partition(D)
    for i, vector in enumerate(vectors):
        partition.add(i, vector)
        if i >= COMPACT_FROM_ROWS:
            assert partition.remove(i - COMPACT_FROM_ROWS)
    assert partition.n_rows == COMPACT_FROM_ROWS
    few = partition.nbytes
    assert few < 4 * COMPACT_FROM_ROWS * (4 * D + 12)
    for i, vector in enumerate(vectors):
        partition.add(i, vector)
    assert partition.nbytes > 10 * few
    for i in range(len(vectors) - 5):
        assert partition.remove(i)
    assert partition.nbytes < few
    check(partition, dict(enumerate(vectors[-5:], len(vectors) - 5)), vectors[0], 16)


@given(
    steps=st.lists(st.tuples(st.sampled_from(["add", "remove", "search"]), st.integers(0, 250), st.integers(0, 20))),
    seed=st.integers(0, 2**32),
    n_first=st.sampled_from([0, 1, 90, 200]),
)
@settings(max_examples=max(60, settings().max_examples))
def test_any_sequence_of_writes_leaves_what_a_dict_holds(
    steps: list[tuple[str, int, int]], seed: int, n_first: int
) -> None:
    rng = np.random.default_rng(seed)
    first = unit(rng, n_first)
    partition = Partition.bulk(np.arange(n_first, dtype=np.uint64), first)
    entries = dict(enumerate(first))
    for what, number, k in steps:
        if what == "add":
            entries[number] = unit(rng, 1)[0]
            partition.add(number, entries[number])
        elif what == "remove":
            span = range(number, number + 5 * k + 1)
            assert [partition.remove(i) for i in span] == [entries.pop(i, None) is not None for i in span]
        else:
            check(partition, entries, unit(rng, 1)[0], k)
    assert partition.n_rows == len(entries)
    check(partition, entries, unit(rng, 1)[0], 16)


class Churn:
    """Writes at full speed while others read. Entry i's vector says i, so a mixture of two entries would show."""

    N = 300
    DIMENSION = 384

    def __init__(self, partition: Partition, rng: np.random.Generator, rounds: int, n_lasting: int = 50) -> None:
        self.partition = partition
        self.rounds = rounds
        self.vectors = unit(rng, self.N, self.DIMENSION)
        self.lasting = {i: unit(rng, 1, self.DIMENSION)[0] for i in range(10**6, 10**6 + n_lasting)}
        self.removed: set[int] = set()
        self.is_over = threading.Event()
        self.failures: list[str] = []
        self.n_reads = 0
        for number, vector in self.lasting.items():
            partition.add(number, vector)

    def write(self) -> None:
        """Every number is used once: what has been removed must not come again."""
        for round_ in range(self.rounds):
            for i in range(self.N):
                self.partition.add(round_ * self.N + i, self.vectors[i])
            for i in range(self.N):
                self.partition.remove(round_ * self.N + i)
                self.removed.add(round_ * self.N + i)
        self.is_over.set()

    def read(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        while not self.is_over.is_set():
            self.read_once(rng)
            self.n_reads += 1

    def read_once(self, rng: np.random.Generator) -> None:
        removed = self.removed.copy()
        wanted, query = list(self.lasting.items())[int(rng.integers(len(self.lasting)))]
        numbers, similarities = self.partition.search(query, 16)
        if wanted not in numbers.tolist():
            self.failures.append(f"{wanted} was there all the while and not found")
        for number, similarity in zip(numbers.tolist(), similarities.tolist(), strict=True):
            vector = self.lasting[number] if number in self.lasting else self.vectors[number % self.N]
            if abs(float(vector @ query) - similarity) > 1e-5:
                self.failures.append(f"{number} with a vector that is not its own")
            if number in removed:
                self.failures.append(f"{number} found after it was removed")

    def run(self, n_readers: int = 3) -> None:
        readers = [threading.Thread(target=self.read, args=(seed,)) for seed in range(n_readers)]
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)  # threads meet in the middle of a search, too
        try:
            for reader in readers:
                reader.start()
            self.write()
        finally:
            sys.setswitchinterval(interval)
            self.is_over.set()
            for reader in readers:
                reader.join()
        assert self.failures == []
        assert self.n_reads > n_readers


def test_readers_beside_a_writer_see_whole_live_rows_only(rng: np.random.Generator) -> None:
    Churn(Partition(Churn.DIMENSION), rng, rounds=200).run()
