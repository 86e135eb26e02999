"""Searches while another thread lays the index out: p99 of wall and CPU time, over that of quiet moments.

One thread searches as the server does, with the server's switch interval; rounds with a layout alternate with quiet
ones. The successor is thrown away, so every layout is the same one: that of 12 % new rows. Wall time is told with and
without the time that the thread was ready and no processor took it, as the kernel counts it: that is what else the
machine has to do. What is left beyond CPU time is waiting for the interpreter's lock.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.index.arena import Arena, arena, batch_of, world
from bench.report import Figure, median
from bench.tenants.workload import K, Workload
from vdb.index.curator.index import Effort
from vdb.index.curator.upkeep import laid_out
from vdb.types import EVERYONE_ID

BAR = 1.5
SWITCH_S = 0.0005
"""What `api.server` sets."""
NEW_SHARE = 0.12


def measure(cache: Path, seed: int, is_quick: bool) -> list[Figure]:
    """Ratios of p99, and the milliseconds beside."""
    workload = world(cache, "shared-120k", seed, is_quick)
    n = len(workload.vectors)
    n_laid = int(n / (1 + NEW_SHARE))
    n_rounds = 2 if is_quick else 9
    kept = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        with arena(workload, np.arange(n_laid)) as place:
            for first in range(n_laid, n, 1_000):
                rows = np.arange(first, min(first + 1_000, n))
                batch_of(workload, rows, rows.astype(np.uint32)).put(place)
            rounds = [_round(place, workload) for _ in range(n_rounds)]
    finally:
        sys.setswitchinterval(kept)
    return _figures(rounds)


class _Queued:
    """Seconds that this thread was ready to run and did not, so far; 0 where the system does not count them."""

    def __init__(self) -> None:
        try:
            self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        except OSError:
            self._file = -1

    def __call__(self) -> float:
        return int(os.pread(self._file, 80, 0).split()[1]) / 1e9 if self._file >= 0 else 0.0

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)


def _round(place: Arena, workload: Workload) -> tuple[np.ndarray, np.ndarray]:
    """p50, p99 and the largest of three times in ms, (3, 3), in a quiet time and while a layout is made as long."""
    ended = threading.Event()
    began = time.perf_counter()

    def work() -> None:
        moment = place.index.begin_layout(place.sequence)
        laid_out(place.index, moment)
        place.index.abandon_layout()
        ended.set()

    thread = threading.Thread(target=work)
    thread.start()
    busy = _searches(place, workload, ended.is_set)
    thread.join()
    until = time.perf_counter() + (time.perf_counter() - began)
    quiet = _searches(place, workload, lambda: time.perf_counter() > until)
    return _told(quiet), _told(busy)


def _searches(place: Arena, workload: Workload, is_over: Callable[[], object]) -> np.ndarray:
    """Of each search wall seconds, those without the wait for a processor, and CPU seconds, (n, 3)."""
    took = []
    effort = Effort(4_000, 40)
    pairs = list(zip((workload.askers + 1).tolist(), workload.queries, strict=True))
    queued = _Queued()
    i = 0
    while i < 50 or not is_over():
        tenant, query = pairs[i % len(pairs)]
        waited = queued()
        wall, cpu = time.perf_counter(), time.thread_time()
        state = place.index.state
        place.index.search(
            state, state.reading(tenant), state.reading(EVERYONE_ID), query, K, place.sequence, 0, effort
        )
        cpu_s, wall_s = time.thread_time() - cpu, time.perf_counter() - wall
        took.append((wall_s, max(cpu_s, wall_s - (queued() - waited)), cpu_s))
        i += 1
    queued.close()
    return np.array(took)


def _told(took: np.ndarray) -> np.ndarray:
    return np.stack([np.percentile(took, 50, axis=0), np.percentile(took, 99, axis=0), took.max(axis=0)], axis=1) * 1e3


def _figures(rounds: list[tuple[np.ndarray, np.ndarray]]) -> list[Figure]:
    figures = []
    for i, what in enumerate(("wall", "wall less other load", "CPU")):
        ratios = [float(busy[i, 1] / quiet[i, 1]) for quiet, busy in rounds]
        figures.append(median(f"p99 during a layout / quiet, {what}", ratios, "x", BAR if i else None))
        for j, name in enumerate(("p50", "p99", "largest")):
            figures.append(median(f"{name} quiet, {what}", [float(quiet[i, j]) for quiet, _ in rounds], "ms"))
            figures.append(median(f"{name} during a layout, {what}", [float(busy[i, j]) for _, busy in rounds], "ms"))
    return figures
