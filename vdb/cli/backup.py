"""`vdb backup`: create, list, show, delete; by a server, or in a folder without asking one.

`vdb backup NAME` is short for `vdb backup create NAME`.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from vdb.cli.commands import Commands, add_data_dir
from vdb.cli.confirm import add_yes, confirm
from vdb.cli.exit_codes import ExitCode, WrongUsage
from vdb.cli.output import Output
from vdb.cli.remote import add_server, connected, has_server
from vdb.config import Settings
from vdb.errors import DirectoryLocked

if TYPE_CHECKING:
    from vdb.protocol.answers import Backup, Done

__all__ = ["COMMANDS", "add"]

COMMANDS = ("create", "list", "show", "delete")
"""Names that `vdb backup` does not take for that of a backup."""

_TIMEOUT_S = 86_400.0
"""A backup answers when it is done."""

_COLUMNS = ("name", "bytes", "n_collections", "pause_ms", "started_at", "release")


class _Backups(Protocol):
    """What a client and an offline folder have in common."""

    def create_backup(self, name: str) -> "Backup": ...

    def backups(self) -> "list[Backup]": ...

    def get_backup(self, name: str) -> "Backup": ...

    def delete_backup(self, name: str) -> "Done": ...


def add(commands: Commands) -> None:
    """Add the commands."""
    group = commands.group("backup", "make and manage backups, with a server or without", short_for="create")
    create = group.add(
        "create",
        _create,
        "back up a directory that no server uses, or ask a server",
        description="Back up a directory that no server uses, or ask a server (--url, VDB_URL), which has its folder.",
        examples=(
            "vdb backup create before-upgrade --url http://127.0.0.1:8080",
            "vdb backup create before-upgrade --data-dir data --backup-dir backups",
        ),
    )
    create.add_argument("name", metavar="NAME", help="[a-z0-9][a-z0-9_-]{0,63}")
    add_data_dir(create)
    _add_place(create)
    _add_place(
        group.add("list", _list, "list the finished backups", examples=("vdb backup list --backup-dir backups",))
    )
    show = group.add("show", _show, "describe a backup", examples=("vdb backup show before-upgrade --json",))
    show.add_argument("name", metavar="NAME", help="the backup")
    _add_place(show)
    delete = group.add(
        "delete", _delete, "delete a backup", examples=("vdb backup delete before-upgrade --backup-dir backups --yes",)
    )
    delete.add_argument("name", metavar="NAME", help="the backup")
    add_yes(delete)
    _add_place(delete)


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backup-dir", metavar="DIR", help="folder of the backups, where no server is asked")
    add_server(parser)


@contextmanager
def _opened(given: argparse.Namespace, *, timeout_s: float = 30.0) -> Iterator[_Backups]:
    """The server's backups if one is named and no directory is; else those of the folder."""
    data_dir = getattr(given, "data_dir", None)
    if given.url is not None and data_dir is None and given.backup_dir is not None:
        raise WrongUsage("a server uses its own backup_dir: leave out --backup-dir or --url")
    if data_dir is None and given.backup_dir is None and has_server(given):
        with connected(given, timeout_s=timeout_s) as client:
            yield client
        return
    from vdb.cli.offline import OfflineBackups

    settings = Settings.with_environment(data_dir=data_dir, backup_dir=given.backup_dir)
    yield OfflineBackups(settings.data_dir, settings.backup_dir)


def _create(given: argparse.Namespace, output: Output) -> int:
    try:
        with _opened(given, timeout_s=_TIMEOUT_S) as backups:
            made = backups.create_backup(given.name)
    except DirectoryLocked as exc:
        if given.url is None:
            raise
        output.note(f"{exc.detail}: asking {given.url}")
        with connected(given, timeout_s=_TIMEOUT_S) as client:
            made = client.create_backup(given.name)
    output.document(made)
    pause = f", pause {made.pause_ms} ms" if made.pause_ms else ""
    caches = f"{len(made.caches)} caches, " if made.caches else ""
    output.line(f"{made.name}: {made.n_collections} collections, {caches}{made.bytes} bytes{pause}")
    return ExitCode.OK


def _list(given: argparse.Namespace, output: Output) -> int:
    with _opened(given) as backups:
        output.listing("backups", backups.backups(), _COLUMNS)
    return ExitCode.OK


def _show(given: argparse.Namespace, output: Output) -> int:
    with _opened(given) as backups:
        output.record(backups.get_backup(given.name))
    return ExitCode.OK


def _delete(given: argparse.Namespace, output: Output) -> int:
    with _opened(given) as backups:
        confirm(given, output, f"Delete backup {given.name}?")
        output.document(backups.delete_backup(given.name))
    output.line(f"deleted {given.name}")
    return ExitCode.OK
