"""The server's HTTP protocol: when a request is begun, in what order answers leave, when a connection is closed."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import pytest
import uvicorn

from vdb_api import transport
from vdb_api.encode import Reply
from vdb_api.exchange import send_reply

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bytes]]

TEXT = b"text/plain"


def _request(path: bytes, body: bytes, *lines: bytes) -> tuple[bytes, bytes]:
    """The head and the body of a request."""
    head = (b"POST %s HTTP/1.1" % path, b"Host: x", b"Content-Length: %d" % len(body), *lines, b"", b"")
    return b"\r\n".join(head), body


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    body = (await receive()).get("body", b"")
    await send_reply(scope, send, Reply(200, TEXT, scope["path"].encode() + b" " + body))


def _talk(talk: Talk, app: Any = _echo, **settings: Any) -> bytes:
    """What `talk` returns, with a server that answers by `app`."""
    protocol = transport.HttpProtocol
    config = uvicorn.Config(app, http=protocol, ws="none", lifespan="off", log_config=None, **settings)
    config.load()

    async def run() -> bytes:
        state = uvicorn.server.ServerState()
        loop = asyncio.get_running_loop()
        made = await loop.create_server(lambda: protocol(config, state, {}), "127.0.0.1", 0)
        async with made:
            reader, writer = await asyncio.open_connection(*made.sockets[0].getsockname())
            try:
                return await asyncio.wait_for(talk(reader, writer), 10)
            finally:
                writer.close()

    return asyncio.run(run())


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """The body of the next answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return await reader.readexactly(int(length.split(b":")[1]))


def test_a_body_that_comes_after_its_head_is_answered() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        head, body = _request(b"/late", b"text")
        writer.write(head)
        await asyncio.sleep(0.02)
        writer.write(body[:2])
        await asyncio.sleep(0.02)
        writer.write(body[2:])
        return await _answer(reader)

    assert _talk(talk) == b"/late text"


def test_a_request_is_begun_when_its_small_body_is_there_and_before_a_large_one() -> None:
    begun: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        begun.append(scope["path"])
        while (await receive()).get("more_body"):
            pass
        await send_reply(scope, send, Reply(200, TEXT, b"done"))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        seen = b""
        for path, n_bytes in ((b"/small", 100), (b"/large", 100_000)):
            head, body = _request(path, b"x" * n_bytes)
            writer.write(head)
            await asyncio.sleep(0.05)
            seen += b"%d" % len(begun)
            writer.write(body)
            seen += await _answer(reader)
        return seen

    assert _talk(talk, app) == b"0done2done"
    assert begun == ["/small", "/large"]


def test_answers_to_requests_that_came_together_leave_in_their_order() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.05 if scope["path"] == "/slow" else 0)
        await _echo(scope, receive, send)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"".join(_request(b"/slow", b"a") + _request(b"/fast", b"b") + _request(b"/last", b"")))
        return b",".join([await _answer(reader) for _ in range(3)])

    assert _talk(talk, app) == b"/slow a,/fast b,/last "


def test_who_asked_for_it_is_told_to_send_the_body() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        head, body = _request(b"/asked", b"text", b"Expect: 100-continue")
        writer.write(head)
        told = await reader.readuntil(b"\r\n\r\n")
        writer.write(body)
        return told[:12] + await _answer(reader)

    assert _talk(talk) == b"HTTP/1.1 100/asked text"


def test_a_connection_is_closed_after_the_answer_where_that_was_asked_for() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"".join(_request(b"/once", b"a", b"Connection: close")))
        return await reader.read()

    said = _talk(talk)
    assert said.endswith(b"/once a")
    assert said.count(b"connection: close\r\n") == 1


def test_a_connection_on_which_nobody_asks_is_closed() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        for _ in range(3):  # the timer that was set for the first is still to go off
            writer.write(b"".join(_request(b"/", b"a")))
            await _answer(reader)
        return await reader.read() + b"closed"

    assert _talk(talk, timeout_keep_alive=0.05) == b"closed"


def test_a_connection_stays_open_while_an_answer_takes_longer_than_the_next_request_may() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.3)
        await _echo(scope, receive, send)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"".join(_request(b"/slow", b"a")))
        return await _answer(reader)

    assert _talk(talk, app, timeout_keep_alive=0.05) == b"/slow a"


def test_a_head_that_drips_is_not_waited_for_any_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "HEAD_TIMEOUT_S", 0.2)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        async def drip() -> None:
            writer.write(b"POST / HTTP/1.1\r\nX-Long: ")
            while True:
                await asyncio.sleep(0.02)
                writer.write(b"a")

        dripping = asyncio.create_task(drip())
        try:
            return await reader.read() + b"closed"
        finally:
            dripping.cancel()

    assert _talk(talk) == b"closed"


@pytest.mark.parametrize("header", [(b"x-a", b"b\r\nx-c: d"), (b"x-a: b\n", b"c")])
def test_a_header_of_two_lines_is_not_sent(header: tuple[bytes, bytes]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send_reply(scope, send, Reply(200, TEXT, b"done"), [header])

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"".join(_request(b"/", b"a")))
        return await reader.readline()

    assert b" 500 " in _talk(talk, app)


