"""Threads search, write, lay out, drop and load at once: what was acknowledged is found, and nothing foreign is."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.indexed.books import Books, D, indexed_books
from vdb.errors import StorageFailure
from vdb.index.curator import index as curator_index
from vdb.kernels import cpu_kernels, dispatch

N_ROUNDS = 60
LIMIT = 5


def again(call: Any, *given: Any) -> Any:
    """Until the commit that it shares with others does not fail."""
    while True:
        try:
            return call(*given)
        except StorageFailure:
            continue


class Storm:
    """`settled` are points that nobody is writing: (owner, id) → vector; `granted` what was ever granted to whom."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.settled = {key: vector for key, (vector, _) in books.points.items()}
        self.granted = {(to, *key) for key, (_, shared) in books.points.items() for to in shared}
        self.is_over = threading.Event()
        self.faults: list[BaseException] = []
        self.n_searches = 0

    def run(self, *tasks: Any) -> None:
        """All at once, until the first `n` of them, the writers, are done."""
        threads = [threading.Thread(target=self._guarded, args=(task,)) for task in tasks]
        for thread in threads:
            thread.start()
        for thread, task in zip(threads, tasks, strict=True):
            if task[0] == self.write:
                thread.join()
        self.is_over.set()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)
        if self.faults:
            raise self.faults[0]

    def _guarded(self, task: Any) -> None:
        try:
            task[0](*task[1:])
        except BaseException as exc:
            self.faults.append(exc)
            self.is_over.set()

    def write(self, owner: str, rng: np.random.Generator) -> None:
        driver = self.books.driver
        mine = [point_id for of, point_id in self.settled if of == owner]
        for i in range(N_ROUNDS):
            if self.is_over.is_set():
                return
            what = rng.choice(["add", "replace", "delete", "grant", "revoke"])
            some = [str(p) for p in rng.choice(mine, 3, replace=False)]
            if what in ("grant", "revoke"):
                to = str(rng.choice(["globex", "initech", "*"]))
                if to == owner:
                    continue
                self.granted |= {(to, owner, point_id) for point_id in some}
                again(driver.share, owner, "books", some, [to], what)
            elif what == "delete" and len(mine) > 30:
                self._unsettle(owner, some)
                again(driver.delete, owner, "books", some)
                mine = [point_id for point_id in mine if point_id not in some]
            else:
                ids = some if what == "replace" else [f"{owner}-new-{i}-{j}" for j in range(4)]
                self._unsettle(owner, ids)
                vectors = rng.standard_normal((len(ids), D)).astype(np.float32)
                again(driver.upsert, owner, "books", ids, vectors)
                for point_id, vector in zip(ids, vectors, strict=True):
                    self.settled[owner, point_id] = vector
                mine += [] if what == "replace" else ids

    def _unsettle(self, owner: str, ids: list[str]) -> None:
        for point_id in ids:
            self.settled.pop((owner, point_id), None)

    def search(self, tenant: str, rng: np.random.Generator) -> None:
        while not self.is_over.is_set():
            keys = [key for key in list(self.settled) if key[0] == tenant]
            key = keys[int(rng.integers(len(keys)))]
            vector = self.settled.get(key)
            if vector is None:
                continue
            hits = self.books.driver.search(tenant, "books", vector, LIMIT)
            assert len(hits) == LIMIT and len({(hit.owner, hit.id) for hit in hits}) == LIMIT
            if self.settled.get(key) is vector:  # nobody wrote to it from before the search to after it
                assert (hits[0].owner, hits[0].id) == key and hits[0].distance < 1e-3
            for hit in hits:
                is_granted = {(tenant, hit.owner, hit.id), ("*", hit.owner, hit.id)} & self.granted
                assert hit.owner == tenant or is_granted, f"{tenant} is shown {hit.owner}'s {hit.id}"
            self.n_searches += 1

    def maintain(self) -> None:
        while not self.is_over.is_set():
            again(self.books.work)

    def disturb(self) -> None:
        """The index is dropped for memory, and after commits that fail."""

        def fail(group: Any) -> None:
            raise StorageFailure("the disk does not answer")

        while not self.is_over.wait(0.05):
            self.books.shard.evict(0)
            if not self.is_over.wait(0.05):
                with pytest.raises(StorageFailure):
                    self.books.driver.write("books", fail)


@pytest.mark.parametrize("is_disturbed", [False, True], ids=["quiet", "dropped again and again"])
@pytest.mark.parametrize("kernels", ["numpy", "cpu"])
def test_searches_are_right_whatever_happens_meanwhile(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, kernels: str, is_disturbed: bool
) -> None:
    monkeypatch.setattr(curator_index, "LEAST_CHANGES", 20)
    if kernels == "cpu":
        monkeypatch.setattr(dispatch._loader, "current", cpu_kernels())
    with indexed_books(tmp_path / "data", rng) as books:
        storm = Storm(books)
        seeds = rng.spawn(4)
        tasks: list[Any] = [(storm.write, "acme", seeds[0]), (storm.write, "globex", seeds[1]), (storm.maintain,)]
        tasks += [(storm.search, "acme", seeds[2]), (storm.search, "globex", seeds[3])]
        storm.run(*tasks, *([(storm.disturb,)] if is_disturbed else []))
        assert storm.n_searches > 0 and (is_disturbed or books.index.n_layouts > 0)
