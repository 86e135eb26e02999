"""The threads that answer questions: bounded, shared fairly between tenants, stopped together.

Those for backends of other servers spend nearly all their time waiting. Answers that are made here have threads of
their own, so that however many backends are slow, whoever needs none of them does not wait.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from vdb.engine.fair_pool import FairPool
from vdb.rag.generate.base import Stop

__all__ = ["MAX_WAITING", "N_HERE", "N_PER_TENANT", "N_UPSTREAM", "Generations", "T"]

T = TypeVar("T")

N_UPSTREAM = 128
"""Answers of backends elsewhere at a time, of all tenants."""
N_HERE = 16
"""Answers of the built-in backend at a time; one tenant gets at most half."""
N_PER_TENANT = 16
"""Answers of backends elsewhere that one tenant may have written at a time; more of its own wait."""
MAX_WAITING = 256
"""Questions that wait for one of those threads; one tenant gets at most half."""


class Generations:
    """Any thread may submit; whoever made it shuts it down, which stops what is under way."""

    def __init__(self) -> None:
        self._upstream = FairPool(N_UPSTREAM, MAX_WAITING, "vdb-answer", n_per_tenant=N_PER_TENANT)
        self._here = FairPool(N_HERE, MAX_WAITING, "vdb-answer-here", n_per_tenant=N_HERE // 2)
        self._lock = threading.Lock()
        self._by_id: dict[int, Stop] = {}

    @property
    def n_waiting(self) -> int:
        """Questions that wait for a thread."""
        return self._upstream.n_waiting + self._here.n_waiting

    @property
    def n_under_way(self) -> int:
        """Questions that wait or are being answered."""
        return len(self._by_id)

    def submit(self, tenant: int, stop: Stop, is_here: bool, work: Callable[..., T], *arguments: Any) -> "Future[T]":
        """Run `work(*arguments)` for a tenant; `is_here`: it asks nobody elsewhere. Raises QueueFull, ShuttingDown."""
        future = (self._here if is_here else self._upstream).submit(tenant, work, *arguments)
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
        self._upstream.shutdown()
        self._here.shutdown()

    def _forget(self, stop: Stop) -> None:
        with self._lock:
            self._by_id.pop(id(stop), None)
