"""Any number of large bodies could be in memory at once."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.engine.driver import Driver, small
from vdb.config import Limits
from vdb.engine.engine import Engine
from vdb.types import Role
from vdb_api import app, deps

N_BYTES = 300_000
PATH = "/v1/collections/notes/points"


def scope_of(headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    """An upsert into `notes`."""
    return {
        "type": "http", "http_version": "1.1", "method": "POST", "path": PATH, "raw_path": PATH.encode(),
        "query_string": b"", "headers": headers, "root_path": "", "scheme": "http",
        "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1),
    }  # fmt: skip


async def statuses(engine: Engine, key: str, n_requests: int) -> list[int]:
    """The statuses of requests whose bodies are all under way at once."""
    service = deps.Service(engine, engine.settings)
    application = app.create(service, engine.settings)
    n_answered = 0
    has_answer = asyncio.Event()

    async def one() -> int:
        sent: list[Any] = []

        async def receive() -> Any:
            await has_answer.wait()
            return {"type": "http.request", "body": b"x" * N_BYTES, "more_body": False}

        async def send(message: Any) -> None:
            nonlocal n_answered
            sent.append(message)
            n_answered += 1
            has_answer.set()

        headers = [(b"authorization", f"Bearer {key}".encode()), (b"content-length", str(N_BYTES).encode())]
        await application(scope_of(headers), receive, send)
        return int(sent[0]["status"])

    try:
        return await asyncio.gather(*(one() for _ in range(n_requests)))
    finally:
        service.close()


def test_large_bodies_beyond_the_cap_of_the_queues_are_to_come_again(tmp_path: Path) -> None:
    engine = Engine.open(small(tmp_path / "data", limits=replace(Limits(), max_queued_bytes=3 * N_BYTES)))
    try:
        key = Driver(engine).create_key(Role.WRITE, "acme").key
        assert sorted(asyncio.run(statuses(engine, key, 3))) == [400, 400, 503]
    finally:
        engine.close()


def test_a_large_body_that_never_ends_gives_its_memory_back(tmp_path: Path) -> None:
    async def ask() -> int:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.disconnect"}  # what the server makes of a body that does not come in time

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"authorization", f"Bearer {key}".encode()), (b"content-length", str(N_BYTES).encode())]
        service = deps.Service(engine, engine.settings)
        try:
            await app.create(service, engine.settings)(scope_of(headers), receive, send)
            assert service._large_bytes.n_taken == 0
        finally:
            service.close()
        return int(sent[0]["status"])

    engine = Engine.open(small(tmp_path / "data"))
    try:
        key = Driver(engine).create_key(Role.WRITE, "acme").key
        assert asyncio.run(ask()) == 400
    finally:
        engine.close()
