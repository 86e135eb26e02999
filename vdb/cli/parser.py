"""The parser of `vdb`, put together from the commands' modules, each of which has `add(commands)`."""

import argparse
from collections.abc import Sequence

from vdb import __version__
from vdb.cli import (
    answer,
    backup,
    caches,
    check,
    collections,
    compact,
    completion,
    evaluate,
    health,
    ingest,
    jobs,
    keys,
    models,
    restore,
    search,
    serve,
    stats,
    tenants,
    transfer,
)
from vdb.cli.commands import Commands

__all__ = ["MODULES", "build", "parse"]

MODULES = (
    serve,
    health,
    collections,
    tenants,
    keys,
    caches,
    models,
    search,
    answer,
    ingest,
    evaluate,
    transfer,
    stats,
    jobs,
    check,
    backup,
    restore,
    compact,
    completion,
)
"""In the order of `vdb --help`."""


def build() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(prog="vdb", description="A multi-tenant vector database.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"vdb {__version__}")
    commands = Commands(parser)
    for module in MODULES:
        module.add(commands)
    return parser


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options given; raises SystemExit for wrong usage (2) and for `--help` (0)."""
    return build().parse_args(_spelt_out(arguments))


def _spelt_out(arguments: Sequence[str]) -> list[str]:
    """`vdb backup NAME` is short for `vdb backup create NAME`."""
    first, *others = arguments or ("",)
    if first == "backup" and others and others[0] not in (*backup.COMMANDS, "-h", "--help"):
        return ["backup", "create", *others]
    return list(arguments)
