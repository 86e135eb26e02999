"""A small body that never ended held its connection, and its request, for ever."""

import asyncio
from typing import Any

import pytest

from vdb.errors import InvalidArgument
from vdb_api import exchange


def test_a_small_body_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    messages: list[Any] = [{"type": "http.request", "body": b"{", "more_body": True}]

    async def receive() -> Any:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()

    monkeypatch.setattr(exchange, "_BODY_TIMEOUT_S", 0.01)
    asked = exchange.Exchange({"headers": [(b"content-length", b"100")]}, receive)
    with pytest.raises(InvalidArgument, match="did not come in"):
        asyncio.run(asked.body(1_000))
