"""Answers under way: whoever waits for one may leave, and may get it in pieces as server-sent events.

Events come from the thread that makes them and are written there as they will be sent. What a client has not read yet
is bounded: beyond `MAX_BACKLOG_BYTES` the answer is stopped, and a client that takes nothing for `SEND_TIMEOUT_S`, or
is not done `SEND_TIMEOUT_S` after the answer is, is cut off. A client that leaves stops its answer at once; so does
the end of the server, after a grace.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Literal, Protocol, get_args

from vdb.errors import ShuttingDown, Unavailable, VdbError

from .encode import encode
from .errors import OK, Shape, problem, unexpected
from .exchange import Exchange, Message, Send
from .transport import CONNECTION, Connection

EVENTS = b"text/event-stream"
HEARTBEAT_S = 10.0
"""After so long without an event a comment is sent, so that nobody in between takes the connection for dead."""
MAX_BACKLOG_BYTES = 4 << 20
SEND_TIMEOUT_S = 30.0
SEND_BYTES = 64 * 1024
"""About as much is sent at once."""
GRACE_S = 5.0
"""How long answers under way may take when the server ends; less than its own grace."""

Outcome = Literal["done", "error", "left", "slow", "ended"]
"""Of a stream. `left`: the client; `slow`: it was cut off; `ended`: by the end of the server."""

_CUT_OFF_S = 1.0
_HEARTBEAT = b": \n\n"
_DONE = b"data: [DONE]\n\n"
_HEADERS = [
    (b"content-type", EVENTS),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would keep the events until it has many
]


class ClientLeft(Exception):
    """Nobody waits for the answer any more; it has been stopped."""


class _Stop(Protocol):
    def request(self) -> None: ...


class _Running(Protocol):
    @property
    def future(self) -> "Future[Any]": ...

    @property
    def stop(self) -> _Stop: ...


class Underway:
    """One answer and whoever waits for it. Belongs to the event loop, but for `put`; `close` it.

    Give `put` to `Engine.stream`, then `begin` with what that returns.
    """

    def __init__(self, exchange: Exchange, shape: Shape, streams: "Streams") -> None:
        self.exchange = exchange
        self.shape = shape
        self._streams = streams
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._lock = threading.Lock()
        self._pieces: deque[bytes] = deque()
        self._n_bytes = 0
        self._is_waking = self._is_closed = self._has_left = False
        self._running: _Running | None = None
        self._error: VdbError | None = None
        """Why it ends before its answer is there."""
        self._outcome: Outcome = "done"
        self._watch = asyncio.create_task(self._watch_client())
        streams.enter(self)

    def put(self, event: Any) -> None:
        """Take an event; from any thread."""
        name = event.__struct_config__.tag
        head = b"event: %s\n" % name.encode() if name else b""
        piece = b"%sdata: %s\n\n" % (head, encode(event))
        with self._lock:
            if self._error is not None:
                return
            is_slow = self._n_bytes > MAX_BACKLOG_BYTES
            if not is_slow:
                self._pieces.append(piece)
                self._n_bytes += len(piece)
        if is_slow:
            self.end(Unavailable("the answer was not read as fast as it came"), "slow")
        self._wake()

    def begin(self, running: _Running) -> None:
        """The answer is under way."""
        self._running = running
        running.future.add_done_callback(lambda _: self._wake())
        if self._error is not None or self._has_left:
            running.stop.request()

    def end(self, error: VdbError, outcome: Outcome) -> None:
        """Stop the answer, for a reason that is told to the client; from any thread."""
        with self._lock:
            if self._error is None:
                self._error, self._outcome = error, outcome
        if self._running is not None:
            self._running.stop.request()
        self._wake()

    def close(self) -> None:
        """Stop what is still under way, and take no more events."""
        with self._lock:
            self._is_closed = True
            self._pieces.clear()
        self._watch.cancel()
        self._streams.leave(self)
        if self._running is not None and not self._running.future.done():
            self._running.stop.request()

    async def result(self) -> Any:
        """The whole answer; raises its error, ClientLeft, ShuttingDown."""
        while True:
            self._check()
            if self._is_done:
                return self._future.result()
            await self._wait(None)

    async def first_event(self) -> None:
        """Wait until there is something to send: an event, or the first heartbeat; raises as `result`."""
        ends = self._loop.time() + HEARTBEAT_S
        while not self._pieces:
            self._check()
            if self._is_done:
                self._future.result()
                return
            remaining_s = ends - self._loop.time()
            if remaining_s <= 0.0:
                return
            await self._wait(remaining_s)

    async def send_to(self, send: Send) -> Outcome:
        """Send it all as events."""
        try:
            await send({"type": "http.response.start", "status": OK, "headers": _HEADERS})
            return await self._send_events(send)
        except TimeoutError:
            await self._cut_off()
            return "slow"
        except asyncio.CancelledError:
            # Only a shutdown that has run out of time cancels a request; the task ends with this.
            await self._cut_off()
            return "ended"

    async def _cut_off(self) -> None:
        """Close the connection without waiting for what the client has not taken."""
        connection: Connection | None = self.exchange.scope.get(CONNECTION)
        if connection is not None:
            connection.abort()
            await asyncio.wait((self._watch,), timeout=_CUT_OFF_S)

    async def _send_events(self, send: Send) -> Outcome:
        ends: float | None = None
        while True:
            if self._has_left:
                return "left"
            data, is_last = self._take(), self._is_done or self._error is not None
            if is_last and not self._pieces:
                outcome, tail = self._tail()
                await self._send(send, data + tail, False, ends)
                return outcome
            if data:
                await self._send(send, data, True, ends)
            elif not await self._wait(HEARTBEAT_S):
                await self._send(send, _HEARTBEAT, True, ends)
            if is_last and ends is None:
                ends = self._loop.time() + SEND_TIMEOUT_S

    async def _send(self, send: Send, data: bytes, has_more: bool, ends: float | None) -> None:
        """Send a piece; raises TimeoutError where the client does not take what was sent before."""
        timeout_s = SEND_TIMEOUT_S if ends is None else max(0.0, ends - self._loop.time())
        message: Message = {"type": "http.response.body", "body": data, "more_body": has_more}
        async with asyncio.timeout(timeout_s):
            await send(message)

    def _take(self) -> bytes:
        """What is to be sent next: little enough that a client which does not read is noticed."""
        taken: list[bytes] = []
        n_bytes = 0
        with self._lock:
            while self._pieces and n_bytes < SEND_BYTES:
                taken.append(self._pieces.popleft())
                n_bytes += len(taken[-1])
            self._n_bytes -= n_bytes
        return b"".join(taken)

    def _tail(self) -> tuple[Outcome, bytes]:
        """What came of it, and how that is told at the end."""
        if self._error is not None:
            return self._outcome, self._told(self._error)
        error = self._future.exception()
        if error is None:
            return "done", _DONE if self.shape == "openai" else b""
        return "error", self._told(error)

    def _told(self, error: BaseException) -> bytes:
        request_id, shape = self.exchange.request_id, self.shape
        if isinstance(error, VdbError):
            reply = problem(error, request_id, shape=shape)
        else:
            reply = unexpected(error, request_id, shape)
        return b"%sdata: %s\n\n" % (b"" if shape == "openai" else b"event: error\n", reply.body)

    @property
    def _future(self) -> "Future[Any]":
        assert self._running is not None, "begin comes first"
        return self._running.future

    @property
    def _is_done(self) -> bool:
        return self._running is not None and self._running.future.done()

    def _check(self) -> None:
        if self._has_left:
            raise ClientLeft
        if self._error is not None:
            raise self._error

    async def _wait(self, timeout_s: float | None) -> bool:
        """Until something changes; whether it did within the time."""
        try:
            if timeout_s is None:
                await self._changed.wait()
            else:
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    def _wake(self) -> None:
        with self._lock:
            if self._is_closed or self._is_waking:
                return
            self._is_waking = True
            self._loop.call_soon_threadsafe(self._woken)  # within the lock: the loop outlives what is not closed

    def _woken(self) -> None:
        with self._lock:
            self._is_waking = False
        self._changed.set()

    async def _watch_client(self) -> None:
        while (await self.exchange.receive())["type"] != "http.disconnect":
            pass
        self._has_left = True
        if self._running is not None:
            self._running.stop.request()
        self._changed.set()


class Streams:
    """The answers under way on one event loop, and what came of those that were streamed."""

    def __init__(self) -> None:
        self._open: set[Underway] = set()
        self.outcomes: dict[str, int] = dict.fromkeys(get_args(Outcome), 0)
        self.n_streaming = 0
        self._ends_at: float | None = None

    @property
    def n_open(self) -> int:
        """Answers under way, streamed or not."""
        return len(self._open)

    def enter(self, underway: Underway) -> None:
        self._open.add(underway)
        if self._ends_at is not None:
            self._end_later()

    def leave(self, underway: Underway) -> None:
        self._open.discard(underway)

    def end_soon(self) -> None:
        """The server ends: answers under way have `GRACE_S` left. On the loop."""
        self._ends_at = asyncio.get_running_loop().time() + GRACE_S
        self._end_later()

    def _end_later(self) -> None:
        asyncio.get_running_loop().call_at(self._ends_at or 0.0, self.end_all)

    def end_all(self) -> None:
        """End them now; from any thread."""
        for underway in list(self._open):
            underway.end(ShuttingDown("the server is shutting down"), "ended")


class EventStream:
    """An answer whose events are to be sent now; `at_end` are called with the bytes that were."""

    def __init__(self, underway: Underway, streams: Streams) -> None:
        self._underway, self._streams = underway, streams
        self.at_end: list[Callable[[int], None]] = []

    async def send_to(self, send: Send) -> None:
        """Send the whole response. Raises nothing but what ends the task."""
        n_bytes = 0
        outcome: Outcome = "ended"

        async def counted(message: Message) -> None:
            nonlocal n_bytes
            n_bytes += len(message.get("body", b""))
            await send(message)

        self._streams.n_streaming += 1
        try:
            outcome = await self._underway.send_to(counted)
        finally:
            self._streams.n_streaming -= 1
            self._streams.outcomes[outcome] += 1
            self._underway.exchange.outcome = outcome
            self._underway.close()
            for end in self.at_end:
                end(n_bytes)
