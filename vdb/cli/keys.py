"""`vdb keys`: list, create, show, rotate, delete; asked of a server, or done on a directory that no server uses.

Offline use is for whoever has lost the admin key and has the machine: `vdb keys create --role admin --data-dir data`.
"""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from vdb.cli.commands import Commands, add_data_dir
from vdb.cli.confirm import add_yes, confirm
from vdb.cli.exit_codes import ExitCode, WrongUsage
from vdb.cli.output import Output
from vdb.cli.remote import add_server, connected
from vdb.cli.values import moment
from vdb.errors import DirectoryLocked
from vdb.types import Role

if TYPE_CHECKING:
    from vdb.protocol.answers import Done, Key

__all__ = ["add"]

_COLUMNS = ("id", "name", "role", "tenant", "created_at", "expires_at", "last_used_at")
_SHOWN_ONCE = "The secret, `key`, is shown this once."


class _Keys(Protocol):
    """What a client and an offline directory have in common."""

    def keys(self) -> "list[Key]": ...

    def create_key(
        self, tenant: str | None = None, role: str = "write", name: str = "", expires_at: datetime | None = None
    ) -> "Key": ...

    def get_key(self, key_id: str) -> "Key": ...

    def rotate_key(self, key_id: str, grace_s: float = 0.0) -> "Key": ...

    def delete_key(self, key_id: str) -> "Done": ...


def add(commands: Commands) -> None:
    """Add the commands."""
    group = commands.group("keys", "manage keys, of a server or of a directory that no server uses")
    listing = group.add(
        "list", _list, "list keys, without their secrets", examples=("vdb keys list", "vdb keys list --data-dir data")
    )
    _add_place(listing)
    _add_create(group)
    show = group.add("show", _show, "describe a key", examples=("vdb keys show key-0123456789abcdef01234567",))
    show.add_argument("id", metavar="ID", help="the key's id, as `vdb keys list` shows it")
    _add_place(show)
    rotate = group.add(
        "rotate",
        _rotate,
        "give a key a new secret, which is shown once",
        examples=("vdb keys rotate key-0123456789abcdef01234567 --grace-s 3600",),
    )
    rotate.add_argument("id", metavar="ID", help="the key's id")
    rotate.add_argument(
        "--grace-s",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="how long the old secret still works (default: 0)",
    )
    _add_place(rotate)
    delete = group.add(
        "delete",
        _delete,
        "delete a key",
        examples=("vdb keys delete key-0123456789abcdef01234567 --yes",),
    )
    delete.add_argument("id", metavar="ID", help="the key's id")
    add_yes(delete)
    _add_place(delete)


def _add_create(group: Commands) -> None:
    create = group.add(
        "create",
        _create,
        "make a key; its secret is shown once",
        examples=(
            "vdb keys create --role write --tenant acme --name web",
            "vdb keys create --role read --tenant acme --expires-at 2027-01-31",
            "vdb keys create --role admin --data-dir data     # the admin key was lost; the server is stopped",
        ),
    )
    create.add_argument(
        "--role",
        choices=[str(role) for role in Role],
        default="write",
        help="write and read are of one tenant, service acts for any, admin manages (default: write)",
    )
    create.add_argument(
        "--tenant", dest="bound_to", metavar="NAME", help="tenant of a write or read key, made where it does not exist"
    )
    create.add_argument("--name", default="", metavar="TEXT", help="what the key is for")
    create.add_argument("--expires-at", type=moment, metavar="TIME", help="when it ends, such as 2027-01-31T12:00:00Z")
    _add_place(create)


def _add_place(parser: argparse.ArgumentParser) -> None:
    add_server(parser)
    add_data_dir(parser, text="a directory that no server uses, instead of a server")


@contextmanager
def _opened(given: argparse.Namespace, output: Output) -> Iterator[_Keys]:
    """The directory's keys if one was given, else the server's; the server's too if it holds the directory."""
    with ExitStack() as stack:
        if given.data_dir is None:
            keys: _Keys = stack.enter_context(connected(given))
        else:
            from vdb.cli.offline import open_keys

            try:
                keys = stack.enter_context(open_keys(given.data_dir))
            except DirectoryLocked as exc:
                if given.url is None:
                    raise
                output.note(f"{exc.detail}: asking {given.url}")
                keys = stack.enter_context(connected(given))
        yield keys


def _list(given: argparse.Namespace, output: Output) -> int:
    with _opened(given, output) as keys:
        output.listing("keys", keys.keys(), _COLUMNS)
    return ExitCode.OK


def _create(given: argparse.Namespace, output: Output) -> int:
    is_bound = given.role in ("read", "write")
    if is_bound != (given.bound_to is not None):
        raise WrongUsage(f"a {given.role} key {'needs --tenant' if is_bound else 'has no --tenant'}")
    with _opened(given, output) as keys:
        output.record(keys.create_key(given.bound_to, given.role, given.name, given.expires_at))
    output.line(_SHOWN_ONCE)
    return ExitCode.OK


def _show(given: argparse.Namespace, output: Output) -> int:
    with _opened(given, output) as keys:
        output.record(keys.get_key(given.id))
    return ExitCode.OK


def _rotate(given: argparse.Namespace, output: Output) -> int:
    with _opened(given, output) as keys:
        output.record(keys.rotate_key(given.id, given.grace_s))
    output.line(_SHOWN_ONCE)
    return ExitCode.OK


def _delete(given: argparse.Namespace, output: Output) -> int:
    with _opened(given, output) as keys:
        confirm(given, output, f"Delete key {given.id}? Whoever uses it is shut out at once.")
        output.document(keys.delete_key(given.id))
    output.line(f"deleted {given.id}")
    return ExitCode.OK
