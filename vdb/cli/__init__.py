"""The command line `vdb`: one module per command or group of commands, put together in `parser`.

Options win over `VDB_*` variables, which win over the settings file and the defaults. A module here imports nothing
heavy at its top: the server, LMDB and numpy are loaded by the command that needs them, so that `vdb --help` answers at
once.
"""

import argparse
import io
import sys
from collections.abc import Sequence

from vdb.cli.exit_codes import ExitCode, exit_code_of
from vdb.cli.output import Output
from vdb.cli.parser import parse
from vdb.errors import DirectoryLocked, InternalError, StorageFailure, VdbError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code. Raises SystemExit for wrong usage and for `--help`."""
    given = parse(sys.argv[1:] if arguments is None else arguments)
    out, err = sys.stdout or io.StringIO(), sys.stderr or io.StringIO()  # None is a stream that was closed before
    output = Output(out, err, is_json=getattr(given, "json", False))
    try:
        code = int(given.run(given, output))
        output.flush()
    except DirectoryLocked as exc:
        output.error(DirectoryLocked(f"{exc.detail}: {_way_out(given)}"))
        return exit_code_of(exc)
    except VdbError as exc:
        output.error(exc)
        return exit_code_of(exc)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # whoever read the output has left, as `head` does
        output.abandon()
        return ExitCode.PIPE_CLOSED
    except OSError as exc:  # a file of somebody else's, a disk that is gone
        place = f"{exc.filename}: " if exc.filename else ""
        output.error(StorageFailure(f"{place}{exc.strerror or exc}"))
        return ExitCode.REFUSED
    except Exception as exc:
        if sys.flags.dev_mode:  # python -X dev -m vdb.cli: whoever looks for the bug wants the trace
            raise
        output.error(InternalError(f"internal error: {type(exc).__name__}: {exc}"))
        return ExitCode.REFUSED
    return code


def _way_out(given: argparse.Namespace) -> str:
    """What to do about a directory that is in use."""
    if hasattr(given, "url"):
        return "if that is a server, ask it: --url URL, and its key in VDB_API_KEY"
    return "this command needs it for itself: stop that process first"
