"""How contenders are measured: one Python call per query, CPU time of the thread, repetitions taken in turn.

Every contender is built once, its memory taken before and after. A first pass of each (contender, setting) over all
queries gives the answers that are judged. Then each repetition runs every (contender, setting) once, so that what the
machine does meanwhile falls on all alike; a contender's settings stand together, in an order drawn for the turn, after
an untimed pass of the first. A query's time is the median of its repetitions.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from numpy.typing import NDArray

from bench.tenants.contender import Contender, LeftOut
from bench.tenants.limits import Memory
from bench.tenants.sides import Built, Local, Side
from bench.tenants.truth import Judged, judge
from bench.tenants.workload import Float64s, Workload

_N_WARM = 100
"""Queries asked untimed before each pass. After another contender, which filled the caches with its own, it is all."""


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """One setting of a contender: recall and CPU µs of each query, float64 (q,), nan where it was not asked.

    `times_us` (r, q) are those of each repetition, `cpu_us` their medians; `n_foreign` counts hits that the tenant may
    not see, `n_twice` hits named again.
    """

    setting: str
    recalls: Float64s
    cpu_us: Float64s
    times_us: NDArray[np.float64]
    n_foreign: int
    n_twice: int

    @property
    def runs_us(self) -> tuple[float, ...]:
        """The means of the repetitions."""
        return tuple(float(np.nanmean(one)) for one in self.times_us)


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


@dataclass(slots=True)
class _Run:
    """A side under way: what its settings found, and the CPU µs of each of their passes."""

    side: Side
    built: Built
    judged: list[Judged] = field(default_factory=list)
    times: list[list[Float64s]] = field(default_factory=list)


def measure(
    contenders: Iterable[Contender], workload: Workload, n_repetitions: int
) -> tuple[list[Measured], dict[str, str]]:
    """Build and time contenders in this process; those that take part, and why the others do not."""
    return measure_sides([Local(one) for one in contenders], workload, n_repetitions)


def measure_sides(
    sides: Iterable[Side], workload: Workload, n_repetitions: int
) -> tuple[list[Measured], dict[str, str]]:
    """Build and time all sides, wherever they are; those that take part, and why the others do not."""
    runs, left_out = _build(sides, workload)
    for turn in range(1 + n_repetitions):
        for run in list(runs):
            try:
                _turn(run, workload, is_first=turn == 0)
            except LeftOut as exc:
                left_out[run.side.name] = str(exc)
                runs.remove(run)
    return [_measured(run) for run in runs], left_out


def order_of(settings: Sequence[str], turn: int) -> list[int]:
    """Places of the settings in the order in which a turn asks them: neighbours of a sweep share no moment."""
    return [int(place) for place in np.random.default_rng(turn).permutation(len(settings))]


def clock_us(n: int = 1_000) -> float:
    """What the clock itself adds to each query: the median difference of two readings, in µs."""
    return median(-(time.thread_time_ns() - time.thread_time_ns()) for _ in range(n)) / 1e3


def _build(sides: Iterable[Side], workload: Workload) -> tuple[list[_Run], dict[str, str]]:
    runs: list[_Run] = []
    left_out: dict[str, str] = {}
    for side in sides:
        try:
            runs.append(_Run(side, side.build(workload)))
        except LeftOut as exc:
            left_out[side.name] = str(exc)
    return runs, left_out


def _turn(run: _Run, workload: Workload, *, is_first: bool) -> None:
    """Every setting of one side once; the first turn is judged, the others are timed."""
    settings = run.built.settings
    if is_first:
        run.judged = [judge(workload, run.side.ask(setting, 0)[0]) for setting in settings]
        run.times = [[] for _ in settings]
        return
    for place, i in enumerate(order_of(settings, len(run.times[0]))):
        run.times[i].append(run.side.ask(settings[i], _N_WARM if place else len(workload.queries))[1])


def _measured(run: _Run) -> Measured:
    built = run.built
    sweeps = [_sweep(*one) for one in zip(built.settings, run.judged, run.times, strict=True)]
    took = built.build_s, built.build_cpu_s
    return Measured(run.side.name, tuple(sweeps), built.memory, built.built_share, *took, built.facts)


def _sweep(setting: str, judged: Judged, times: Sequence[Float64s]) -> Sweep:
    runs = np.stack(times)
    return Sweep(setting, judged.recalls, np.median(runs, axis=0), runs, judged.n_foreign, judged.n_twice)
