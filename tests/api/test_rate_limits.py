"""Rate limits and usage over HTTP: refused before the body is read, counted on the right tenant, no oracle."""

import asyncio
import json
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import vdb
import vdb.testing
from tests.api.live import Live
from tests.api.stub_engine import StubEngine, ask, exchange
from vdb.client import Client
from vdb.config import Limits
from vdb.errors import QueueFull, RateLimited
from vdb.testing import RunningServer

DROP = 1e-6
"""A rate that fills nothing while a test runs."""
POINT = {"id": "a", "vector": [1, 0]}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with vdb.testing.server(compile_kernels=False) as running:
        running.admin().create_collection("notes", dimension=2)
        yield running


@pytest.fixture
def live(server: RunningServer) -> Live:
    return Live(server)


def limited(live: Live, name: str, **rate: float) -> str:
    """A write key of a new tenant with this rate."""
    live.must("create_tenant", (), {"name": name, "rate": rate})
    return live.key("write", name)


def usage(live: Live, name: str) -> dict[str, int]:
    (month,) = live.must("tenant_usage", (name,))["months"]
    return {field: count for field, count in month.items() if field != "month"}


@pytest.mark.parametrize("path", ["/v1/collections/notes/points", "/v1/collections/notes/points/get"])
def test_a_refusal_comes_before_the_body_is_read(path: str) -> None:
    engine = StubEngine()
    engine.meter.error = RateLimited("too many", retry_after_s=2.1)

    async def receive() -> Any:
        raise AssertionError("the body was asked for")

    headers = [("content-length", "1000"), ("content-type", "application/json")]
    refused = asyncio.run(exchange(engine, "POST", path, headers, receive))
    assert (refused.status, refused.code, refused.headers["retry-after"]) == (429, "rate_limited", "3")
    assert [noted[0] for noted in engine.meter.noted] == ["admit", "refuse"] and engine.calls == []


def test_a_full_queue_counts_as_refused() -> None:
    def full(*_: Any) -> Any:
        raise QueueFull("full")

    engine = StubEngine(full)
    assert ask(engine, "POST", "/v1/collections/notes/points/count", {}, key="write").status == 503
    assert [noted[0] for noted in engine.meter.noted] == ["admit", "refuse"]


def test_the_announced_body_is_charged_at_once_and_a_chunked_one_when_it_is_there() -> None:
    engine = StubEngine(lambda *_: {})
    body = json.dumps({}).encode()
    ask(engine, "POST", "/v1/collections/notes/points/count", body)
    ask(engine, "POST", "/v1/collections/notes/points/count", chunks=[body[:1], body[1:]])
    name = "count"
    assert engine.meter.noted == [
        ("admit", name, 2), ("finish", name, 1, 2, 2, 2), ("admit", name, 0), ("finish", name, 1, 2, 2, 4),
    ]  # fmt: skip


