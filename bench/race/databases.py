"""Databases in process: ids, a payload, files that last; what a search costs at each recall, a restart, the disk."""

import argparse
from collections.abc import Sequence

from bench.race.entries import DATABASES
from bench.race.unfiltered import race

__all__ = ["DATA_SETS", "run"]

DATA_SETS = ("arxiv-120k",)


def run(given: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Race the databases on each data set; a row for each. There are no bars."""
    return race("databases", DATABASES, given, arguments, given.data or DATA_SETS)
