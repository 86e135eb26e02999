"""`vdb backup`: back up a directory that no server uses, or ask a server for a backup."""

import argparse

from vdb.cli.commands import Commands, add_data_dir
from vdb.cli.exit_codes import ExitCode
from vdb.cli.output import Output
from vdb.config import Settings

_TIMEOUT_S = 86_400.0
"""A backup answers when it is done."""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "backup",
        _backup,
        "back up a directory that no server uses, or ask a server with --url",
        examples=(
            "vdb backup before-upgrade --data-dir data --backup-dir backups",
            "VDB_ADMIN_KEY=… vdb backup before-upgrade --url http://127.0.0.1:8080",
        ),
    )
    parser.add_argument("name", metavar="NAME", help="name of the backup: [a-z0-9][a-z0-9_-]{0,63}")
    parser.add_argument("--url", help="server to ask, with the admin key in VDB_ADMIN_KEY; it uses its own backup_dir")
    add_data_dir(parser)
    parser.add_argument("--backup-dir", metavar="PATH", help="folder of the backups")


def _backup(given: argparse.Namespace, output: Output) -> int:
    settings = Settings.with_environment(data_dir=given.data_dir, backup_dir=given.backup_dir)
    if given.url is not None:
        from vdb.client import Client

        with Client(given.url, settings.admin_key, timeout_s=_TIMEOUT_S) as client:
            made = client.create_backup(given.name)
        output.document(made)
        output.line(f"{made.name}: {made.n_collections} collections, {made.bytes} bytes, pause {made.pause_ms} ms")
        return ExitCode.OK
    from vdb.storage.offline_backup import back_up

    manifest = back_up(settings.data_dir, settings.backup_dir, given.name)
    output.line(f"{given.name}: {len(manifest.collections)} collections, {manifest.n_bytes} bytes")
    return ExitCode.OK