def test_who_does_not_read_is_answered_by_and_by() -> None:
    """Where the client has not taken what was sent, the answer waits as ASGI has it."""
    large = b"x" * 8_000_000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send_reply(scope, send, Reply(200, TEXT, large))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"".join(_request(b"/", b"a") * 3))
        await asyncio.sleep(0.1)
        return b",".join([b"%d" % len(await _answer(reader)) for _ in range(3)])

    assert _talk(talk, app) == b"8000000,8000000,8000000"


SEARCH = b"/v1/collections/notes/search"


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *paths: bytes) -> bytes:
    """The bodies of the answers to requests that are sent together."""
    writer.write(b"".join(b"".join(_request(path, b"x")) for path in paths))
    return b"|".join([await _answer(reader) for _ in paths])


def test_a_search_is_answered_where_its_body_came_in_and_what_waits_in_a_task() -> None:
    tasks: list[tuple[str, bool, bool]] = []
    kept = ContextVar("kept", default="")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert not kept.get(), "of another request"
        kept.set(scope["path"])
        began_in = asyncio.current_task()
        await receive()
        if scope["query_string"] == b"wait":
            await asyncio.sleep(0)
            await asyncio.sleep(0.01)
            with pytest.raises(ZeroDivisionError):
                await asyncio.wait_for(_fails(), 5)
        tasks.append((scope["path"][-6:], began_in is None, asyncio.current_task() is None))
        await send_reply(scope, send, Reply(200, TEXT, kept.get()[-6:].encode()))

    async def _fails() -> None:
        await asyncio.sleep(0.001)
        raise ZeroDivisionError

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        answers = [await _ask(reader, writer, path) for path in (SEARCH, SEARCH + b"?wait", b"/points", SEARCH)]
        return b" ".join(answers)

    assert _talk(talk, app) == b"search search points search"
    assert tasks == [("search", True, True), ("search", True, False), ("points", False, False), ("search", True, True)]


def test_searches_that_came_together_are_answered_in_their_order() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if scope["query_string"] == b"1":
            await asyncio.sleep(0.02)
        await send_reply(scope, send, Reply(200, TEXT, scope["query_string"]))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        first = await _ask(reader, writer, *(SEARCH + b"?%d" % i for i in (1, 2, 3)))
        return first + b" " + await _ask(reader, writer, *(SEARCH + b"?%d" % i for i in (2, 1, 3)))

    assert _talk(talk, app) == b"1|2|3 2|1|3"


@pytest.mark.parametrize("is_at_once", [False, True])
def test_a_search_that_is_cancelled_hears_of_it_also_before_its_task_has_begun(is_at_once: bool) -> None:
    ended: list[type[BaseException]] = []

    def cancel() -> None:
        (waiting,) = [task for task in asyncio.all_tasks() if isinstance(task.get_coro(), transport._Begun)]
        waiting.cancel()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        loop = asyncio.get_running_loop()
        if is_at_once:
            loop.call_soon(cancel)  # the task's first step comes after it
        else:
            loop.call_later(0.02, cancel)
        try:
            await asyncio.sleep(5)
        except BaseException as exc:
            ended.append(type(exc))
            raise

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"".join(_request(SEARCH, b"x")))
        return await reader.readuntil(b"\r\n")

    assert b" 500 " in _talk(talk, app) and ended == [asyncio.CancelledError]


def test_what_a_search_leaves_to_a_task_is_a_coroutine() -> None:
    """From Python 3.12 on `create_task` takes no plain generator: every search that had to wait would fail."""

    async def nothing() -> None: ...

    begun = transport._Begun(nothing(), None)
    assert isinstance(begun, Coroutine)
    begun.close()


def test_only_searches_of_a_collection_are_begun_without_a_task() -> None:
    tasks: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        tasks.append(asyncio.current_task() is None)
        await send_reply(scope, send, Reply(200, TEXT, b"done"))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        paths = (SEARCH, b"/v1/tenants/search", b"/v1/collections/search", b"/v1/collections/a/b/search", b"/search")
        for path in paths:
            await _ask(reader, writer, path)
        head, body = _request(SEARCH, b"x")
        writer.write(head.replace(b"POST", b"PATCH") + body)
        return await _answer(reader)

    _talk(talk, app)
    assert tasks == [True, False, False, False, False, False]


def test_a_search_with_more_behind_it_is_answered_before_that_is_judged() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        head, body = _request(SEARCH, b"1")
        writer.write(head + body + head[:20])
        first = await _answer(reader)
        await asyncio.sleep(0.02)
        writer.write(head[20:] + b"2")
        second = await _answer(reader)
        writer.write(b"".join(_request(SEARCH, b"3", b"Connection: close")))
        return b"|".join((first[-1:], second[-1:], (await reader.read())[-1:]))

    assert _talk(talk) == b"1|2|3"


def test_a_search_whose_application_fails_at_once_is_answered() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"".join(_request(SEARCH, b"x")))
        return await reader.readuntil(b"\r\n")

    assert b" 500 " in _talk(talk, app)
