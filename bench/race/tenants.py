"""One tenant among many: the contest of `bench tenants` with its bars, by one command."""

import argparse
import shlex
from collections.abc import Sequence

from bench.race.parts import chosen
from bench.tenants.command import contest
from bench.tenants.elsewhere import How
from bench.tenants.limits import Limits
from bench.tenants.store import Store
from bench.tenants.worlds import NAMES

__all__ = ["run"]


def run(given: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Run the workloads that `--data` names, all of them by default; 1 where a bar is missed.

    Raises SystemExit where it names one that there is not.
    """
    names = chosen(given.data, NAMES, "workload")
    how = How(Store(given.cache), Limits(n_threads=given.threads))
    recorded = "race-tenants", shlex.join(["python", "-m", "bench", "race", *arguments])
    return max(contest(name, how, given, recorded) for name in names)
