"""The threads that answer questions: bounded, shared fairly between tenants, stopped together."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from vdb.engine.fair_pool import FairPool
from vdb.rag.generate.base import Stop

__all__ = ["MAX_WAITING", "N_THREADS", "Generations", "T"]

T = TypeVar("T")

N_THREADS = 32
"""Answers at a time, of all tenants; one tenant gets at most half. Nearly all of them wait for a backend."""
MAX_WAITING = 256
"""Questions that wait for one of those threads; one tenant gets at most half."""


class Generations:
    """Any thread may submit; whoever made it shuts it down, which stops what is under way."""

    def __init__(self) -> None:
        self._pool = FairPool(N_THREADS, MAX_WAITING, "vdb-answer", n_per_tenant=N_THREADS // 2)
        self._lock = threading.Lock()
        self._by_id: dict[int, Stop] = {}

    @property
    def n_waiting(self) -> int:
        """Questions that wait for a thread."""
        return self._pool.n_waiting

    @property
    def n_under_way(self) -> int:
        """Questions that wait or are being answered."""
        return len(self._by_id)

    def submit(self, tenant: int, stop: Stop, work: Callable[..., T], *arguments: Any) -> "Future[T]":
        """Run `work(*arguments)` for a tenant; raises QueueFull, ShuttingDown."""
        future = self._pool.submit(tenant, work, *arguments)
        with self._lock:
            self._by_id[id(stop)] = stop
        future.add_done_callback(lambda _: self._forget(stop))
        return future

    def stop_all(self) -> None:
        """End what is under way and what waits: whoever asked is told that the server is shutting down."""
        with self._lock:
            stops = list(self._by_id.values())
        for stop in stops:
            stop.request()

    def shutdown(self) -> None:
        """Stop all of them, and wait for the threads to end."""
        self.stop_all()
        self._pool.shutdown()

    def _forget(self, stop: Stop) -> None:
        with self._lock:
            self._by_id.pop(id(stop), None)
