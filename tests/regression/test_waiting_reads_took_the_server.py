"""Reads that wait for a sequence were looked at ten times a second each, however many of them a tenant had waiting."""

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from tests.api.stub_engine import StubEngine
from vdb.config import Limits, Settings
from vdb.engine.engine import Engine
from vdb.errors import SequenceTimeout
from vdb.protocol.operations import BY_NAME
from vdb_api.deps import Service
from vdb_api.encode import Reply
from vdb_api.exchange import Exchange

BODY = b'{"vector":[1,0],"min_sequence":9,"timeout_s":0.05}'


def not_yet(*_: Any) -> Any:
    raise SequenceTimeout("not yet")


def started(engine: StubEngine) -> Service:
    return Service(cast(Engine, engine), engine.settings)


async def refusals(service: Service, n_requests: int) -> int:
    """How many of so many searches at once, all of one tenant, are refused for want of room."""

    async def receive() -> Any:
        return {"type": "http.request", "body": BODY, "more_body": False}

    headers = [(b"authorization", b"Bearer write"), (b"content-length", b"%d" % len(BODY))]
    scope = {"method": "POST", "path": "/v1/collections/notes/search", "query_string": b"", "headers": headers}
    exchanges = (Exchange(dict(scope), receive) for _ in range(n_requests))
    asked = (service.respond(exchange, BY_NAME["search"], ("notes",)) for exchange in exchanges)
    replies = await asyncio.gather(*asked)
    return sum(b"queue_full" in reply.body for reply in replies if isinstance(reply, Reply))


def test_a_tenant_has_a_bounded_number_of_waiting_reads() -> None:
    limits = replace(Limits(), max_queued_requests=8)
    service = started(StubEngine(not_yet, Settings(limits=limits)))
    assert asyncio.run(refusals(service, 10)) == 6, "half of the room is for others"
    assert asyncio.run(refusals(service, 4)) == 0, "who has waited leaves the room"
    service.close()


@pytest.mark.parametrize(
    ("n_own", "n_others", "longest_s"), [(1, 0, 0.1), (32, 0, 0.1), (320, 0, 1.0), (1, 100, 0.1), (24, 1000, 0.4)]
)
def test_the_more_reads_wait_the_less_often_each_is_looked_at(n_own: int, n_others: int, longest_s: float) -> None:
    service = started(StubEngine())
    service._awaiting.enter(1, n_own)
    service._awaiting.enter(2, n_others)
    assert service._longest_poll_s(1) == longest_s
    service.close()
