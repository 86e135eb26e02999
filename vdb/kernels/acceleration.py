"""The device of this process that builds use where it pays, and whose turn it is to use it.

One thread at a time uses a device. Searches do so `for_search()`; builds do so here, a block of rows at a time, and
wait while a search wants its turn. Whoever opened the device says so by `set_device`, and before closing it takes it
away and then a turn.

What a build asks for is None where no device is set, where the CPU is estimated to be as fast, where a search asks
within its turn, and where the device failed: the CPU does it then. A lost device is used no more.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vdb.kernels.device import Block, Device, DeviceFailed, DeviceLost
from vdb.kernels.reference import Float32s

__all__ = [
    "BLOCK_BYTES",
    "BLOCK_PRODUCTS",
    "TURN_S",
    "Costs",
    "Figures",
    "assign",
    "device",
    "figures",
    "for_search",
    "project",
    "set_device",
]

log = logging.getLogger(__name__)

BLOCK_BYTES: Final = 32 << 20
"""Of rows that one turn copies: a search waits some milliseconds for it."""
BLOCK_PRODUCTS: Final = 5e10
"""Multiplications of one turn at most."""
TURN_S = 10.0
"""A build that gets no turn for so long goes on with the CPU: the device may hang."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What an estimate goes by. Rows cross to the device in memory that is not pinned, and answers come back; what the
    device computes takes a tenth of that or less and counts with `call_s`."""

    copied_bytes_per_s: float = 4e9
    call_s: float = 0.002
    cpu_products_per_s: float = 2.5e10
    """Multiplications with additions in float32, of one CPU."""
    n_cpus: int = os.cpu_count() or 1
    least_saved_s: float = 0.005

    def pays(self, n_products: float, n_bytes: float) -> bool:
        """Whether so many products are worth copying so much there and back."""
        on_device_s = self.call_s + n_bytes / self.copied_bytes_per_s
        return n_products / (self.cpu_products_per_s * self.n_cpus) - on_device_s >= self.least_saved_s


@dataclass(frozen=True, slots=True)
class Figures:
    """Since the process began: rows that builds had a device assign and project, and how often it failed them."""

    n_rows_assigned: int = 0
    n_rows_projected: int = 0
    n_failures: int = 0


class _Turns:
    """Who may use the device: one thread at a time, searches before builds. A thread that has a turn has it within."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._n_searches = 0
        self._owner: int | None = None

    def is_mine(self) -> bool:
        return self._owner == threading.get_ident()

    @contextmanager
    def of_search(self) -> Iterator[None]:
        if self.is_mine():
            yield
            return
        with self._changed:
            self._n_searches += 1
            try:
                self._changed.wait_for(lambda: self._owner is None)
            finally:
                self._n_searches -= 1
            self._owner = threading.get_ident()
        with self._ending():
            yield

    @contextmanager
    def of_build(self) -> Iterator[None]:
        with self._changed:
            if not self._changed.wait_for(lambda: self._owner is None and not self._n_searches, TURN_S):
                raise DeviceFailed(f"others used the device for {TURN_S:g} s")
            self._owner = threading.get_ident()
        with self._ending():
            yield

    @contextmanager
    def _ending(self) -> Iterator[None]:
        try:
            yield
        finally:
            with self._changed:
                self._owner = None
                self._changed.notify_all()


class _Shared:
    """The device that is set, and what is counted; swapped and added to under `lock`."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.device: Device | None = None
        self.costs = Costs()
        self.figures = Figures()
        self.has_warned = False


_TURNS: Final = _Turns()
_SHARED: Final = _Shared()


def set_device(device: Device | None, costs: Costs | None = None) -> None:
    """From now on builds use this device, or none. Whoever has a turn ends it with the one before."""
    with _SHARED.lock:
        _SHARED.device = device
        _SHARED.costs = costs or Costs()
        _SHARED.has_warned = False


def device() -> Device | None:
    """The one that is set."""
    return _SHARED.device


def for_search() -> AbstractContextManager[None]:
    """A turn on the device, before builds that wait for theirs."""
    return _TURNS.of_search()


def figures() -> Figures:
    """What was counted so far."""
    return _SHARED.figures


def assign(rows: Float32s, centroids: Float32s, check: Callable[[], None]) -> tuple[NDArray[np.int32], Float32s] | None:
    """`Device.assign` for rows (n, d) on the host, or None. `check` is called before each block and may raise."""
    n_products = float(rows.size) * len(centroids)
    if not _pays(n_products, rows.nbytes + 8 * len(rows)):
        return None
    labels, distances = np.empty(len(rows), np.int32), np.empty(len(rows), np.float32)

    def run(used: Device, block: Block, part: slice) -> None:
        labels[part], distances[part] = used.assign(block, centroids)

    if not _in_blocks(rows, len(centroids), run, check):
        return None
    _count(n_rows_assigned=len(rows))
    return labels, distances


def project(rows: Float32s, matrix: Float32s) -> Float32s | None:
    """`Device.project` for rows (n, D) on the host, or None."""
    n_products = float(rows.size) * len(matrix)
    if not _pays(n_products, rows.nbytes + 4 * len(rows) * len(matrix)):
        return None
    projected = np.empty((len(rows), len(matrix)), np.float32)

    def run(used: Device, block: Block, part: slice) -> None:
        projected[part] = used.project(block, matrix)

    if not _in_blocks(rows, len(matrix), run, _unasked):
        return None
    _count(n_rows_projected=len(rows))
    return projected


def _pays(n_products: float, n_bytes: float) -> bool:
    return _SHARED.device is not None and _SHARED.costs.pays(n_products, n_bytes) and not _TURNS.is_mine()


def _unasked() -> None:
    """Nothing is checked before a block."""


def _in_blocks(
    rows: Float32s, n_columns: int, run: Callable[[Device, Block, slice], None], check: Callable[[], None]
) -> bool:
    """Run over all rows, a turn for each block of them; False where the device is gone or failed."""
    products = max(1, rows.shape[1] * n_columns)
    n_block = max(1, min(BLOCK_BYTES // (4 * max(1, rows.shape[1])), int(BLOCK_PRODUCTS / products)))
    used = _SHARED.device
    try:
        for first in range(0, len(rows), n_block):
            part = slice(first, min(first + n_block, len(rows)))
            with _TURNS.of_build():
                check()
                if used is None or used is not _SHARED.device:
                    return False
                with _failures_told():
                    run(used, used.put(np.ascontiguousarray(rows[part], np.float32)), part)
    except DeviceFailed as failure:
        _failed(used, failure)
        return False
    return True


@contextmanager
def _failures_told() -> Iterator[None]:
    """Whatever a device's driver raises is a DeviceFailed: no build fails of it."""
    try:
        yield
    except DeviceFailed:
        raise
    except Exception as failure:
        raise DeviceFailed(f"{type(failure).__name__}: {failure}") from failure


def _failed(used: Device | None, failure: DeviceFailed) -> None:
    """Count it, say it the first time, and where the device is lost go on without."""
    is_lost = isinstance(failure, DeviceLost)
    with _SHARED.lock:
        is_first = not _SHARED.has_warned
        _SHARED.has_warned = True
        if is_lost and _SHARED.device is used:
            _SHARED.device = None
    _count(n_failures=1)
    if is_first:
        log.warning("a build goes on with the CPU: %s", failure)


def _count(**added: int) -> None:
    with _SHARED.lock:
        now = _SHARED.figures
        _SHARED.figures = replace(now, **{name: getattr(now, name) + n for name, n in added.items()})
