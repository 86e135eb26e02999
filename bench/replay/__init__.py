"""Load replay: requests at the moments of a trace, from tenants of very different sizes, against a server.

Open loop: a request leaves at its moment whether or not earlier ones were answered, and its latency counts from that
moment. The trace is a file (CSV of TIMESTAMP, ContextTokens, GeneratedTokens, or Mooncake's JSON Lines); by default
the Azure LLM inference trace of code in the folder of data sets, else a bursty one made from the seed. Times are scaled
by one factor, so bursts stay what they are. Tenants have and ask by Zipf's law.
"""

import argparse
import gc
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench import report
from bench.connection import Refused
from bench.datasets import load
from bench.record import record
from bench.replay import place, summary
from bench.replay.asked import Drawn, drawn, parts_of, requests
from bench.replay.place import BadAddress, Place
from bench.replay.player import Outcome, Player
from bench.replay.trace import BadTrace, Trace, generated, read
from bench.report import Figure
from bench.tenants import growth
from bench.tenants.contender import LeftOut
from bench.tenants.store import Store, default_folder
from bench.tenants.workload import Workload

__all__ = ["default_trace", "main"]

_AZURE = Path("traces") / "azure_llm_code_2023.csv"
_WARM = 200
"""Searches of the trace sent in turn before, unmeasured."""


def main(arguments: Sequence[str]) -> int:
    """Replay a trace, print the report and write a row; 2 where the trace, the data or the server will not do."""
    parser = _parser()
    given = parser.parse_args(arguments)
    _check(parser, given)
    try:
        trace = default_trace(given.seed) if given.trace is None else read(given.trace)
        played = trace.sped_up(_factor(trace, given)).first(float("inf") if given.seconds is None else given.seconds)
        workload = load(given.data, Store(given.cache), given.seed, is_quick=given.quick)
        if len(workload.vectors) < given.tenants or workload.metric != "cosine":
            raise LeftOut(f"{given.data}: a set of directions (cosine) with a point for each tenant is needed")
        made = place.started() if given.url is None else place.there_already(given.url, given.key_file, given.tenants)
        with made as where:
            found = _replay(given, played, workload, where)
    except (BadTrace, BadAddress, LeftOut, Refused) as exc:
        print(f"bench replay: {exc}", file=sys.stderr)
        return 2
    figures = [*summary.burst_figures("as recorded", trace.at_s), *summary.burst_figures("as played", played.at_s)]
    figures += found.pop("figures")
    print(report.table(figures))
    row = {"trace": {"source": trace.source, "requests": len(trace), "mean 1/s": round(trace.per_s, 4)}} | found
    row |= {figure.name: figure.as_row() for figure in figures}
    record("replay", row, shlex.join(["python", "-m", "bench", "replay", *arguments]), given.results)
    return 0


def default_trace(seed: int) -> Trace:
    """The Azure trace of code where it is there, else one made from the seed."""
    path = growth.datasets() / _AZURE
    return read(path) if path.is_file() else generated(seed)


def _parser() -> argparse.ArgumentParser:
    parser = report.parser("replay", __doc__)
    parser.add_argument("--trace", type=Path, metavar="FILE", help="CSV or JSON Lines, also .gz")
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument("--speed", type=float, help="how many times as fast as recorded")
    pace.add_argument("--rate", type=float, default=100.0, help="mean requests per second of the whole trace")
    parser.add_argument("--seconds", type=float, help="of the trace, as played (default: all of it)")
    parser.add_argument("--tenants", type=int, default=100)
    parser.add_argument("--zipf", type=float, default=1.0, help="exponent of the tenants' sizes and requests")
    parser.add_argument("--writes", type=float, default=0.0, help="share of the requests that store points")
    parser.add_argument("--data", default="made-clustered-100kx128", help="the set whose points tenants have")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds after which a request is given up")
    parser.add_argument("--url", help="a server that runs already, http://HOST:PORT (default: one is started)")
    parser.add_argument("--key-file", type=Path, help="file with the admin key of the server at --url")
    parser.add_argument("--quick", action="store_true", help="a small generated set")
    parser.add_argument("--cache", type=Path, default=default_folder(), help="folder of data sets")
    return parser


def _check(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """Refuse numbers that make no sense, as the parser refuses words."""
    positive = ("seconds", "rate", "timeout", "tenants", "connections", "speed")
    wrong = [name for name in positive if (value := getattr(given, name)) is not None and not 0 < value < float("inf")]
    if wrong:
        parser.error(f"--{wrong[0]} must be above 0")
    if not 0 <= given.writes <= 1 or not 0 <= given.zipf <= 10 or given.connections > 900:
        parser.error("--writes is 0 to 1, --zipf 0 to 10, --connections at most 900")


def _factor(trace: Trace, given: argparse.Namespace) -> float:
    return float(given.speed if given.speed is not None else given.rate / trace.per_s)


def _replay(given: argparse.Namespace, trace: Trace, workload: Workload, where: Place) -> dict[str, Any]:
    """Fill the server, play the trace; what it was and the figures."""
    parts = parts_of(workload.vectors, given.tenants, given.zipf, given.seed)
    keys = where.fill(parts)
    state = where.settle()
    asked = drawn(trace, given.tenants, given.zipf, given.writes, given.seed)
    made = requests(asked, where.name, keys, workload.queries, workload.vectors, given.seed)
    searches = [made[i] for i in np.flatnonzero(~asked.is_write)[:_WARM]]
    outcome, cpu_s = _played(given, trace, where, searches, made)
    figures = summary.figures(outcome, asked.tenants, given.tenants, given.timeout)
    n_answered = int((outcome.status > 0).sum())
    if cpu_s is not None and n_answered:
        figures.append(Figure("server CPU per answered request", cpu_s / n_answered * 1e3, "ms"))
    world = _world(given, workload, parts, asked) | {"index": state, "kernels": where.kernels()}
    return {"world": world, "figures": figures}


def _played(
    given: argparse.Namespace, trace: Trace, where: Place, searches: Sequence[bytes], made: Sequence[bytes]
) -> tuple[Outcome, float | None]:
    """The outcome of all requests, and the server's CPU seconds meanwhile where they are known."""
    with where.connect() as connection:
        for one in searches:
            connection.exchange(one)
    player = Player(where.port, given.connections, given.timeout, where.host)
    gc.collect()
    gc.disable()  # its pauses would be latency
    try:
        before = where.cpu_s()
        outcome = player.play(made, trace.at_s)
        after = where.cpu_s()
    finally:
        gc.enable()
        player.close()
    return outcome, None if before is None or after is None else after - before


def _world(given: argparse.Namespace, workload: Workload, parts: Sequence[np.ndarray], asked: Drawn) -> dict[str, Any]:
    return {
        "data set": workload.name,
        "points": len(workload.vectors),
        "dimension": workload.dimension,
        "tenants": given.tenants,
        "zipf": given.zipf,
        "points of the largest, middle and smallest tenant": [len(parts[i]) for i in (0, len(parts) // 2, -1)],
        "tenants that ask": len(np.unique(asked.tenants)),
        "writes": int(asked.is_write.sum()),
        "mean hits of a search": round(float(asked.sizes[~asked.is_write].mean()), 2)
        if not asked.is_write.all()
        else 0,
        "connections": given.connections,
        "timeout s": given.timeout,
        "server": "started" if given.url is None else "given",
    }
