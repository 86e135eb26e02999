"""The asyncio transport, over aiohttp (extra `async`): the only file that imports it, when a client is made."""

import asyncio
from contextlib import suppress
from types import ModuleType
from typing import Any, TypeVar

from vdb.client import wire
from vdb.client.answer_calls import EventQueue
from vdb.client.retry import Attempts
from vdb.client.server_url import Headers, HttpOptions, ServerUrl
from vdb.client.wire import Call
from vdb.errors import TransportError, TransportTimeout, VdbError
from vdb.protocol.answer_answers import Event

T = TypeVar("T")


class AsyncHttpTransport:
    """Sends calls over kept-alive connections. Used by one event loop; `close` gives the connections back."""

    def __init__(self, url: str, api_key: str, options: HttpOptions) -> None:
        server = ServerUrl.parse(url)
        self._base, self._headers, self._options = server.origin + server.prefix, Headers(api_key), options
        self._aiohttp = _load()
        self._foreign = foreign(self._aiohttp)
        self._session: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False

    async def execute(self, sent: Call[T], tenant: str | None) -> T:
        """Send until answered or beyond retrying; raises what the server answered, or TransportError."""
        media = wire.body(sent)
        headers, target = self._headers.of(media[1], tenant), self._base + wire.target(sent)
        attempts = Attempts(self._options.retry, sent.repeat, self._options.timeout_s + sent.wait_s)
        while True:
            try:
                return await self._exchange(sent, target, media[0], headers, attempts.remaining_s)
            except VdbError as exc:
                await self.sleep(attempts.delay_after(exc))

    async def open_stream(self, sent: Call[Any], tenant: str | None) -> "AsyncHttpEvents":
        """Send until the first event is there or beyond retrying; each wait for the server is bounded."""
        media = wire.body(sent)
        headers, target = self._headers.of(media[1], tenant), self._base + wire.target(sent)
        attempts = Attempts(self._options.retry, sent.repeat, self._options.timeout_s + sent.wait_s)
        while True:
            try:
                return await self._begin(sent, target, media[0], headers)
            except VdbError as exc:
                await self.sleep(attempts.delay_after(exc))

    async def close(self) -> None:
        self._is_closed = True
        if self._session is not None:
            await self._session.close()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _exchange(
        self, sent: Call[T], target: str, body: bytes | None, headers: dict[str, str], remaining_s: float
    ) -> T:
        if self._is_closed:
            raise TransportError("the client is closed")
        connect_s = min(self._options.connect_timeout_s, remaining_s)
        timeout = self._aiohttp.ClientTimeout(total=remaining_s, sock_connect=connect_s)
        try:
            async with self._open().request(
                sent.operation.method, target, data=body, headers=headers, allow_redirects=False, timeout=timeout
            ) as answer:
                data = await answer.read()
        except self._foreign as exc:
            raise translate(exc, self._aiohttp) from exc
        if wire.is_success(answer.status):
            return wire.read_answer(sent, data)
        raise wire.read_error(answer.status, answer.headers.get("Retry-After"), data)

    async def _begin(
        self, sent: Call[Any], target: str, body: bytes | None, headers: dict[str, str]
    ) -> "AsyncHttpEvents":
        if self._is_closed:
            raise TransportError("the client is closed")
        wait_s = self._options.timeout_s + sent.wait_s
        timeout = self._aiohttp.ClientTimeout(
            total=None, sock_connect=self._options.connect_timeout_s, sock_read=wait_s
        )
        try:
            answer = await self._open().request(
                sent.operation.method, target, data=body, headers=headers, allow_redirects=False, timeout=timeout
            )
        except self._foreign as exc:
            raise translate(exc, self._aiohttp) from exc
        events = AsyncHttpEvents(answer, self._aiohttp)
        try:
            if not wire.is_success(answer.status):
                raise wire.read_error(answer.status, answer.headers.get("Retry-After"), await events.rest())
            await events.read_first()
        except BaseException:
            await events.close()
            raise
        return events

    def _open(self) -> Any:
        """The session, made on first use because it belongs to the running loop."""
        if self._session is None:
            options = self._options
            secure = True if options.ssl_context is None else options.ssl_context
            connector = self._aiohttp.TCPConnector(limit=options.n_connections, ssl=secure)
            self._session = self._aiohttp.ClientSession(connector=connector, cookie_jar=self._aiohttp.DummyCookieJar())
            self._loop = asyncio.get_running_loop()
        elif self._loop is not asyncio.get_running_loop():
            raise TransportError("the client belongs to another event loop: make one in each")
        return self._session


class AsyncHttpEvents:
    """The events of one answer. Used by one task; close it."""

    def __init__(self, answer: Any, aiohttp: ModuleType) -> None:
        self._answer, self._aiohttp = answer, aiohttp
        self._foreign = foreign(aiohttp)
        self._events = EventQueue()

    async def read_first(self) -> None:
        """Wait for the first event; raises the error that it is."""
        while self._events.is_empty:
            await self._feed()
        self._events.check_first()

    async def read(self) -> Event | None:
        while self._events.is_empty:
            await self._feed()
        event = self._events.take()
        if event is None:
            with suppress(TransportError):  # the end of the body makes the connection of use for the next call
                await self._piece()
        return event

    async def rest(self) -> bytes:
        """All that is still to come."""
        pieces = []
        while piece := await self._piece():
            pieces.append(piece)
        return b"".join(pieces)

    async def close(self) -> None:
        if self._answer.content.at_eof():
            self._answer.release()
        else:
            self._answer.close()

    async def _feed(self) -> None:
        piece = await self._piece()
        if not piece:
            raise TransportError("the stream broke off", retry_after_s=0.0)
        self._events.feed(piece)

    async def _piece(self) -> bytes:
        try:
            piece: bytes = await self._answer.content.readany()
        except self._foreign as exc:
            raise translate(exc, self._aiohttp) from exc
        return piece


def foreign(aiohttp: ModuleType) -> tuple[type[Exception], ...]:
    """What aiohttp and the sockets below it raise."""
    return (aiohttp.ClientError, TimeoutError, OSError, UnicodeError)


def translate(exc: BaseException, aiohttp: ModuleType) -> TransportError:
    """The TransportError that stands for `exc`; one that another attempt may cure says so by `retry_after_s`."""
    text = f"{type(exc).__name__}: {exc}"
    if isinstance(exc, TimeoutError):
        return TransportTimeout(text, retry_after_s=0.0 if isinstance(exc, aiohttp.ConnectionTimeoutError) else None)
    final = (aiohttp.ClientSSLError, aiohttp.ClientConnectorCertificateError)
    passing = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionError)
    is_passing = isinstance(exc, passing) and not isinstance(exc, final)
    return TransportError(text, retry_after_s=0.0 if is_passing else None)


def _load() -> ModuleType:
    try:
        import aiohttp
    except ImportError as exc:
        raise TransportError("AsyncClient needs aiohttp: install vdb with the extra `async`") from exc
    return aiohttp
