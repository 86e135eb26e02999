"""How contenders are measured: one Python call per query, CPU time of the thread, repetitions taken in turn.

Every contender is built once, its memory taken before and after. A first pass of each (contender, setting) over all
queries gives the answers that are judged. Then each repetition runs every (contender, setting) once, so that what the
machine does meanwhile falls on all alike; a contender's settings stand together, fastest first, after an untimed pass
of the fastest. A query's time is the median of its repetitions.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from numpy.typing import NDArray

from bench.tenants.contender import Contender, LeftOut
from bench.tenants.limits import Memory, Stopwatch, memory
from bench.tenants.truth import judge
from bench.tenants.workload import Float64s, Int64s, K, Workload

NOT_ASKED = -2
"""In the answers of a query whose tenant the contender does not answer for."""

_N_WARM = 100
"""Queries asked untimed before each pass. After another contender, which filled the caches with its own, it is all."""


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """One setting of a contender: recall and CPU µs of each query, float64 (q,), nan where it was not asked.

    `runs_us` are the means of the repetitions; `n_foreign` counts hits that the tenant may not see, `n_twice` hits
    named again.
    """

    setting: str
    recalls: Float64s
    cpu_us: Float64s
    runs_us: tuple[float, ...]
    n_foreign: int
    n_twice: int


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A contender's run on one workload. `memory` is the growth by its build, scaled up where only a part was built."""

    name: str
    sweeps: tuple[Sweep, ...]
    memory: Memory
    built_share: float
    build_s: float
    build_cpu_s: float
    facts: dict[str, float | str] = field(default_factory=dict)

    @property
    def asked(self) -> NDArray[np.bool_]:
        """Which queries it was asked, bool (q,)."""
        return ~np.isnan(self.sweeps[0].recalls)


@dataclass(frozen=True, slots=True)
class _Built:
    contender: Contender
    memory: Memory
    build_s: float
    build_cpu_s: float


def measure(
    contenders: Iterable[Contender], workload: Workload, n_repetitions: int
) -> tuple[list[Measured], dict[str, str]]:
    """Build and time all; those that take part, and why the others do not."""
    built, left_out = _build(contenders, workload)
    plan = [(one.contender, setting) for one in built for setting in one.contender.settings]
    judged = []
    for contender, setting in plan:
        contender.use(setting)
        judged.append(judge(workload, _ask(contender, workload)[0]))
    repetitions = []
    for _ in range(n_repetitions):
        repetitions.append(_repetition(plan, workload))
    sweeps: dict[str, list[Sweep]] = {}
    for i, (contender, setting) in enumerate(plan):
        runs = np.stack([times[i] for times in repetitions])
        found = judged[i]
        means = tuple(float(np.nanmean(run)) for run in runs)
        sweep = Sweep(setting, found.recalls, np.median(runs, axis=0), means, found.n_foreign, found.n_twice)
        sweeps.setdefault(contender.name, []).append(sweep)
    return [_measured(one, sweeps[one.contender.name]) for one in built], left_out


def clock_us(n: int = 1_000) -> float:
    """What the clock itself adds to each query: the median difference of two readings, in µs."""
    return median(-(time.thread_time_ns() - time.thread_time_ns()) for _ in range(n)) / 1e3


def _build(contenders: Iterable[Contender], workload: Workload) -> tuple[list[_Built], dict[str, str]]:
    built: list[_Built] = []
    left_out: dict[str, str] = {}
    _touch(workload)
    for contender in contenders:
        before, watch = memory(), Stopwatch()
        try:
            contender.build(workload)
        except LeftOut as exc:
            left_out[contender.name] = str(exc)
            continue
        wall_s, cpu_s = watch.wall_s, watch.cpu_s
        built.append(_Built(contender, memory() - before, wall_s, cpu_s))
    return built, left_out


def _repetition(plan: Sequence[tuple[Contender, str]], workload: Workload) -> list[Float64s]:
    """Every setting once: CPU µs of each query."""
    times = []
    before: Contender | None = None
    for contender, setting in plan:
        contender.use(setting)
        times.append(_ask(contender, workload, _N_WARM if contender is before else len(workload.queries))[1])
        before = contender
    return times


def _touch(workload: Workload) -> None:
    """Read all vectors and compute what the workload computes once, so that no contender's memory includes either."""
    for first in range(0, len(workload.vectors), 65_536):
        workload.vectors[first : first + 65_536].max()
    for tenant in workload.asking():
        workload.access.rows_of(tenant)


def _ask(contender: Contender, workload: Workload, n_warm: int = 0) -> tuple[Int64s, Float64s]:
    """Ask every query its tenant is answered for: ids int64 (q, k), CPU µs float64 (q,), nan where not asked.

    The first `n_warm` queries are asked before, untimed.
    """
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


def _measured(one: _Built, sweeps: Sequence[Sweep]) -> Measured:
    contender = one.contender
    scaled = Memory(round(contender.scaled(one.memory.resident)), round(contender.scaled(one.memory.anonymous)))
    share, facts = contender.built_share, contender.facts
    return Measured(contender.name, tuple(sweeps), scaled, share, one.build_s, one.build_cpu_s, facts)
