"""A request begun with a good key went on with it for as long as its sender, or its timeout, made it last."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.driver import Driver, small
from vdb.engine.engine import Engine
from vdb.protocol.requests import Empty
from vdb.types import Role
from vdb_api import app, deps

SEARCH_LATER = b'{"vector":[1,0],"min_sequence":1000,"timeout_s":5}'
UPSERT = b'{"points":[{"id":"late","vector":[1,0]}]}'


async def ask(engine: Engine, path: str, key: str, body: bytes, while_it_comes: Callable[[], Any]) -> int:
    """The status of a request whose body comes in after `while_it_comes` was called."""
    sent: list[Any] = []

    async def receive() -> Any:
        while_it_comes()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {key}".encode()), (b"content-length", str(len(body)).encode())]
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "path": path, "raw_path": path.encode(),
        "query_string": b"", "headers": headers, "root_path": "", "scheme": "http",
        "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1),
    }  # fmt: skip
    service = deps.Service(engine, engine.settings)
    try:
        await app.create(service, engine.settings)(scope, receive, send)
    finally:
        service.close()
    return int(sent[0]["status"])


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/collections/notes/points", UPSERT), ("/v1/collections/notes/search", SEARCH_LATER)]
)
def test_a_key_deleted_while_its_request_lasts_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, body: bytes
) -> None:
    is_upsert = body == UPSERT
    monkeypatch.setattr(deps, "_TRUSTED_S", -1.0 if is_upsert else 60.0)
    engine = Engine.open(small(tmp_path / "data"))
    try:
        driver = Driver(engine)
        driver.create("notes")
        key = driver.create_key(Role.WRITE, "acme")
        status = asyncio.run(
            ask(engine, path, key.key, body, lambda: driver.run("delete_key", None, (key.id,), Empty()))
        )
        assert status == 401
        assert driver.count("acme", "notes") == 0
    finally:
        engine.close()
