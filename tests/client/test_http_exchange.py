"""What a client does with refusals, broken connections and slow servers; both transports, against a scripted server."""

import asyncio
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.client.scripted import Reply, Script, problem, serving
from vdb.client import AsyncClient, Client
from vdb.errors import (
    BY_CODE,
    Conflict,
    DimensionMismatch,
    Problem,
    QueueFull,
    SequenceTimeout,
    TransportError,
    TransportTimeout,
    VdbError,
)

COUNTED = Reply(body={"count": 7, "sequence": 1})
WRITTEN = Reply(body={"sequence": 5})
KEY = "a-very-secret-key"

Use = Callable[[str, Callable[[Any], Any]], Any]


def _sync(url: str, act: Callable[[Any], Any], **options: Any) -> Any:
    with Client(url, KEY, **options) as client:
        return act(client)


def _async(url: str, act: Callable[[Any], Any], **options: Any) -> Any:
    async def run() -> Any:
        async with AsyncClient(url, KEY, **options) as client:
            return await act(client)

    return asyncio.run(run())


@pytest.fixture(params=[_sync, _async], ids=["sync", "async"])
def use(request: pytest.FixtureRequest) -> Any:
    """Runs `act(client)` with either client."""
    return request.param


def _count(client: Any) -> Any:
    return client.collection("docs").count()


def _upsert(client: Any) -> Any:
    return client.collection("docs").upsert(["a"], [[1.0, 2.0]])


def _conditional(client: Any) -> Any:
    return client.collection("docs").upsert(["a"], [[1.0, 2.0]], if_version=0)


def _create_key(client: Any) -> Any:
    return client.create_key(tenant="acme")


def test_a_full_queue_is_asked_again(use: Any) -> None:
    with serving(problem(503, "queue_full"), problem(429, "rate_limited"), COUNTED) as script:
        assert use(script.url, _count) == 7
    assert len(script.asked) == 3


def test_retry_after_is_waited_for(use: Any) -> None:
    with serving(problem(429, "rate_limited", retry_after="0.6"), COUNTED) as script:
        started = time.monotonic()
        assert use(script.url, _count) == 7
        assert time.monotonic() - started >= 0.6


def test_a_retry_beyond_the_timeout_is_not_waited_for(use: Any) -> None:
    with serving(problem(503, "queue_full", retry_after="60")) as script, pytest.raises(QueueFull) as caught:
        use(script.url, _count, timeout_s=1.0)
    assert caught.value.retry_after_s == 60
    assert len(script.asked) == 1


def test_retries_end(use: Any) -> None:
    with serving(problem(503, "queue_full")) as script, pytest.raises(QueueFull):
        use(script.url, _count, n_retries=1)
    assert len(script.asked) == 2


@pytest.mark.parametrize("reply", [problem(503, "queue_full"), Reply(hangs_up=True)], ids=["503", "hang-up"])
def test_a_conditional_write_is_sent_once(use: Any, reply: Reply) -> None:
    with serving(reply, WRITTEN) as script, pytest.raises(VdbError):
        use(script.url, _conditional)
    assert len(script.asked) == 1


@pytest.mark.parametrize("act", [_count, _upsert], ids=["read", "upsert"])
def test_a_broken_connection_is_tried_again(use: Any, act: Any) -> None:
    answer = Reply(body={"count": 7, "sequence": 7})
    with serving(Reply(hangs_up=True), Reply(body=b"{", claimed_bytes=40), answer) as script:
        assert use(script.url, act) == 7
    assert len(script.asked) == 3


def test_a_key_is_not_created_twice(use: Any) -> None:
    with serving(Reply(hangs_up=True)) as script, pytest.raises(TransportError):
        use(script.url, _create_key)
    assert len(script.asked) == 1


def test_a_sequence_timeout_is_the_answer(use: Any) -> None:
    with serving(problem(503, "sequence_timeout", retry_after="0")) as script, pytest.raises(SequenceTimeout):
        use(script.url, _count)
    assert len(script.asked) == 1


def test_a_slow_server_is_a_transport_timeout(use: Any) -> None:
    with serving(Reply(delay_s=30)) as script, pytest.raises(TransportTimeout):
        use(script.url, _count, timeout_s=0.2)


