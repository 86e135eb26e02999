"""Commands that ask a server: the options that name it, and the client they make."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vdb.cli.exit_codes import WrongUsage
from vdb.config import DEFAULT_URL, ClientSettings
from vdb.errors import InvalidArgument, TenantRequired, TransportError, Unauthenticated

if TYPE_CHECKING:
    from vdb.client import Client
    from vdb.client.sync import Operations

__all__ = ["add_server", "connected", "has_server", "reached"]

_MAX_KEY_FILE_BYTES = 4096


def add_server(parser: argparse.ArgumentParser, *, tenant: bool = False) -> None:
    """`--url`, `--key-file`, `--ca-file`, and `--tenant` for commands that act for one."""
    parser.add_argument("--url", metavar="URL", help=f"server to ask (default: $VDB_URL or {DEFAULT_URL})")
    parser.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help="file that holds the key (default: the key in $VDB_API_KEY or $VDB_ADMIN_KEY)",
    )
    parser.add_argument(
        "--ca-file",
        metavar="FILE",
        help="PEM file of the authorities that vouch for an https server (default: the system's)",
    )
    if tenant:
        parser.add_argument("--tenant", metavar="NAME", help="tenant that a service or admin key acts for")


def has_server(given: argparse.Namespace) -> bool:
    """Whether an option or `VDB_URL` names a server."""
    return given.url is not None or bool(ClientSettings.with_environment().url)


@contextmanager
def connected(given: argparse.Namespace, *, timeout_s: float = 30.0) -> Iterator["Client"]:
    """A client of the server that `given` or the environment names; an error on the way names the server.

    Raises WrongUsage for an address, a key or a file of wrong form, Unauthenticated where there is no key.
    """
    from vdb.client import Client

    settings = ClientSettings.with_environment()
    url = given.url or settings.url or DEFAULT_URL
    key = _key_in(given.key_file) if given.key_file is not None else settings.api_key
    if not key:
        raise Unauthenticated("there is no key: set VDB_API_KEY, or name a file that holds it with --key-file")
    try:
        client = Client(url, key, getattr(given, "tenant", None), timeout_s=timeout_s, ca_file=given.ca_file)
    except InvalidArgument as exc:
        raise WrongUsage(exc.detail) from exc
    try:
        with client:
            yield client
    except TransportError as exc:
        raise type(exc)(f"{url}: {exc.detail}") from exc
    except TenantRequired as exc:
        raise TenantRequired("name the tenant that this key acts for: --tenant") from exc


@contextmanager
def reached(given: argparse.Namespace, *, timeout_s: float = 120.0) -> Iterator[tuple["Operations", str]]:
    """A client of the server, or of the directory opened in this process; and the name of either for the state."""
    if given.data_dir is None:
        with connected(given, timeout_s=timeout_s) as client:
            yield client, client.url
        return
    if given.url is not None:
        raise WrongUsage("--data-dir works on a directory, --url asks a server: give one of them")
    if not (given.data_dir / "catalog").exists() and not getattr(given, "create", False):
        raise WrongUsage(f"{given.data_dir} is not a data directory")
    import vdb

    with vdb.open(given.data_dir, tenant=given.tenant, compile_kernels=False) as database:
        yield database, str(given.data_dir.resolve())


def _key_in(path: Path) -> str:
    """The text of a key file without its line end; errors do not show what is in it."""
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_KEY_FILE_BYTES).decode("ascii").strip()
    except OSError as exc:
        raise WrongUsage(f"cannot read the key file {path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise WrongUsage(f"the key file {path} does not hold a key") from exc
    if not text or not text.isprintable() or " " in text:
        raise WrongUsage(f"the key file {path} does not hold a key")
    return text
