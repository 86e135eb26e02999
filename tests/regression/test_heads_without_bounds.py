"""A request's head could be endless, in bytes and in time; trailers were headers; an upgrade lost the body."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

import vdb.testing
from vdb.testing import RunningServer
from vdb_api import transport

BODY = b'{"vector":[1,2,3]}'


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with vdb.testing.server() as running:
        admin = running.admin()
        for tenant in ("acme", "globex"):
            admin.create_tenant(tenant)
        admin.create_collection("notes", 3)
        admin.collection("notes", "globex").upsert(["theirs"], [[1, 2, 3]])
        yield running


def _said(server: RunningServer, *parts: bytes) -> bytes:
    """All that the server answers until it closes."""
    with socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), timeout=10) as connection:
        try:
            for part in parts:
                connection.sendall(part)
            found = b""
            while received := connection.recv(65536):
                found += received
        except ConnectionError:
            return found
    return found


def _is_cut_off(server: RunningServer, begun: bytes) -> bool:
    """Whether the server closes the connection while a line that has begun goes on and on."""
    with socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), timeout=10) as connection:
        try:
            connection.sendall(begun)
            for _ in range(2000):
                connection.sendall(b"a" * 10_000)
        except ConnectionError:
            return True
    return False


def _head(server: RunningServer, *lines: str) -> bytes:
    who = f"Authorization: Bearer {server.admin_key}"
    return "\r\n".join(("POST /v1/collections/notes/search HTTP/1.1", "Host: x", who, *lines, "")).encode()


def test_a_head_of_many_headers_is_refused(server: RunningServer) -> None:
    many = [f"X-{number}: a" for number in range(20_000)]
    assert b" 400 " in _said(server, _head(server, "Connection: close", *many) + b"\r\n")


def test_a_header_that_does_not_end_is_refused(server: RunningServer) -> None:
    assert _is_cut_off(server, _head(server) + b"X-Long: ")


def test_a_trailer_that_does_not_end_is_refused(server: RunningServer) -> None:
    chunked = _head(server, "Transfer-Encoding: chunked") + b"\r\n0\r\nX-Long: "
    assert _is_cut_off(server, chunked)


def test_a_trailer_names_no_tenant(server: RunningServer) -> None:
    head = _head(server, "Connection: close", "Content-Type: application/json", "Transfer-Encoding: chunked")
    chunk = b"%x\r\n" % len(BODY) + BODY
    said = _said(server, head + b"\r\n" + chunk + b"\r\n0\r\nVdb-Tenant: globex\r\n\r\n")
    assert b"tenant_required" in said
    assert b"theirs" not in said


def test_a_body_after_which_to_upgrade_is_refused_and_not_read_as_a_request(server: RunningServer) -> None:
    hidden = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    lines = ("Connection: Upgrade", "Upgrade: h2c", f"Content-Length: {len(hidden)}")
    said = _said(server, _head(server, *lines) + b"\r\n", hidden)
    assert b"cannot ask for an upgrade" in said
    assert b"alive" not in said


def test_a_request_without_a_body_may_ask_for_an_upgrade(server: RunningServer) -> None:
    said = _said(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert b"alive" in said


@pytest.mark.parametrize("begun", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_that_does_not_come_is_not_waited_for(begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "HEAD_TIMEOUT_S", 0.05)
    assert _answer_to(begun) == b""


@pytest.mark.parametrize("length", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("begun", [b"", b"5\r\n{"])
def test_a_body_that_does_not_come_is_not_waited_for(
    length: bytes, begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "BODY_TIMEOUT_S", 0.05)
    assert _answer_to(b"POST /v1/keys HTTP/1.1\r\nHost: x\r\n" + length + b"\r\n\r\n" + begun) == b""


async def _reads_its_body(scope: Any, receive: Any, send: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _answer_to(begun: bytes) -> bytes:
    """What a server says, before it closes, to a client that sends this and then nothing."""
    config = uvicorn.Config(_reads_its_body, http=transport.HttpProtocol, ws="none", lifespan="off", log_config=None)
    config.load()

    async def answer() -> bytes:
        state = uvicorn.server.ServerState()
        loop = asyncio.get_running_loop()
        made = await loop.create_server(lambda: transport.HttpProtocol(config, state, {}), "127.0.0.1", 0)
        async with made:
            reader, writer = await asyncio.open_connection(*made.sockets[0].getsockname())
            writer.write(begun)
            try:
                return await asyncio.wait_for(reader.read(), 10)
            finally:
                writer.close()

    return asyncio.run(answer())
