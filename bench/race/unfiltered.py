"""Indexes in process, one thread, no filter: what a query costs at each recall, beside everything an index takes."""

import argparse
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench import report
from bench.datasets import load
from bench.race.entries import LIBRARIES, Entry
from bench.race.inprocess import Plan, measure
from bench.race.parts import chosen
from bench.race.rows import times
from bench.race.show import text
from bench.race.verdict import code, unjudged
from bench.record import record
from bench.report import Figure
from bench.tenants.contender import LeftOut
from bench.tenants.store import Store

__all__ = ["BAR", "DATA_SETS", "OURS", "RIVAL", "TARGET", "race", "run"]

DATA_SETS = ("arxiv-120k", "fashion-mnist")
OURS, RIVAL = "vdb-index", "hnswlib"
"""Of the rival the best of its builds counts, whose names begin like it."""
TARGET, BAR = "0.95", 1.4


def run(given: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Race the libraries on each data set; a row for each. 1 where a bar is missed."""
    return race("unfiltered", LIBRARIES, given, arguments, given.data or DATA_SETS)


def race(
    name: str, entries: Mapping[str, Entry], given: argparse.Namespace, arguments: Sequence[str], sets: Sequence[str]
) -> int:
    """Race these on each data set, print the report and write the rows as `race-<name>`; 1 where a bar is missed
    or ours drops out. Raises SystemExit where `--only` names a contender that there is not.
    """
    store, codes = Store(given.cache), [0]
    names = chosen(given.only, tuple(entries), "contender")
    racing = {one: entry for one, entry in entries.items() if one in names}
    for data_set in sets:
        try:
            workload = load(data_set, store, given.seed, is_quick=given.quick)
        except LeftOut as exc:
            print(f"\n== {data_set}: left out: {exc}", flush=True)
            continue
        row = measure(racing, workload, store, Plan(given.repetitions, given.threads))
        is_judged = name == "unfiltered" and not given.quick  # of a few thousand rows the cost of a call is all
        row["not raced"] = [name for name in entries if name not in racing]
        figures = _against(row["contenders"], entries, row["not raced"]) if is_judged else []
        row["bars"] = {figure.name: figure.as_row() for figure in figures}
        said = [text(row), report.table(figures) if figures else "", unjudged(figures, 1) if is_judged else ""]
        print(*filter(None, said), sep="\n", flush=True)
        record(f"race-{name}", row, shlex.join(["python", "-m", "bench", "race", *arguments]), given.results)
        codes.append(code(row, figures, TARGET if is_judged else None))
    return max(codes)


def _against(contenders: Mapping[str, Any], known: Iterable[str], not_raced: Sequence[str]) -> list[Figure]:
    """How many times the queries of the rival, and of the best peer, ours answers in a second of CPU.

    The rival is judged where all its builds took part, the best of peers is told where all peers did.
    """
    at = {name: found["at recall"][TARGET] for name, found in contenders.items()}
    costs = {name: cost for name, cost in at.items() if cost is not None}
    own = costs.pop(OURS, None)
    if own is None:
        return []
    figures = []
    rivals = [name for name in costs if name.startswith(RIVAL)]
    if rivals and all(name in contenders for name in known if name.startswith(RIVAL)):
        best = min(rivals, key=lambda name: float(costs[name]["cpu us"]))
        figures.append(times(f"QPS at {TARGET}, ours / best of {RIVAL}, {best}", own, costs[best], BAR))
    if costs and not not_raced:
        best = min(costs, key=lambda name: float(costs[name]["cpu us"]))
        figures.append(times(f"QPS at {TARGET}, ours / best of peers, {best}", own, costs[best]))
    return figures