def test_a_chunked_body_that_was_broken_off_or_too_large_was_not_charged() -> None:
    path, headers = "/v1/collections/notes/points/count", [("transfer-encoding", "chunked")]
    chunk = {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    async def broken_off() -> Any:
        return messages.pop(0)

    too_much = b"x" * Limits().max_body_bytes
    for ending, n_last, status in (
        ({"type": "http.disconnect"}, 0, 400),
        (chunk | {"body": too_much}, len(too_much), 413),
    ):
        messages = [chunk, chunk, ending]
        engine = StubEngine(lambda *_: {})
        refused = asyncio.run(exchange(engine, "POST", path, headers, broken_off))
        n_in = 2000 + n_last
        admitted, (_, _, n_units, n_bytes_in, n_bytes_out, n_uncharged) = engine.meter.noted
        assert (refused.status, admitted[2], n_units, n_bytes_in) == (status, 0, 0, n_in)
        assert n_uncharged == n_in + n_bytes_out


@pytest.mark.parametrize("rate", [1e-300, 6e-309])
def test_a_debt_at_a_rate_next_to_nothing_gave_500(live: Live, rate: float) -> None:
    key = limited(live, f"next-to-nothing-{str(rate)[0]}", reads_per_s=rate)
    assert live.run("search", ("notes",), {"vectors": [[1, 0]] * 200}, key=key).status == 200
    refused = live.run("search", ("notes",), {"vector": [1, 0]}, key=key)
    assert (refused.status, refused.headers["retry-after"]) == (429, "86400")


def test_reads_writes_and_bytes_are_limited_apart(live: Live) -> None:
    key = limited(live, "apart", reads_per_s=DROP, writes_per_s=DROP)
    search = {"vector": [1, 0]}
    assert live.run("upsert", ("notes",), {"points": [POINT]}, key=key).status == 200
    assert live.run("search", ("notes",), search, key=key).status == 200
    for name, body in (("upsert", {"points": [POINT]}), ("search", search), ("count", {}), ("get_points", search)):
        refused = live.run(name, ("notes",), body, key=key)
        assert (refused.status, refused.code) == (429, "rate_limited"), name
        assert int(refused.headers["retry-after"]) >= 1
    key = limited(live, "bytes", bytes_per_s=DROP)
    assert [live.run("count", ("notes",), {}, key=key).status for _ in range(2)] == [200, 429]


def test_every_query_and_every_point_counts(live: Live) -> None:
    key = limited(live, "many", reads_per_s=DROP, writes_per_s=DROP, burst_s=4 / DROP)
    points = [{"id": str(i), "vector": [1, i]} for i in range(4)]
    assert live.run("search", ("notes",), {"vectors": [[1, 0]] * 4}, key=key).status == 200
    assert live.run("search", ("notes",), {"vector": [1, 0]}, key=key).status == 429
    assert live.run("upsert", ("notes",), {"points": points}, key=key).status == 200
    assert live.run("delete_points", ("notes",), {"ids": ["1"]}, key=key).status == 429
    found = usage(live, "many")
    assert (found["requests"], found["reads"], found["writes"], found["refused"]) == (4, 4, 4, 2)


def test_a_changed_rate_holds_for_the_next_request(live: Live) -> None:
    key = limited(live, "changed", reads_per_s=DROP)
    assert [live.run("count", ("notes",), {}, key=key).status for _ in range(2)] == [200, 429]
    live.must("update_tenant", ("changed",), {"rate": None})
    assert live.run("count", ("notes",), {}, key=key).status == 200


def test_a_service_key_counts_on_the_tenant_it_names(live: Live) -> None:
    limited(live, "named", reads_per_s=DROP)
    limited(live, "other", reads_per_s=DROP)
    service = live.key("service")
    statuses = [
        live.run("count", ("notes",), {}, key=service, tenant=tenant).status for tenant in ("named", "named", "other")
    ]
    assert statuses == [200, 429, 200]
    assert live.run("count", ("notes",), {}, tenant="named").status == 429, "an admin key counts too"


def test_what_only_admins_do_is_not_limited_nor_counted(live: Live) -> None:
    limited(live, "managed", reads_per_s=DROP, writes_per_s=DROP, bytes_per_s=DROP)
    for _ in range(3):
        live.must("update_tenant", ("managed",), {"quota": {"points": 9}}, tenant="managed")
        live.must("list_tenants", (), tenant="managed")
    assert live.must("tenant_usage", ("managed",))["months"] == []


def test_limits_tell_nothing_of_tenants_that_are_not_there(live: Live) -> None:
    limited(live, "there", reads_per_s=DROP)
    service = live.key("service")
    for _ in range(3):
        replies = [live.run("get_tenant", ("there",), key=service, tenant=name) for name in ("nobody", "no-one")]
        assert {reply.code for reply in replies} == {"tenant_not_found"}
        assert live.run("count", ("notes",), {}, key=service, tenant="nobody").code == "tenant_not_found"


def test_usage_counts_bodies_and_answers(live: Live) -> None:
    key = limited(live, "counted", reads_per_s=1e6)
    body = json.dumps({"points": [POINT, POINT | {"id": "b"}]}).encode()
    answer = live.run("upsert", ("notes",), body, key=key)
    found = usage(live, "counted")
    assert found == {
        "requests": 1, "reads": 0, "writes": 2, "bytes_in": len(body), "refused": 0,
        "bytes_out": int(answer.headers["content-length"]),
    }  # fmt: skip
    live.run("upsert", ("notes",), b"{", key=key)
    found = usage(live, "counted")
    assert (found["requests"], found["writes"], found["bytes_in"]) == (2, 2, len(body) + 1)


def test_a_refused_body_leaves_the_connection_usable(live: Live, server: RunningServer) -> None:
    key = limited(live, "kept", writes_per_s=DROP, reads_per_s=10.0)
    connection = HTTPConnection("127.0.0.1", urlsplit(server.url).port or 0, timeout=60)
    body, headers = json.dumps({"points": [POINT]}), {"Authorization": f"Bearer {key}"}
    statuses = []
    for path, sent in (("points", body), ("points", body + " " * 3_000_000), ("points/count", "{}")):
        connection.request("POST", f"/v1/collections/notes/{path}", sent, headers)
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
    connection.close()
    assert statuses == [200, 429, 200]


def test_the_sdk_waits_and_sends_again_even_a_conditional_write(live: Live, server: RunningServer) -> None:
    key = limited(live, "patient", writes_per_s=2.0, burst_s=0.5)
    with Client(server.url, key) as client:
        notes = client.collection("notes")
        for i in range(3):
            notes.upsert([f"p{i}"], [[1.0, i]], if_absent=True)
        assert notes.count() == 3
    assert usage(live, "patient")["refused"] >= 1


def test_the_defaults_of_the_server_hold_for_tenants_without_a_rate() -> None:
    with vdb.testing.server(compile_kernels=False, tenant_reads_per_s=DROP, tenant_burst_s=2 / DROP) as running:
        live = Live(running)
        running.admin().create_collection("notes", dimension=2)
        live.must("create_tenant", (), {"name": "acme"})
        live.must("create_tenant", (), {"name": "globex", "rate": {"reads_per_s": 100}})
        keys = [live.key("read", name) for name in ("acme", "globex")]
        statuses = [[live.run("count", ("notes",), {}, key=key).status for _ in range(4)] for key in keys]
        assert statuses == [[200, 200, 429, 429], [200] * 4]
        shown = live.must("get_tenant", ("acme",))["rate"]
        assert (shown["reads_per_s"], shown["is_default"]) == (DROP, True)


def test_in_process_nothing_is_limited_or_counted(tmp_path: Path) -> None:
    with vdb.open(tmp_path / "data", compile_kernels=False, tenant_reads_per_s=DROP) as database:
        database.create_collection("notes", dimension=2)
        database.create_tenant("acme", rate={"reads_per_s": DROP, "writes_per_s": DROP})
        notes = database.as_tenant("acme").collection("notes")
        for i in range(3):
            notes.upsert([str(i)], [[1.0, 0.0]])
            assert notes.count() == i + 1
        assert database.tenant_usage("acme") == []
