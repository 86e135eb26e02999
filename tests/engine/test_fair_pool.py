"""The pool of reader threads: tenants take turns, nothing is lost, closing and cancelling hold nobody up."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from vdb.engine.fair_pool import FairPool
from vdb.errors import QueueFull, ShuttingDown

WAIT_S = 20.0


class Clock:
    """Seconds that work says it takes."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Pool:
    """A pool of one thread that waits for `release`, so that work piles up; `done` is the order it was done in."""

    def __init__(self, max_waiting: int = 100) -> None:
        self.clock = Clock()
        self.pool = FairPool(1, max_waiting, "test", self.clock)
        self.done: list[str] = []
        self._gate = threading.Event()
        self._began = threading.Event()
        self.first = self.pool.submit(99, self._wait)
        assert self._began.wait(WAIT_S)

    def _wait(self) -> None:
        self._began.set()
        self._gate.wait(WAIT_S)

    def put(self, tenant: int, name: str, takes_s: float = 0.0) -> "Future[None]":
        def work() -> None:
            self.clock.now_s += takes_s
            self.done.append(name)

        return self.pool.submit(tenant, work)

    def finish(self) -> list[str]:
        self._gate.set()
        self.pool.shutdown()
        return self.done


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool()
    yield made
    made.finish()


def test_tenants_take_turns(pool: Pool) -> None:
    for i in range(4):
        pool.put(1, f"a{i}")
    for i in range(2):
        pool.put(2, f"b{i}")
    assert pool.finish() == ["a0", "b0", "a1", "b1", "a2", "a3"]


def test_a_tenant_of_long_work_has_fewer_turns(pool: Pool) -> None:
    for i in range(3):
        pool.put(1, f"long{i}", takes_s=0.0025)
    for i in range(8):
        pool.put(2, f"short{i}")
    done = pool.finish()
    assert done[:7] == ["long0", "short0", "short1", "short2", "short3", "short4", "long1"]


def test_a_tenant_fills_half_of_the_waiting_room_and_others_get_in() -> None:
    pool = Pool(max_waiting=10)
    futures = [pool.put(1, "a") for _ in range(5)]
    with pytest.raises(QueueFull) as refused:
        pool.put(1, "a")
    assert refused.value.retry_after_s == 1.0
    futures.append(pool.put(2, "b"))
    assert pool.pool.n_waiting == 6
    pool.finish()
    assert all(future.done() for future in futures) and pool.pool.n_waiting == 0


def test_a_cancelled_piece_is_not_done_and_gives_its_place_back() -> None:
    pool = Pool(max_waiting=2)
    cancelled = pool.put(1, "cancelled")
    assert cancelled.cancel()
    pool.put(2, "kept")
    assert pool.finish() == ["kept"]


def test_work_that_fails_fails_its_future_and_the_thread_goes_on(pool: Pool) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    failed, after = pool.pool.submit(1, fail), pool.put(1, "after")
    assert pool.finish() == ["after"]
    assert isinstance(failed.exception(0), ZeroDivisionError) and after.result(0) is None


def test_a_closed_pool_refuses(pool: Pool) -> None:
    pool.finish()
    with pytest.raises(ShuttingDown):
        pool.put(1, "late")


def test_as_many_threads_work_at_once_as_there_are() -> None:
    pool = FairPool(3, 100, "test")
    all_there = threading.Barrier(3)

    def meet(*_: Any) -> int:
        return all_there.wait(WAIT_S)

    numbers = sorted(future.result(WAIT_S) for future in [pool.submit(1, meet) for _ in range(3)])
    pool.shutdown()
    assert numbers == [0, 1, 2]


def test_every_result_comes_from_many_tenants_at_once() -> None:
    pool = FairPool(4, 100_000, "test")

    def send(tenant: int) -> Callable[[], None]:
        def run() -> None:
            futures = [pool.submit(tenant, divmod, i, 7) for i in range(300)]
            results[tenant] = [future.result(WAIT_S) for future in futures]

        return run

    results: dict[int, list[tuple[int, int]]] = {}
    senders = [threading.Thread(target=send(tenant)) for tenant in range(6)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(WAIT_S)
    pool.shutdown()
    assert results == {tenant: [divmod(i, 7) for i in range(300)] for tenant in range(6)}


def test_a_tenant_of_endless_work_leaves_threads_to_others() -> None:
    """Documents that take minutes each took every thread: nobody else's were read until they were done."""
    pool = FairPool(3, 100, "test", n_per_tenant=2)
    gate, began, order = threading.Event(), threading.Semaphore(0), []

    def hold() -> None:
        began.release()
        gate.wait(WAIT_S)

    greedy = [pool.submit(1, hold) for _ in range(2)]
    greedy += [pool.submit(1, lambda i=i: order.append(i)) for i in range(10)]
    assert began.acquire(timeout=WAIT_S) and began.acquire(timeout=WAIT_S)
    assert [pool.submit(2, int).result(WAIT_S) for _ in range(3)] == [0, 0, 0]
    assert order == [] and pool.n_waiting == 10
    assert greedy[5].cancel()
    gate.set()
    pool.shutdown()
    assert sorted(order) == [i for i in range(10) if i != 3]
    assert pool.n_waiting == 0


def test_the_thread_that_worked_last_works_next() -> None:
    pool = FairPool(3, 100, "test")
    all_there = threading.Barrier(3)
    for future in [pool.submit(1, all_there.wait, WAIT_S) for _ in range(3)]:
        future.result(WAIT_S)
    workers = []
    for _ in range(6):
        while len(pool._idle) < 3:
            time.sleep(0.001)
        workers.append(pool.submit(1, threading.get_ident).result(WAIT_S))
    pool.shutdown()
    assert len(set(workers)) == 1


def test_threads_without_work_end_with_the_pool() -> None:
    pool = FairPool(2, 100, "test")
    all_there = threading.Barrier(2)
    for future in [pool.submit(1, all_there.wait, WAIT_S) for _ in range(2)]:
        future.result(WAIT_S)
    pool.shutdown()
    assert not any(thread.is_alive() for thread in pool._threads)
