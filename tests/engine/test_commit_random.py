"""The commit queue under random requests, cancellations, holds and a close from several threads: nothing is lost."""

import random
import threading
from collections import defaultdict
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from vdb.config import MIB
from vdb.engine.commit import CommitQueue, Group, QueueCaps
from vdb.errors import QueueFull, ShuttingDown, StorageFailure, VersionConflict
from vdb.storage.env import Environment

WAIT_S = 30.0
CAPS = QueueCaps(max_requests=40, max_bytes=4_000, disk_reserve_bytes=0)
N_WRITERS, N_REQUESTS, N_HOLDS = 4, 150, 25


class Site:
    """One queue, what its writers sent, and in which order it was applied."""

    def __init__(self, path: Path, seed: int) -> None:
        self.seed = seed
        self.env = Environment(path, create=True, map_bytes=MIB, max_map_bytes=64 * MIB)
        self.pool = ThreadPoolExecutor(2)
        self.queue: CommitQueue[Group] = CommitQueue(self.env, self._group, self.pool, CAPS, lambda: None)
        self.applied: defaultdict[int, list[int]] = defaultdict(list)
        self.futures: list[tuple[bytes, Future[Any]]] = []
        self.published: set[bytes] = set()
        self.n_full = 0
        self.n_shut = 0
        self._lock = threading.Lock()
        self._failing = random.Random(seed)

    def _group(self, txn: Any) -> Group:
        """Now and then a commit fails as a whole."""
        if self._failing.random() < 0.05:
            raise StorageFailure("the disk is gone for a moment")
        return Group(txn)

    def write(self, tenant: int) -> None:
        """The requests of one tenant, numbered in the order they are sent."""
        rng = random.Random(f"{self.seed}/{tenant}")
        for number in range(N_REQUESTS):
            key = b"%d/%03d" % (tenant, number)
            try:
                future = self.queue.submit(
                    self._applying(tenant, number, key, rng.random() < 0.1), rng.choice((1, 90, 900)), tenant=tenant
                )
            except QueueFull:
                self.n_full += 1
                continue
            except ShuttingDown:
                self.n_shut += 1
                continue
            if rng.random() < 0.1:
                future.cancel()
            with self._lock:
                self.futures.append((key, future))
            if rng.random() < 0.2:
                _settled(future)

    def _applying(self, tenant: int, number: int, key: bytes, is_refused: bool) -> Any:
        def apply(group: Group) -> bytes:
            self.applied[tenant].append(number)
            group.txn.put(key, b"1")
            if is_refused:
                raise VersionConflict
            group.after_commit(lambda: self.published.add(key))
            return key

        return apply

    def hold_and_resume(self) -> None:
        """As a backup does: while the queue is held and still, the store does not change."""
        for _ in range(N_HOLDS):
            self.queue.hold()
            self.queue.await_stillness()
            before = self.keys()
            assert self.keys() == before
            self.queue.resume()

    def keys(self) -> set[bytes]:
        with self.env.read() as txn:
            return {key for key, _ in txn.cursor()}

    def close(self) -> None:
        self.queue.close()
        self.pool.shutdown()


def _settled(future: "Future[Any]") -> BaseException | None:
    try:
        return future.exception(WAIT_S)
    except CancelledError as exc:
        return exc


@pytest.mark.parametrize("seed", range(5))
def test_every_request_is_settled_in_order_whatever_comes_between(tmp_path: Path, seed: int) -> None:
    site = Site(tmp_path, seed)
    threads = [threading.Thread(target=site.write, args=(tenant,)) for tenant in range(N_WRITERS)]
    holder = threading.Thread(target=site.hold_and_resume)
    for thread in [*threads, holder]:
        thread.start()
    if seed % 2:
        threads[0].join(WAIT_S)
        site.queue.close()  # while the others still send, and the queue is held now and then
    for thread in [*threads, holder]:
        thread.join(WAIT_S)
        assert not thread.is_alive(), "somebody waits for good"
    site.close()
    outcomes = {key: _settled(future) for key, future in site.futures}
    answered = {key for key, error in outcomes.items() if error is None}
    assert answered == site.keys() == site.published
    assert len(outcomes) == len(site.futures) and site.queue.n_waiting == 0
    for tenant, numbers in site.applied.items():
        assert numbers == sorted(set(numbers)), f"the order of tenant {tenant}"
    assert site.queue._places.n_taken == site.queue._bytes.n_taken == 0, "places that nobody gives back"
    site.env.close()
