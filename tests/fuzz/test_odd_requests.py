"""Requests that no well-behaved client sends: odd paths, query strings, headers and lengths. None gets a 500."""

import itertools
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

import vdb.testing
from tests.api.live import Live
from vdb.protocol.operations import OPERATIONS
from vdb.testing import RunningServer

PARTS = ("job-", "job-0", "job--1", "job-99999999999", "job-4294967296", "%00", "%ff", "..", "a%2fb", "%E2%82%AC", "*")
QUERIES = (
    "cursor=%ff", "cursor=%00", "cursor=", "limit=", "limit=0", "limit=1e3", "limit=99999999999999999999", "a", "&&",
    "limit=1&limit=2", "cursor=%F0%9F", "cursor=99999999999", "cursor=4294967295", "cursor=-1", "cursor=%E2%82%AC",
)  # fmt: skip
LISTINGS = ("collections", "collections/listed/members", "aliases", "tenants", "keys", "jobs", "caches")
HEADERS = (
    b"Vdb-Tenant: \xff\xfe", b"Vdb-Tenant: ", b"Vdb-Tenant: a\r\nVdb-Tenant: b", b"Content-Length: -5",
    b"Content-Length: abc", b"Content-Length: 99999999999999999999999", b"Content-Length: 2\r\nContent-Length: 3",
    b"Content-Encoding: gzip\r\nContent-Length: 2", b"Content-Type: \xff", b"X-Request-Id: \xff\xff",
    b"Transfer-Encoding: chunked", b"Authorization: Bearer \xff", b"Authorization: Bearer", b"Authorization: Basic x",
    b"Authorization: Bearer " + b"x" * 5000,
)  # fmt: skip
TARGETS = (
    b"/v1/collections/%ff/search", b"/v1/collections//search", b"//v1/limits", b"/v1/limits/", b"*", b"/v1/\xff",
    b"http://x/v1/limits", b"/v1/limits?\xff", b"/" + b"a" * 9000, b"/v1/collections/notes/points/",
)  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with vdb.testing.server(compile_kernels=False) as running:
        yield running


@pytest.mark.parametrize("part", PARTS)
def test_odd_names_in_paths_are_not_found(server: RunningServer, part: str) -> None:
    live = Live(server)
    for operation in OPERATIONS:
        if "{" in operation.path:
            body: object = {} if operation.method in ("POST", "PATCH", "PUT") else None
            path = (part,) * operation.path.count("{")
            reply = live.run(operation.name, path, body, tenant="acme")
            assert 400 <= reply.status < 500, (operation.name, reply)


def test_odd_query_strings_are_refused_or_understood(server: RunningServer) -> None:
    live = Live(server)
    live.must("create_collection", (), {"name": "listed", "dimension": 1})
    for listing, query in itertools.product(LISTINGS, QUERIES):
        reply = live.ask("GET", f"/v1/{listing}?{query}")
        assert reply.status in (200, 400), (listing, query, reply)


@pytest.mark.parametrize("headers", HEADERS, ids=lambda headers: headers[:30].decode("latin-1"))
def test_odd_headers_are_refused(server: RunningServer, headers: bytes) -> None:
    if not headers.startswith(b"Authorization"):
        headers += f"\r\nAuthorization: Bearer {server.admin_key}".encode()
    assert 400 <= _status(server, b"POST /v1/collections HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n\r\n{}") < 500


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target[:30].decode("latin-1"))
def test_odd_targets_are_refused_or_understood(server: RunningServer, target: bytes) -> None:
    key = f"Authorization: Bearer {server.admin_key}\r\n".encode()
    for method, rest in ((b"GET", b"\r\n"), (b"POST", b"Content-Length: 2\r\n\r\n{}")):
        assert _status(server, method + b" " + target + b" HTTP/1.1\r\nHost: x\r\n" + key + rest) < 500


def _status(server: RunningServer, request: bytes) -> int:
    with socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), timeout=10) as connection:
        connection.sendall(request)
        return int(connection.recv(64).split(b" ")[1])
