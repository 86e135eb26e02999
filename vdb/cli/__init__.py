"""The command line `vdb`: one module per command or group of commands, put together in `parser`.

Options win over `VDB_*` variables, which win over the settings file and the defaults. A module here imports nothing
heavy at its top: the server, LMDB and numpy are loaded by the command that needs them, so that `vdb --help` answers at
once.
"""

import sys
from collections.abc import Sequence

from vdb.cli.exit_codes import ExitCode, exit_code_of
from vdb.cli.output import Output
from vdb.cli.parser import parse
from vdb.errors import VdbError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code. Raises SystemExit for wrong usage and for `--help`."""
    given = parse(sys.argv[1:] if arguments is None else arguments)
    output = Output(sys.stdout, sys.stderr, is_json=getattr(given, "json", False))
    try:
        code = int(given.run(given, output))
        output.flush()
    except VdbError as exc:
        output.error(exc)
        return exit_code_of(exc)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # whoever read the output has left, as `head` does
        output.abandon()
        return ExitCode.PIPE_CLOSED
    return code
