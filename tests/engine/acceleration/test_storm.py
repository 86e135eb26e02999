"""Sixteen threads of tenants search by the device while others write: each finds what was committed, and its own."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tests.engine.acceleration.shelf import GPU, Shelf, hits_of
from tests.engine.indexed.books import TENANTS, D

N_THREADS = 16
N_SEARCHES = 25
N_WRITES = 40


Key = tuple[str, str]


class Storm:
    """`history`: by sequence, what each tenant sees from then on, and who may see a point, with what vector."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.faults: list[BaseException] = []
        self.n_there = 0
        self.lock = threading.Lock()
        self.history: dict[int, tuple[dict[str, dict[Key, Any]], dict[Key, tuple[bytes, frozenset[str]]]]] = {}

    def note(self, sequence: int) -> None:
        """After a write, by whoever writes."""
        books = self.shelf.books
        state = {key: (vector.tobytes(), shared) for key, (vector, shared) in books.points.items()}
        self.history[sequence] = {tenant: books.seen_by(tenant) for tenant in TENANTS}, state

    def run(self, *tasks: Callable[[], None]) -> None:
        threads = [threading.Thread(target=self._guarded, args=(task,)) for task in tasks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert not any(thread.is_alive() for thread in threads)
        if self.faults:
            raise self.faults[0]

    def _guarded(self, task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as exc:
            self.faults.append(exc)


def test_each_of_many_tenants_finds_what_was_committed_at_its_sequence(shelf: Shelf) -> None:
    storm, books = Storm(shelf), shelf.books
    found: list[tuple[int, str, Any, list[list[tuple[str, str, float]]]]] = []

    def write() -> None:
        for _ in range(N_WRITES):
            books.change()
            storm.note(books.shard.readings.published_sequence)

    def search(i: int) -> None:
        rng, tenant = np.random.default_rng(i), TENANTS[i % len(TENANTS)]
        for _ in range(N_SEARCHES):
            queries = rng.standard_normal((int(rng.integers(1, 6)), D)).astype(np.float32)
            answer = shelf.search(tenant, queries, params=GPU)
            with storm.lock:
                storm.n_there += answer.explain.backend == "gpu"
                found.append((answer.sequence, tenant, queries, hits_of(answer)))

    storm.note(books.shard.readings.published_sequence)
    storm.run(write, *[partial(search, i) for i in range(N_THREADS)])

    n_compared = 0
    ends = sorted(storm.history)
    for sequence, tenant, queries, lists in found:
        if sequence not in storm.history:
            continue
        n_compared += 1
        sees, state = storm.history[sequence]
        seen = sees[tenant]
        later = [storm.history[end][1] for end in ends if end > sequence]
        for query, hits in zip(queries, lists, strict=True):
            keys = [hit[:2] for hit in hits]
            # A grant that ends while a search is under way may end for it too: nothing else is ever missing.
            gone = {key for key in seen if key[0] != tenant and any(of.get(key) != state[key] for of in later)}
            nearest = sorted(seen, key=lambda key: float(((seen[key] - query) ** 2).sum()))
            assert keys == [key for key in nearest if key not in gone or key in keys][:8]
            for hit in hits:
                assert abs(hit[2] - float(np.linalg.norm(seen[hit[:2]] - query))) < 1e-3
    assert n_compared > len(found) // 2
    assert storm.n_there > len(found) // 2
    figures = shelf.accelerator.figures
    assert figures.n_requests > figures.n_batches, "some went together"
