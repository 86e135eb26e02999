"""A race in parts that an older contest measures: each in a process of its own, peers in environments made for it."""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench import report
from bench.race.environments import Environment, environment
from bench.record import ROOT, record
from bench.report import Figure
from bench.tenants.contender import LeftOut

__all__ = ["Peers", "chosen", "installed", "run"]

Peers = Mapping[str, tuple[str, ...]]
"""Environments by name, with the requirements of each."""


def run(
    parts: Sequence[str],
    given: argparse.Namespace,
    arguments: Sequence[str],
    measure: Callable[[str], tuple[list[Figure], dict[str, str]]],
) -> int:
    """Measure these parts of the race that `given` names; 1 where a bar is missed.

    `measure` gives the figures of a part, and the releases of the peers beside it. Each part writes a row of its own. A
    part that raises LeftOut, as its data is not there, is no failure.
    """
    if len(parts) > 1:
        codes = []
        for part in parts:
            print(f"\n== {part}", flush=True)
            again = [sys.executable, "-m", "bench", "race", *arguments, "--data", part]  # the last one counts
            codes.append(subprocess.run(again, cwd=ROOT, check=False).returncode)
        return int(any(codes))  # a part that a signal ended has a code below 0
    try:
        figures, releases = measure(parts[0])
    except LeftOut as exc:
        print(f"left out: {exc}", flush=True)
        return 0
    if figures:
        print(report.table(figures))
        command = shlex.join(["python", "-m", "bench", "race", *arguments])
        found = {figure.name: figure.as_row() for figure in figures}
        record(f"race-{given.workload}", found, command, given.results, releases=releases)
    return int(any(figure.passes is False for figure in figures))


def chosen(names: Sequence[str] | None, known: Sequence[str], what: str) -> Sequence[str]:
    """The names given, or all that are known. Raises SystemExit where one is not."""
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise SystemExit(f"no {what} {', '.join(unknown)}: there are {', '.join(known)}")
    return names or known


def installed(peers: Peers, cache: Path) -> tuple[dict[str, Environment], dict[str, str]]:
    """The environments of these peers, and the releases of what they were made for; those that cannot be are told."""
    made: dict[str, Environment] = {}
    releases: dict[str, str] = {}
    for name, requirements in peers.items():
        try:
            made[name] = environment(cache, name, requirements)
        except LeftOut as exc:
            print(f"{name} is left out: {exc}", flush=True)
            continue
        releases |= made[name].releases(requirements)
    return made, releases
