"""Isolation: random operations of three tenants against a model of what each may see; then readers beside writers.

A Hypothesis state machine (see `machine`) runs until the engine has done the operations asked for; then owners and
readers run concurrently (see `concurrent`). Exit code 1 at the first difference.
"""

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import seed as seeded
from hypothesis.stateful import run_state_machine_as_test

from bench.isolation.compare import Mismatch
from bench.isolation.concurrent import run_concurrently
from bench.isolation.machine import IsolationMachine, totals
from bench.record import record

EXAMPLES_PER_ROUND = 20
STEPS = 150


def run_machine(n_operations: int, first_seed: int) -> Counter[str]:
    """Run the machine round by round, each with a seed of its own; raises Mismatch or what the engine raised."""
    totals.clear()
    seed = first_seed
    while sum(totals.values()) < n_operations:
        given = settings(
            max_examples=EXAMPLES_PER_ROUND,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(seeded(seed)(IsolationMachine), settings=given)
        seed += 1
        print(f"{sum(totals.values())} operations", flush=True)
    return Counter(totals)


def main(arguments: list[str]) -> int:
    """Run both parts; 0 when nothing was wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench isolation", description=__doc__.partition("\n")[0])
    parser.add_argument("--operations", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the concurrent part")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="append the figures to bench/results/isolation.json")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        operations = run_machine(given.operations, given.seed)
    except Mismatch as exc:
        print(f"the engine and the model differ: {exc}")
        print("\n".join(getattr(exc, "__notes__", ())))
        return 1
    with tempfile.TemporaryDirectory(prefix="vdb-isolation-") as folder:
        outcome = run_concurrently(Path(folder) / "data", given.seconds, given.seed)
    print("\n".join(outcome.problems[:20]))
    figures = {
        "operations": sum(operations.values()),
        "operations_by_kind": dict(operations),
        "foreign_results": 0,
        "concurrent_operations": dict(outcome.n_operations),
        "concurrent_hits_judged": outcome.n_hits,
        "concurrent_problems": len(outcome.problems),
        "seed": given.seed,
        "wall_s": round(time.monotonic() - began, 1),
    }
    print("\n".join(f"{name:<24} {value}" for name, value in figures.items()))
    if given.record:
        record("isolation", figures, "python -m bench isolation " + " ".join(arguments))
    return 1 if outcome.problems else 0
