"""Servers over the network, each started by the race on 127.0.0.1: what a query costs the server at each recall.

Contenders: `vdb serve` in JSON and with binary bodies, Chroma, PostgreSQL with pgvector, milvus-lite.
"""

import argparse
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from bench import report
from bench.datasets import load
from bench.race.parts import chosen
from bench.race.rows import times
from bench.race.servers import contenders as taking
from bench.race.servers.contenders import Setup
from bench.race.servers.measure import TARGET, Plan, measure
from bench.race.servers.writing import text
from bench.race.verdict import code, unjudged
from bench.record import record
from bench.report import Figure
from bench.tenants.contender import LeftOut
from bench.tenants.store import Store

__all__ = ["CHROMA_BAR", "DATA_SETS", "PGVECTOR_BAR", "bars", "run"]

DATA_SETS = ("arxiv-100k",)
CHROMA_BAR, PGVECTOR_BAR = 3.0, 1.0


def run(given: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Race the servers on each data set; a row for each. 1 where a bar is missed or ours drops out.

    Raises SystemExit where `--only` names a contender that there is not.
    """
    store, codes = Store(given.cache), [0]
    entries = taking.contenders()
    names = chosen(given.only, tuple(entries), "contender")
    racing = {name: made for name, made in entries.items() if name in names}
    setup = Setup(given.cache, given.threads, given.quick)
    for data_set in given.data or DATA_SETS:
        try:
            workload = load(data_set, store, given.seed, is_quick=given.quick)
        except LeftOut as exc:
            print(f"\n== {data_set}: left out: {exc}", flush=True)
            continue
        row = measure(racing, workload, store, setup, Plan(given.repetitions))
        row["not raced"] = [name for name in entries if name not in racing]
        figures = [] if given.quick else bars(row["contenders"])  # of a few thousand rows the cost of a request is all
        row["bars"] = {figure.name: figure.as_row() for figure in figures}
        said = [text(row), report.table(figures) if figures else "", "" if given.quick else unjudged(figures, 2)]
        print(*filter(None, said), sep="\n", flush=True)
        record("race-http", row, shlex.join(["python", "-m", "bench", "race", *arguments]), given.results)
        codes.append(code(row, figures, None if given.quick else f"{TARGET:g}"))
    return max(codes)


def bars(contenders: Mapping[str, Any]) -> list[Figure]:
    """Queries per second of server CPU against the rivals', at the recall of the bar.

    Chroma is asked in JSON as ours is there; pgvector in binary, as ours is there. Of pgvector's indexes the cheapest.
    """
    costs = {name: found["at recall"].get(f"{TARGET:g}") for name, found in contenders.items()}
    reached = {name: cost for name, cost in costs.items() if cost is not None}
    pgvector = [reached[name] for name in taking.PGVECTORS if name in reached]
    if not all(name in contenders for name in taking.PGVECTORS):  # the cheapest may be the one that is missing
        pgvector = []
    cheapest = min(pgvector, key=lambda cost: float(cost["cpu us"]), default=None)
    rivals = {"Chroma": reached.get(taking.CHROMA), "pgvector": cheapest}
    pairs = [
        (taking.OURS_JSON, "Chroma", CHROMA_BAR),
        (taking.OURS_BINARY, "Chroma", None),
        (taking.OURS_BINARY, "pgvector", PGVECTOR_BAR),
        (taking.OURS_JSON, "pgvector", None),
    ]
    return [
        times(f"QPS per server CPU-second at {TARGET:g}, {ours} / {rival}", reached[ours], cost, bar)
        for ours, rival, bar in pairs
        if ours in reached and (cost := rivals[rival]) is not None
    ]
