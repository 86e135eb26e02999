"""`vdb health`: whether the server of this machine answers, for container health checks and load balancers.

It asks `/healthz` without a key, where the settings say the server listens. Nothing secret is sent, so a certificate is
not verified: it may be for another name than the loopback address.
"""

import argparse
import ipaddress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path

from vdb.cli.commands import Commands
from vdb.cli.exit_codes import ExitCode
from vdb.cli.output import Output
from vdb.config import Settings
from vdb.errors import TransportError, Unavailable

_PATHS = {False: "/healthz", True: "/readyz"}


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "health",
        _health,
        "ask the server of this machine whether it lives",
        description="Ask the server of this machine whether it lives; its settings say where. Exit code 0: it does.",
        examples=("vdb health", "vdb health --ready --config /etc/vdb/vdb.toml", "vdb health --port 9000"),
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file, in TOML (default: $VDB_CONFIG)")
    parser.add_argument("--host", metavar="TEXT", help="address that the server listens on")
    parser.add_argument("--port", type=int, metavar="N", help="port that the server listens on")
    parser.add_argument(
        "--ready", action="store_true", help="ask whether it serves requests, not only whether it lives"
    )
    parser.add_argument("--timeout-s", type=float, default=3.0, metavar="SECONDS", help="how long to wait (default: 3)")


def _health(given: argparse.Namespace, output: Output) -> int:
    # The key is not needed, and whoever asks may not be allowed to read it.
    settings = Settings.load(given.config, None, host=given.host, port=given.port, admin_key_file="").settings
    answer = _ask(settings, _PATHS[given.ready], given.timeout_s)
    output.line(answer)
    output.document({"status": answer})
    return ExitCode.OK


def _ask(settings: Settings, path: str, timeout_s: float) -> str:
    import ssl

    from vdb.client.wire import is_success

    host = _reachable(settings.host)
    if settings.tls_cert:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection: HTTPConnection = HTTPSConnection(host, settings.port, timeout=timeout_s, context=context)
    else:
        connection = HTTPConnection(host, settings.port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
    except (OSError, HTTPException, ValueError) as exc:
        raise TransportError(f"no answer from {host}:{settings.port}: {exc or type(exc).__name__}") from exc
    finally:
        connection.close()
    if not is_success(answer.status):
        raise Unavailable(f"{path} answers {answer.status}")
    return "ready" if path == _PATHS[True] else "alive"


def _reachable(host: str) -> str:
    """An address that reaches a server which listens on `host`."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"
