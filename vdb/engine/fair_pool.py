"""Threads shared fairly between the tenants that have work waiting.

Turns are counted in the seconds that work took, known when it is done: so a tenant of long searches has fewer of them
than one of short searches, and neither needs an estimate.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from vdb.engine.fair import NO_TENANT, FairQueue, Room
from vdb.errors import QueueFull, ShuttingDown

T = TypeVar("T")

EXPECTED_S = 0.0005
"""What work is taken to cost until it is done: tenants that wait at once take turns."""

_Work = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...]]


class FairPool:
    """`n_threads` threads at most; `max_waiting` pieces of work may wait. `submit` from any thread, `shutdown` last.

    One tenant has at most `n_per_tenant` of the threads, where that is given: for work that may take minutes, which
    being fair to those who wait comes too late for.
    """

    def __init__(
        self,
        n_threads: int,
        max_waiting: int,
        name: str,
        clock: Callable[[], float] = time.perf_counter,
        n_per_tenant: int | None = None,
    ) -> None:
        self._n_threads = n_threads
        self._n_per_tenant = n_threads if n_per_tenant is None else n_per_tenant
        self._name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: FairQueue[_Work] = FairQueue()
        self._n_let_in: Counter[int] = Counter()
        """Work of each tenant that waits for a thread or has one; more of it is held back."""
        self._held_back: dict[int, deque[_Work]] = {}
        self._room = Room(max_waiting)
        self._threads: list[threading.Thread] = []
        self._idle: list[threading.Lock] = []
        """What each thread without work waits for. The one that worked last is woken first: what it used is at hand."""
        self._is_closed = False

    @property
    def n_waiting(self) -> int:
        return self._room.n_taken

    def submit(self, tenant: int, work: Callable[..., T], *arguments: Any) -> "Future[T]":
        """Run `work(*arguments)` for a tenant; raises QueueFull where too much waits, of all or of this tenant."""
        future: Future[T] = Future()
        with self._lock:
            if self._is_closed:
                raise ShuttingDown("the server is shutting down", retry_after_s=1.0)
            if not self._room.has_place(tenant):
                raise QueueFull("too many requests wait for a thread", retry_after_s=1.0)
            self._room.enter(tenant)
            if self._n_let_in[tenant] >= self._n_per_tenant and tenant != NO_TENANT:
                self._held_back.setdefault(tenant, deque()).append((future, work, arguments))
                return future
            self._let_in(tenant, (future, work, arguments))
            if self._idle:
                self._idle.pop().release()
            elif len(self._threads) < self._n_threads:
                self._start()
        return future

    def shutdown(self) -> None:
        """Do what waits, then end the threads."""
        with self._lock:
            self._is_closed = True
            while self._idle:
                self._idle.pop().release()
        for thread in self._threads:
            thread.join()

    def _let_in(self, tenant: int, work: _Work) -> None:
        self._n_let_in[tenant] += 1
        self._waiting.put(tenant, work, EXPECTED_S)

    def _let_next_in(self, tenant: int) -> None:
        """A piece of the tenant's work is over; the thread that did it goes on with what waits."""
        self._n_let_in[tenant] -= 1
        if not self._n_let_in[tenant]:
            del self._n_let_in[tenant]
        held = self._held_back.get(tenant)
        if held:
            self._let_in(tenant, held.popleft())
            if not held:
                del self._held_back[tenant]

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name=f"{self._name}_{len(self._threads)}")
        self._threads.append(thread)
        thread.start()

    def _run(self) -> None:
        woken = threading.Lock()
        woken.acquire()
        while True:
            with self._lock:
                has_work, is_closed = bool(self._waiting), self._is_closed
                if has_work:
                    tenant, (future, work, arguments) = self._waiting.take()
                    self._room.leave(tenant)
                elif not is_closed:
                    self._idle.append(woken)
            if not has_work:
                if is_closed:
                    return
                woken.acquire()
                continue
            if not future.set_running_or_notify_cancel():
                with self._lock:
                    self._let_next_in(tenant)
                continue
            began = self._clock()
            _settle(future, work, arguments)
            took_s = self._clock() - began
            del future, work, arguments  # what the work held is not kept until the next
            with self._lock:
                self._waiting.charge(tenant, took_s - EXPECTED_S)
                self._let_next_in(tenant)


def _settle(future: "Future[Any]", work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        result = work(*arguments)
    except BaseException as exc:  # it belongs to whoever waits
        future.set_exception(exc)
    else:
        future.set_result(result)
