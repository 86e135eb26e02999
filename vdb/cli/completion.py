"""`vdb completion`: a script that completes commands, options and file names in a shell."""

import argparse

from vdb.cli.commands import Commands
from vdb.cli.exit_codes import ExitCode
from vdb.cli.output import Output

__all__ = ["add"]

_SHELLS = ("bash", "zsh", "tcsh")


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "completion",
        _completion,
        "print a script that completes commands and options in a shell",
        examples=(
            "vdb completion bash > ~/.local/share/bash-completion/completions/vdb",
            "vdb completion zsh > ~/.zfunc/_vdb     # a folder of $fpath",
        ),
    )
    parser.add_argument("shell", choices=_SHELLS, help="the shell")


def _completion(given: argparse.Namespace, output: Output) -> int:
    import shtab

    from vdb.cli.parser import build

    parser = build()
    _complete_files(parser)
    script = shtab.complete(parser, shell=given.shell)
    output.document({"shell": given.shell, "script": script})
    output.lines(script.splitlines())
    return ExitCode.OK


def _complete_files(parser: argparse.ArgumentParser) -> None:
    """Say which options name files and which folders, the way shtab wants it said."""
    import shtab

    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                _complete_files(child)
        elif action.metavar in ("DIR", "FILE", "PATH"):
            action.complete = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE  # type: ignore[attr-defined]
