"""The command line: `vdb serve`, `check`, `backup`, `restore`, `compact`.

Options win over the `VDB_*` variables, which win over the defaults.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vdb.config import Settings
from vdb.errors import VdbError

_BACKUP_TIMEOUT_S = 86_400.0
"""A backup answers when it is done."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    given = _parser().parse_args(arguments)
    try:
        return int(given.run(given))
    except VdbError as exc:
        print(f"vdb: {exc}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vdb", description="A multi-tenant vector database.")
    commands = parser.add_subparsers(title="commands", required=True)
    serve = commands.add_parser("serve", help="start the server on a data directory")
    serve.add_argument("--data-dir", type=Path, help="directory of all data (default: ./data)")
    serve.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    serve.add_argument("--port", type=int, help="port; 0 lets the system choose (default: 8080)")
    serve.add_argument("--metrics-port", type=int, help="loopback port that serves /metrics without a key")
    serve.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="least level of the log")
    serve.set_defaults(run=_serve)
    check = commands.add_parser("check", help="verify every invariant of a data directory that no server uses")
    check.add_argument("--data-dir", type=Path, help="directory of all data (default: ./data)")
    check.set_defaults(run=_check)
    _add_upkeep(commands)
    return parser


def _add_upkeep(commands: Any) -> None:
    backup = commands.add_parser("backup", help="back up a directory that no server uses, or ask a server with --url")
    backup.add_argument("name", help="name of the backup: [a-z0-9][a-z0-9_-]{0,63}")
    backup.add_argument("--url", help="server to ask, with the admin key in VDB_ADMIN_KEY; it uses its own backup_dir")
    backup.add_argument("--data-dir", type=Path, help="directory of all data (default: ./data)")
    backup.add_argument("--backup-dir", help="folder of the backups")
    backup.set_defaults(run=_backup)
    restore = commands.add_parser("restore", help="make a new data directory from a backup")
    restore.add_argument("--from", dest="backup", type=Path, required=True, help="folder of the backup")
    restore.add_argument("--data-dir", type=Path, required=True, help="directory to make: absent or empty")
    restore.set_defaults(run=_restore)
    compact = commands.add_parser("compact", help="shrink the files of a directory that no server uses")
    compact.add_argument("--data-dir", type=Path, help="directory of all data (default: ./data)")
    compact.set_defaults(run=_compact)


def _serve(given: argparse.Namespace) -> int:
    from vdb_api.server import serve  # the server is loaded by this command only

    settings = Settings.with_environment(
        data_dir=given.data_dir,
        host=given.host,
        port=given.port,
        metrics_port=given.metrics_port,
        log_level=given.log_level,
    )
    serve(settings, lambda line: print(line, flush=True))
    return 0


def _check(given: argparse.Namespace) -> int:
    from vdb.storage.check_report import report_of  # LMDB is loaded by the commands that need it only

    lines, is_sound = report_of(Settings.with_environment(data_dir=given.data_dir).data_dir)
    print("\n".join(lines))
    return 0 if is_sound else 1


def _backup(given: argparse.Namespace) -> int:
    settings = Settings.with_environment(data_dir=given.data_dir, backup_dir=given.backup_dir)
    if given.url is not None:
        from vdb.client import Client

        with Client(given.url, settings.admin_key, timeout_s=_BACKUP_TIMEOUT_S) as client:
            made = client.create_backup(given.name)
        print(f"{made.name}: {made.n_collections} collections, {made.bytes} bytes, pause {made.pause_ms} ms")
        return 0
    from vdb.storage.offline_backup import back_up

    manifest = back_up(settings.data_dir, settings.backup_dir, given.name)
    print(f"{given.name}: {len(manifest.collections)} collections, {manifest.n_bytes} bytes")
    return 0


def _restore(given: argparse.Namespace) -> int:
    from vdb.storage.restore import restore

    manifest = restore(given.backup, given.data_dir)
    print(f"{given.data_dir}: {len(manifest.collections)} collections restored")
    return 0


def _compact(given: argparse.Namespace) -> int:
    from vdb.storage.compact import compact

    for done in compact(Settings.with_environment(data_dir=given.data_dir).data_dir):
        print(f"{done.place}: {done.before_bytes} bytes, now {done.after_bytes}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
