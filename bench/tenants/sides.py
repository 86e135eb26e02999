"""Who takes part in a contest of one tenant among many: a contender in this process, or whatever answers like one.

Of a build: growth of memory, scaled up where only a part was built, time and CPU. Of a pass: one Python call per query,
CPU time of the thread.
"""

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np

from bench.tenants.contender import Contender
from bench.tenants.limits import Memory, Stopwatch, memory
from bench.tenants.workload import Float64s, Int64s, K, Workload

__all__ = ["NOT_ASKED", "Built", "Local", "Side"]

NOT_ASKED = -2
"""In the answers of a query whose tenant the contender does not answer for."""


@dataclass(frozen=True, slots=True)
class Built:
    """What a build gave and took. `memory` is its growth, scaled up where only a part was built."""

    settings: tuple[str, ...]
    memory: Memory
    built_share: float
    build_s: float
    build_cpu_s: float
    facts: dict[str, float | str] = field(default_factory=dict)


class Side(ABC):
    """One contender, wherever it is. `build` comes first, then many times `ask`; `close` ends it."""

    name: str

    @abstractmethod
    def build(self, workload: Workload) -> Built:
        """Build from the workload. Raises LeftOut where it cannot."""

    @abstractmethod
    def ask(self, setting: str, n_warm: int) -> tuple[Int64s, Float64s]:
        """One pass over all queries of the workload, the first `n_warm` of them asked before, untimed.

        Returns rows int64 (q, k), padded with −1, `NOT_ASKED` throughout where its tenant is not answered for, and CPU
        µs float64 (q,), nan there. Raises LeftOut where it fails.
        """

    def close(self) -> None:  # noqa: B027  # a contender in this process goes with it
        """Give up what it holds."""


class Local(Side):
    """A contender in this process."""

    def __init__(self, contender: Contender) -> None:
        self.name = contender.name
        self._contender = contender
        self._workload: Workload | None = None

    def build(self, workload: Workload) -> Built:
        self._workload = workload
        _touch(workload)
        contender = self._contender
        before, watch = memory(), Stopwatch()
        contender.build(workload)
        wall_s, cpu_s = watch.wall_s, watch.cpu_s
        grown = memory() - before
        scaled = Memory(round(contender.scaled(grown.resident)), round(contender.scaled(grown.anonymous)))
        return Built(tuple(contender.settings), scaled, contender.built_share, wall_s, cpu_s, contender.facts)

    def ask(self, setting: str, n_warm: int) -> tuple[Int64s, Float64s]:
        assert self._workload is not None, "build comes first"
        workload, contender = self._workload, self._contender
        contender.use(setting)
        answers = np.full((len(workload.queries), K), -1, np.int64)
        times = np.full(len(workload.queries), np.nan)
        covered = contender.tenants
        search, now = contender.search, time.thread_time_ns
        pairs = list(zip(workload.askers.tolist(), list(workload.queries), strict=True))
        for tenant, query in pairs[:n_warm]:
            if covered is None or tenant in covered:
                search(tenant, query)
        for i, (tenant, query) in enumerate(pairs):
            if covered is not None and tenant not in covered:
                answers[i] = NOT_ASKED
                continue
            began = now()
            found = search(tenant, query)
            times[i] = (now() - began) / 1e3
            answers[i, : len(found)] = found
        return answers, times


def _touch(workload: Workload) -> None:
    """Read all vectors and compute what the workload computes once, so that no contender's memory includes either."""
    for first in range(0, len(workload.vectors), 65_536):
        workload.vectors[first : first + 65_536].max()
    for tenant in workload.asking():
        workload.access.rows_of(tenant)
