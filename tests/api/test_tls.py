"""TLS: what a server refuses, how it answers, and certificates renewed while connections stand."""

import http.client
import json
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.certificates import Authority
from tests.api.test_api_server import LIMIT_S, ended, refused, serving, started
from vdb.client import Client
from vdb.config import Settings
from vdb.errors import InvalidArgument, TransportError
from vdb_api.tls import Certificate

KEY = "tls-test-admin-key"
QUICK = {"VDB_ADMIN_KEY": KEY, "VDB_COMPILE_KERNELS": "0"}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def secured(folder: Path, cert: str, key: str, *more: str) -> tuple[str, ...]:
    return serving(folder / "data", "--tls-cert", cert, "--tls-key", key, *more)


def connected(port: int, authority: Authority) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=LIMIT_S, context=authority.context())


def serial_of(connection: http.client.HTTPConnection) -> str:
    """The serial number of the certificate that a connection was opened with."""
    assert isinstance(connection.sock, ssl.SSLSocket)
    certificate = connection.sock.getpeercert()
    assert certificate is not None
    return str(certificate["serialNumber"])


def alive(connection: http.client.HTTPConnection) -> bool:
    connection.request("GET", "/healthz")
    return connection.getresponse().read() == b'{"status":"alive"}'


def events(process: subprocess.Popen[str]) -> Iterator[dict[str, object]]:
    """The lines of the log as they come."""
    assert process.stderr is not None
    for line in process.stderr:
        yield json.loads(line)


def renewed(process: subprocess.Popen[str], event: str) -> None:
    process.send_signal(signal.SIGHUP)
    assert any(line["event"] == event for line in events(process))


def test_a_client_that_trusts_the_authority_works_and_another_does_not(tmp_path: Path, authority: Authority) -> None:
    with started(*secured(tmp_path, *authority.issue()), **QUICK) as (process, first, port):
        assert first == f"URL: https://127.0.0.1:{port}\n"
        with Client(f"https://127.0.0.1:{port}", KEY, ca_file=authority.ca_file) as client:
            client.create_collection("notes", dimension=2, metric="l2")
            notes = client.collection("notes", tenant="acme")
            notes.upsert(ids=["a", "b"], vectors=[[1, 0], [0, 1]], payloads=[{"text": "x" * 20_000}] * 2)
            for _ in range(20):  # over one connection: head and body of an answer are one record
                assert [hit.id for hit in notes.search([1, 0], limit=2)] == ["a", "b"]
        with (
            Client(f"https://127.0.0.1:{port}", KEY, n_retries=0) as stranger,
            pytest.raises(TransportError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            stranger.limits()
        assert ended(process)[0] == 0


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_versions_and_plain_text_get_no_answer_and_the_server_goes_on(tmp_path: Path, authority: Authority) -> None:
    with started(*secured(tmp_path, *authority.issue()), **QUICK) as (process, _, port):
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with (
            socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as plain,
            pytest.raises(ssl.SSLError),
        ):
            old.wrap_socket(plain)
        with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            received = b"".join(iter(lambda: plain.recv(4096), b""))
            assert b"HTTP/1.1" not in received
        assert alive(connected(port, authority))
        _, _, err = ended(process)
        assert "Traceback" not in err


def test_a_renewal_reaches_new_connections_and_leaves_old_ones(tmp_path: Path, authority: Authority) -> None:
    with started(*secured(tmp_path, *authority.issue()), **QUICK) as (process, _, port):
        old = connected(port, authority)
        assert alive(old)
        first = serial_of(old)
        authority.issue()
        renewed(process, "the certificate was read again")
        new = connected(port, authority)
        assert alive(new) and alive(old)
        assert (serial_of(old), serial_of(new) != first) == (first, True)
        assert ended(process)[0] == 0


def test_a_broken_renewal_keeps_the_certificate_and_says_so(tmp_path: Path, authority: Authority) -> None:
    cert, key = authority.issue()
    with started(*secured(tmp_path, cert, key), **QUICK) as (process, _, port):
        before = connected(port, authority)
        assert alive(before)
        serial = serial_of(before)
        mine = Path(key).read_bytes()
        authority.issue()
        Path(key).write_bytes(mine)  # a new certificate with the key of the old one
        renewed(process, "the certificate was not renewed")
        Path(cert).write_text("-----BEGIN CERTIFICATE-----\nrubbish\n")
        renewed(process, "the certificate was not renewed")
        Path(cert).unlink()
        renewed(process, "the certificate was not renewed")
        after = connected(port, authority)
        assert alive(after)
        assert serial_of(after) == serial
        assert ended(process)[0] == 0


def test_changed_files_are_noticed_once(tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    cert, key = authority.issue()
    certificate = Certificate(cert, key)
    with caplog.at_level("INFO", "vdb_api.tls"):
        certificate.reload_if_changed()
        assert caplog.messages == []
        authority.issue()
        certificate.reload_if_changed()
        certificate.reload_if_changed()
        assert caplog.messages == ["the certificate was read again"]
        Path(cert).write_text("rubbish")
        certificate.reload_if_changed()
        certificate.reload_if_changed()
    assert caplog.messages == ["the certificate was read again", "the certificate was not renewed"]


def test_an_idle_client_does_not_hold_up_the_end(tmp_path: Path, authority: Authority) -> None:
    with started(*secured(tmp_path, *authority.issue()), **QUICK) as (process, _, port):
        idle = connected(port, authority)
        assert alive(idle)
        code, _, err = ended(process)
        assert (code, "exceeded" in err) == (0, False)
        idle.close()


@pytest.mark.parametrize("password", [None, b"secret"])
def test_files_that_are_not_a_pair_or_want_a_password_are_refused_at_start(
    password: bytes | None, tmp_path: Path, authority: Authority
) -> None:
    cert, key = authority.issue(password)
    if password is None:
        Path(cert).write_text("rubbish")
    line = refused(*secured(tmp_path, cert, key))
    assert line.startswith(f"vdb: cannot use tls_cert {cert} with tls_key {key}: ")
    assert ("password" in line) == (password is not None)
    assert not (tmp_path / "data").exists()


def test_one_file_without_the_other_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="go together"):
        Settings.load(None, {}, tls_cert="cert.pem")


def test_an_address_of_the_network_without_tls_is_warned_of(tmp_path: Path, authority: Authority) -> None:
    with started(*serving(tmp_path / "plain", "--host", "0.0.0.0"), **QUICK) as (process, _, _):
        assert "in the clear" in ended(process)[2]
    with started(*secured(tmp_path, *authority.issue(), "--host", "0.0.0.0"), **QUICK) as (process, _, _):
        assert "in the clear" not in ended(process)[2]
