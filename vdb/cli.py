"""The command line: `vdb serve`, `vdb check`. Options win over the `VDB_*` variables, which win over the defaults."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vdb.config import Settings
from vdb.errors import VdbError


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
    return parser


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


if __name__ == "__main__":
    sys.exit(main())
