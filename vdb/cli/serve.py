"""`vdb serve`: start the server."""

import argparse

from vdb.cli.commands import Commands, add_data_dir
from vdb.cli.exit_codes import ExitCode
from vdb.cli.output import Output
from vdb.config import Settings


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "serve",
        _serve,
        "start the server on a data directory",
        description="Start the server on a data directory, and serve until SIGTERM or SIGINT.",
        examples=("vdb serve --data-dir data", "VDB_MEMORY_BYTES=8589934592 vdb serve --port 9000"),
    )
    add_data_dir(parser)
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port; 0 lets the system choose (default: 8080)")
    parser.add_argument(
        "--metrics-port", type=int, metavar="PORT", help="loopback port that serves /metrics without a key"
    )
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="least level of the log")


def _serve(given: argparse.Namespace, output: Output) -> int:
    from vdb_api.server import serve  # the server is loaded by this command only

    settings = Settings.with_environment(
        data_dir=given.data_dir,
        host=given.host,
        port=given.port,
        metrics_port=given.metrics_port,
        log_level=given.log_level,
    )
    serve(settings, output.announce)
    return ExitCode.OK
