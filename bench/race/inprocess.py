"""Contenders in processes of their own, asked in turns: the row of a race between libraries or databases.

Each is built alone, saved and loaded again by a second process, where it can be; what that finds is judged as well. A
first pass of each (contender, setting) over all queries gives the answers that are judged. Then each repetition runs
every (contender, setting) once, settings in an order drawn for it, so that what the machine does meanwhile falls on all
alike; a query's CPU time is the median of its repetitions, latencies are of all of them. What the clocks add to it is
in the row (`clock us`) and is not taken off. A contender that fails on the way is left out with the reason, in the row
and at once on standard error.

A contender's part of the row: `packages`, `parameters`; `build s`, `build CPU s`; `resident bytes` and `anonymous
bytes`, the growth by its build; `resident bytes of libraries` before; `disk bytes`; `start s`, an interpreter with its
libraries; `restart s`, from files that the system has in its memory until the first answer, of which `first search s`;
both kinds of bytes `after a restart` and a pass over all queries, with the recall of that; `at recall`, CPU µs on the
line between the settings around it; `sweeps`, each setting's recall and times. Bytes of a file that is mapped count as
resident once touched.
"""

import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.datasets import queries_path, vectors_path
from bench.race.entries import Entry, start_of, versions_of
from bench.race.process import Answers, Process, Start
from bench.race.rows import at_targets, facts_of, of_wall, rounded, what_was_found
from bench.tenants.contender import LeftOut
from bench.tenants.protocol import order_of
from bench.tenants.store import Store
from bench.tenants.truth import Judged, judge
from bench.tenants.workload import K, Workload

__all__ = ["Plan", "measure"]

_N_WARM = 100
_LEAST_OF_OTHERS = 0.05
"""The share of a query's cost from which CPU that its thread did not take is told from noise."""
_Found = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and with how many threads: `threads` of builds; searches have one."""

    repetitions: int = 3
    threads: int = 2


@dataclass(slots=True)
class _Run:
    """A contender under way."""

    process: Process
    facts: _Found
    settings: list[str]
    judged: list[Judged] = field(default_factory=list)
    passes: list[list[Answers]] = field(default_factory=list)


def measure(entries: Mapping[str, Entry], workload: Workload, store: Store, plan: Plan) -> _Found:
    """The row of a race on one data set: contenders with their sweeps, and who is left out."""
    left_out: dict[str, str] = {}
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vdb-bench-")))
        runs: dict[str, _Run] = {}
        for name, entry in entries.items():
            try:
                runs[name] = _built(stack, name, entry, workload, store, place / name, plan)
            except LeftOut as exc:
                _note(left_out, name, exc)
        for turn in range(1 + plan.repetitions):
            for name in list(runs):
                try:
                    _turn(runs[name], workload, store, is_first=turn == 0)
                except LeftOut as exc:
                    _note(left_out, name, exc)
                    runs.pop(name).process.end()
            print(f"turn {turn} of {plan.repetitions} is done", file=sys.stderr, flush=True)
        return {
            "data set": {"name": workload.name, "metric": workload.metric, "dimension": workload.dimension}
            | workload.about
            | {"raw bytes": workload.raw_bytes},
            "k": K,
            "threads of a search": 1,
            "repetitions": plan.repetitions,
            "contenders": {name: _row(run) for name, run in runs.items()},
            "left out": left_out,
        }


def _note(left_out: dict[str, str], name: str, exc: LeftOut) -> None:
    left_out[name] = str(exc)
    print(f"{name} is left out: {exc}", file=sys.stderr, flush=True)


def _built(
    stack: ExitStack, name: str, entry: Entry, workload: Workload, store: Store, folder: Path, plan: Plan
) -> _Run:
    start = start_of(name, entry, store.folder)
    folder.mkdir()
    began = time.perf_counter()
    process = stack.enter_context(Process(start))
    given = {"vectors": vectors_path(store, workload), "metric": workload.metric, "folder": folder}
    print(f"{name} is built", file=sys.stderr, flush=True)
    facts: _Found = {"packages": versions_of(name, entry, store.folder)}
    try:
        facts |= process.ask("start") | {"start s": time.perf_counter() - began}
        facts |= process.ask("build", threads=plan.threads, **given)
        facts |= process.ask("save")
    except LeftOut:
        process.end()
        raise
    if facts["disk bytes"] is not None:
        facts |= _restarted(start, given, workload, store)
    return _Run(process, facts, facts.pop("settings"))


def _restarted(start: Start, given: _Found, workload: Workload, store: Store) -> _Found:
    """What a second process takes that loads what the first one saved, and what it finds with the last setting."""
    try:
        with Process(start) as second:
            found = second.ask("load", k=K, **given)
            if not found.pop("first hits"):
                raise LeftOut("it has no answer after a restart")
            answers = second.queries(queries_path(store, workload), found.pop("settings")[-1], K, 0)
            found |= {f"{name} after a restart": value for name, value in second.ask("memory").items()}
    except LeftOut as exc:
        return {"restart": str(exc)}
    recall = float(judge(workload, answers.rows).recalls.mean())
    return found | {"recall after a restart": recall}


def _turn(run: _Run, workload: Workload, store: Store, *, is_first: bool) -> None:
    """One pass of every setting; the first is judged, the others are timed."""
    queries = queries_path(store, workload)
    if is_first:
        answers = (run.process.queries(queries, setting, K, _N_WARM) for setting in run.settings)
        run.judged = [judge(workload, one.rows) for one in answers]
        run.passes = [[] for _ in run.settings]
        return
    for place, i in enumerate(order_of(run.settings, len(run.passes[0]))):
        n_warm = _N_WARM if place else len(workload.queries)  # others filled the caches meanwhile
        run.passes[i].append(run.process.queries(queries, run.settings[i], K, n_warm))


def _row(run: _Run) -> _Found:
    loop_us = run.facts["loop us"]
    sweeps = [_sweep(*one, loop_us) for one in zip(run.settings, run.judged, run.passes, strict=True)]
    return facts_of(run.facts) | {"at recall": at_targets(sweeps), "sweeps": sweeps}


def _sweep(setting: str, judged: Judged, passes: list[Answers], loop_us: float) -> _Found:
    """Cost is CPU: the median of each query's repetitions, and what other threads of the process took meanwhile."""
    cpu_us = np.median(np.stack([one.cpu_us for one in passes]), axis=0)
    wall_us = np.concatenate([one.wall_us for one in passes])
    beside = float(np.median([one.process_us - one.cpu_us.mean() for one in passes])) - loop_us
    of_others = beside if beside > _LEAST_OF_OTHERS * cpu_us.mean() + 1 else 0.0  # the loop's own cost varies a little
    return what_was_found(setting, judged) | {
        "cpu us": {"mean": rounded(float(cpu_us.mean()) + of_others), "of other threads": rounded(of_others)},
        "wall us": {"mean": rounded(float(wall_us.mean())), **of_wall(wall_us)},
        "qps": round(1e6 / float(wall_us.mean())),
        "runs cpu us": [rounded(float(one.cpu_us.mean())) for one in passes],
    }
