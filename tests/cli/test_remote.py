"""Asking a server: which one, with which key, and what goes wrong on the way."""

from pathlib import Path

import pytest

from tests.api.certificates import Authority
from tests.api.test_api_server import ended, serving, started
from tests.cli.conftest import Command
from tests.docs.test_commands import COMMANDS
from vdb.cli.exit_codes import ExitCode
from vdb.testing import RunningServer

UNREACHABLE = "http://127.0.0.1:1"


@pytest.mark.parametrize("command", COMMANDS)
def test_no_option_takes_a_secret(command: str) -> None:
    """Options stand in the list of processes."""
    assert [option for option in COMMANDS[command] if "key" in option and option != "--key-file"] in (
        [],
        ["--admin-key-file"],
    )


@pytest.mark.parametrize("variable", ["VDB_API_KEY", "VDB_ADMIN_KEY"])
def test_the_key_may_come_from_the_environment(
    command: Command, server: RunningServer, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, server.admin_key)
    assert command("collections", "list", "--url", server.url).code == ExitCode.OK


def test_the_own_key_wins_over_that_of_the_server(
    command: Command, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VDB_ADMIN_KEY", server.admin_key)
    monkeypatch.setenv("VDB_API_KEY", "some-other-key-of-mine")
    assert command("collections", "list", "--url", server.url).code == ExitCode.PERMISSION


def test_the_key_may_come_from_a_file(command: Command, server: RunningServer, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"{server.admin_key}\n")
    assert command("tenants", "list", "--url", server.url, "--key-file", str(path)).code == ExitCode.OK


@pytest.mark.parametrize("content", [None, b"", b"two keys", b"first\nsecond", b"\xff\xfe", b"\x1b[2J"])
def test_a_file_without_a_key_is_wrong_usage_and_is_not_shown(
    command: Command, server: RunningServer, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    ran = command("tenants", "list", "--url", server.url, "--key-file", str(path))
    assert ran.code == ExitCode.USAGE and len(ran.err.splitlines()) == 1
    assert str(path) in ran.err and "second" not in ran.err


def test_no_key_says_where_it_is_looked_for(command: Command, server: RunningServer) -> None:
    ran = command("tenants", "list", "--url", server.url)
    assert ran.code == ExitCode.PERMISSION and "VDB_API_KEY" in ran.err and "--key-file" in ran.err


def test_an_unknown_key_ends_with_5(command: Command, server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VDB_API_KEY", "vdb_not-a-key-of-this-server")
    ran = command("tenants", "list", "--url", server.url)
    assert (ran.code, ran.out) == (ExitCode.PERMISSION, "") and "vdb_not" not in ran.err


def test_a_key_that_may_not_do_this_ends_with_5(
    command: Command, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VDB_API_KEY", str(server.admin().create_key(tenant="acme", role="read").key))
    assert command("tenants", "list", "--url", server.url).code == ExitCode.PERMISSION


def test_a_server_that_is_not_there_ends_with_3_and_is_named(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VDB_API_KEY", "some-key-of-mine")
    ran = command("stats", "--url", UNREACHABLE)
    assert ran.code == ExitCode.UNREACHABLE and ran.err.startswith(f"vdb: {UNREACHABLE}: ")


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://host", "http://", "http://a b", "http://host:99999999"])
def test_a_malformed_address_is_wrong_usage(command: Command, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("VDB_API_KEY", "some-key-of-mine")
    assert command("stats", "--url", url).code == ExitCode.USAGE


def test_the_address_may_come_from_the_environment(
    command: Command, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VDB_API_KEY", server.admin_key)
    monkeypatch.setenv("VDB_URL", UNREACHABLE)
    assert command("collections", "list").code == ExitCode.UNREACHABLE
    assert command("collections", "list", "--url", server.url).code == ExitCode.OK


def test_a_bug_of_ours_shows_no_trace(admin: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("\x1b[2J")

    monkeypatch.setattr("vdb.client.sync.Operations.tenants", broken)
    ran = admin("tenants", "list")
    assert (ran.code, ran.out) == (ExitCode.REFUSED, "")
    assert ran.err == "vdb: internal error: ZeroDivisionError: \\x1b[2J\n"


def test_a_private_authority_is_named(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue()
    monkeypatch.setenv("VDB_API_KEY", "tls-test-admin-key")
    tls = ("--tls-cert", cert, "--tls-key", key)
    with started(*serving(tmp_path / "data", *tls), VDB_ADMIN_KEY="tls-test-admin-key") as (process, _, port):
        url = f"https://127.0.0.1:{port}"
        ran = command("stats", "--url", url)
        assert ran.code == ExitCode.UNREACHABLE and "CERTIFICATE_VERIFY_FAILED" in ran.err
        assert command("stats", "--url", url, "--ca-file", authority.ca_file).code == ExitCode.OK
        assert command("stats", "--url", url, "--ca-file", key).code == ExitCode.USAGE
        assert ended(process)[0] == 0
