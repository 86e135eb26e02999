"""Exit codes of every command, public and permanent: scripts rely on them; and the faults only a command has."""

from enum import IntEnum

from vdb.errors import (
    Forbidden,
    InvalidArgument,
    MethodNotAllowed,
    NotFound,
    TransportError,
    Unauthenticated,
    UnsupportedMediaType,
    VdbError,
)

__all__ = ["ExitCode", "WrongUsage", "exit_code_of"]


class ExitCode(IntEnum):
    """What a command says by its end."""

    OK = 0
    REFUSED = 1
    """The operation was refused or failed, or `vdb check` found faults."""
    USAGE = 2
    """The command line is wrong."""
    UNREACHABLE = 3
    """The server could not be reached, or broke off."""
    NOT_FOUND = 4
    PERMISSION = 5
    """The key is missing, not known, expired, or may not do this."""
    INTERRUPTED = 130
    PIPE_CLOSED = 141
    """Whoever read the output left before its end."""


class WrongUsage(InvalidArgument):
    """What was given to the command makes no sense, whatever a server would say to it."""


def exit_code_of(error: VdbError) -> ExitCode:
    """The exit code of an error."""
    if isinstance(error, WrongUsage):
        return ExitCode.USAGE
    if isinstance(error, TransportError):
        return ExitCode.UNREACHABLE
    if isinstance(error, (Unauthenticated, Forbidden)):
        return ExitCode.PERMISSION
    if isinstance(error, NotFound) and not isinstance(error, (MethodNotAllowed, UnsupportedMediaType)):
        return ExitCode.NOT_FOUND
    return ExitCode.REFUSED
