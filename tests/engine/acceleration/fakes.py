"""Indexes and copies of them that say who asked, and do as tests tell them."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from tests.index.curator.world import Point, World
from vdb.engine.acceleration.accelerator import Accelerator
from vdb.index.curator.index import CuratorIndex, Effort, Found
from vdb.index.curator.resident import Ask, Refusal, ResidentIndex, Traffic
from vdb.kernels import reference_kernels
from vdb.kernels.device import Device
from vdb.kernels.numpy_device import NumpyDevice

WAIT_S = 20.0
MOST = 1 << 30


def small_index(seed: int = 0, n: int = 60) -> CuratorIndex:
    """An index of some rows of tenant 1."""
    rng = np.random.default_rng(seed)
    world = World(rng, kernels=reference_kernels())
    world.build([Point(1, vector) for vector in world.vectors(n)])
    index: CuratorIndex = world.index
    return index


def ask(index: CuratorIndex, tag: int = 0, k: int = 3) -> Ask:
    """A query that `tag` tells from others."""
    state = index.state
    query = np.full(8, tag, np.float32)
    return Ask(state, state.reading(1), state.reading(2), query, k, 1 << 20, 0, Effort(1 << 20, 8))


def tags(found: Sequence[Found | str]) -> list[int | str]:
    """What was answered: the tag of each ask, or why not."""
    return [one if isinstance(one, str) else int(one.row[0]) for one in found]


@dataclass
class Script:
    """What copies are to do, and what they were asked. `gate`: each search waits until it is open."""

    gate: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    batches: list[list[int]] = field(default_factory=list)
    failures: list[Exception | None] = field(default_factory=list)
    refuses: Callable[[Ask], Refusal | None] = lambda ask: None
    n_made: int = 0
    n_closed: int = 0
    page_bytes: int = 0
    n_brought: int = 0
    n_to_bring: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    def make(self, device: Device, index: CuratorIndex, most_bytes: int) -> ResidentIndex:
        """A copy, for `Residents`."""
        self.n_made += 1
        return cast(ResidentIndex, _Copy(self, device, most_bytes))


class _Copy:
    """Finds the tag of each ask as its only row."""

    def __init__(self, script: Script, device: Device, most_bytes: int) -> None:
        self._script = script
        self._device = device
        self._block = device.make((max(1, script.page_bytes),), np.uint8)
        self.nbytes = self._block.nbytes
        self.most_bytes = most_bytes
        self.traffic = Traffic(n_pages_in=1)

    def bring_in(self) -> bool:
        self._script.n_brought += 1
        return self._script.n_brought < self._script.n_to_bring

    def search(self, asks: Sequence[Ask]) -> list[Found | Refusal]:
        script = self._script
        script.batches.append([int(one.query[0]) for one in asks])
        script.begun.set()
        assert script.gate.wait(WAIT_S), "the gate stayed shut"
        failure = script.failures.pop(0) if script.failures else None
        if failure is not None:
            raise failure
        self._device.free_bytes()
        return [script.refuses(one) or _found(one) for one in asks]

    def close(self) -> None:
        self._script.n_closed += 1
        del self._block


def _found(one: Ask) -> Found:
    distance, row = np.zeros(1, np.float32), np.array([int(one.query[0])], np.int64)
    return Found(distance, row, np.zeros(4, np.int64))


@contextmanager
def accelerated(script: Script, device: NumpyDevice | None = None, **given: Any) -> Iterator[Accelerator]:
    """An accelerator whose copies follow a script; closed at the end."""
    accelerator = Accelerator(device or NumpyDevice(), MOST, make=script.make, **given)
    try:
        yield accelerator
    finally:
        script.gate.set()
        accelerator.close()


class Searching(threading.Thread):
    """A search on a thread of its own; `found` once it is done."""

    def __init__(self, search: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._search = search
        self._result: list[Any] = []
        self.start()

    def run(self) -> None:
        self._result.append(self._search())

    def found(self) -> Any:
        """What it returned."""
        self.join(WAIT_S)
        assert self._result, "the search did not end"
        return self._result[0]
