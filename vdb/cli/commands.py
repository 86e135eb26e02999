"""How a module adds its commands: `Commands`, and the options that several commands take."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vdb.cli.output import Output

__all__ = ["Commands", "Run", "add_data_dir"]

Run = Callable[[argparse.Namespace, Output], int]


class Commands:
    """A place for commands: the top level, or a group such as `vdb backup`."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._choices: Any = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(
        self, name: str, run: Run, summary: str, *, description: str = "", examples: Sequence[str] = ()
    ) -> argparse.ArgumentParser:
        """A command, which knows `--json` and `--help`; the caller adds its other options to the parser returned.

        `run` gets the parsed options and the output, and returns the exit code. `examples` are whole command lines.
        """
        parser = self._parser(name, summary, description or f"{summary[0].upper()}{summary[1:]}.", examples)
        parser.add_argument("--json", action="store_true", help="answer with JSON")
        parser.set_defaults(run=run)
        return parser

    def group(self, name: str, summary: str, *, short_for: str = "") -> "Commands":
        """A group of commands under one name; `short_for` is the command that a word which names none stands for."""
        parser = self._parser(name, summary, f"{summary[0].upper()}{summary[1:]}.", ())
        if short_for:
            parser.epilog = f"`vdb {name} NAME` is short for `vdb {name} {short_for} NAME`."
        return Commands(parser)

    def _parser(self, name: str, summary: str, description: str, examples: Sequence[str]) -> argparse.ArgumentParser:
        epilog = "\n".join(["examples:", *(f"  {example}" for example in examples)]) if examples else None
        parser: argparse.ArgumentParser = self._choices.add_parser(
            name,
            help=summary,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        return parser


def add_data_dir(
    parser: argparse.ArgumentParser,
    *,
    is_required: bool = False,
    text: str = "directory of all data (default: $VDB_DATA_DIR or ./data)",
) -> None:
    """`--data-dir`, for commands on a directory."""
    parser.add_argument("--data-dir", type=Path, metavar="DIR", required=is_required, help=text)