def test_waiting_for_a_sequence_extends_the_timeout(use: Any) -> None:
    with serving(Reply(delay_s=0.5, body=COUNTED.body)) as script:
        assert use(script.url, lambda c: c.collection("docs").count(min_sequence=3, timeout_s=9), timeout_s=0.2) == 7


def test_a_server_that_is_not_there_is_a_transport_error(use: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(TransportError):
            use(f"http://127.0.0.1:{taken.getsockname()[1]}", _count, n_retries=0)


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_every_code_becomes_its_class(code: str) -> None:
    more = {"errors": [{"pointer": "/points/3/vector", "detail": "3 numbers"}], "request_id": "r-1"}
    with serving(problem(400, code, "why", retry_after="2", **more)) as script, pytest.raises(VdbError) as caught:
        _sync(script.url, _count, n_retries=0)
    assert type(caught.value) is BY_CODE[code]
    assert (caught.value.detail, caught.value.retry_after_s) == ("why", 2.0)
    assert caught.value.problems == (Problem("/points/3/vector", "3 numbers"),)


def test_an_error_looks_the_same_to_both_clients(use: Any) -> None:
    with serving(problem(400, "dimension_mismatch")) as script, pytest.raises(DimensionMismatch, match="said so"):
        use(script.url, _count)


def test_an_unknown_code_becomes_the_family_of_its_status(use: Any) -> None:
    with serving(problem(409, "lease_lost")) as script, pytest.raises(Conflict, match="said so"):
        use(script.url, _count)


@pytest.mark.parametrize("status", [200, 302, 404, 500])
def test_what_vdb_did_not_say_is_a_transport_error(use: Any, status: int) -> None:
    with serving(Reply(status, b"<html>")) as script, pytest.raises(TransportError):
        use(script.url, _count)
    assert len(script.asked) == 1


def test_a_gateway_that_fails_is_asked_again(use: Any) -> None:
    with serving(Reply(502, b"<html>"), COUNTED) as script:
        assert use(script.url, _count) == 7


def test_a_closed_client_says_so() -> None:
    client = Client("http://127.0.0.1:1", KEY)
    client.close()
    with pytest.raises(TransportError, match="closed"):
        client.limits()


def test_a_connection_is_kept_and_one_the_server_has_closed_is_not_used() -> None:
    with serving(COUNTED) as script, Client(script.url, KEY, n_retries=0) as client:
        assert [_count(client), _count(client)] == [7, 7]
        assert len({asked.port for asked in script.asked}) == 1
        script.hang_up()
        assert _count(client) == 7
        assert len({asked.port for asked in script.asked}) == 2


def test_a_client_serves_many_threads() -> None:
    with serving(COUNTED) as script, Client(script.url, KEY) as client, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: _count(client), range(200))) == [7] * 200


def test_requests_carry_key_tenant_and_media_type(use: Any) -> None:
    with serving(WRITTEN) as script:
        use(script.url + "/base/", lambda c: c.collection("docs", tenant="acme").upsert(["a"], [[1.0]]))
    asked: Script = script
    assert asked.asked[0].path == "/base/v1/collections/docs/points"
    headers = asked.asked[0].headers
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["Vdb-Tenant"] == "acme"
    assert headers["Content-Type"] == "application/x-vdb"


def test_the_key_shows_nowhere(use: Any) -> None:
    client = Client("http://127.0.0.1:1", KEY)
    shown = [repr(client), repr(client.collection("docs")), repr(AsyncClient("http://127.0.0.1:1", KEY))]
    with serving(Reply(hangs_up=True)) as script, pytest.raises(TransportError) as caught:
        use(script.url, _count, n_retries=0)
    with pytest.raises(VdbError) as refused:
        Client("http://127.0.0.1:1", KEY + "\r\nx: y")
    shown += [repr(caught.value), str(caught.value), repr(refused.value)]
    assert not any(KEY in text for text in shown)


@pytest.mark.parametrize("url", ["", "127.0.0.1:80", "ftp://host", "http://", "http://u:p@host", "http://h:x", None])
def test_a_malformed_url_is_refused(url: Any) -> None:
    with pytest.raises(VdbError, match="url"):
        Client(url, KEY)
