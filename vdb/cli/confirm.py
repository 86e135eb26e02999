"""Asking before something is lost for good."""

import argparse
import sys

from vdb.cli.exit_codes import WrongUsage
from vdb.cli.output import Output
from vdb.errors import Conflict

__all__ = ["add_yes", "confirm"]


def add_yes(parser: argparse.ArgumentParser) -> None:
    """`--yes`, which a command that deletes needs where nobody can be asked."""
    parser.add_argument("--yes", action="store_true", help="do not ask")


def confirm(given: argparse.Namespace, output: Output, question: str) -> None:
    """Go on if `--yes` was given or the person at the terminal says yes.

    Raises Conflict for another answer, WrongUsage where there is no terminal to ask at.
    """
    if given.yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise WrongUsage(f"{question} Nobody can be asked here: give --yes")
    output.ask(f"{question} [y/N] ")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Conflict("nothing was changed")
