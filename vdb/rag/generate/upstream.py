"""One address of a server that streams: how many are asked at a time, when again, and that all of it can be ended.

What may work a second time is tried again as an `Endpoint` does, but only until the first piece of an answer came. A
`Stop` ends a call wherever it waits: for its turn, in a pause, for a connection, for bytes. What is sent, what comes
back and the key reach neither a log nor an error.
"""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from vdb.errors import InvalidArgument, ModelUnavailable
from vdb.rag.breaker import LONGEST_PAUSE_S, Breaker
from vdb.rag.connection import Address, TimedConnection, is_over
from vdb.rag.connections import Connections
from vdb.rag.endpoint import MIB, headers_of
from vdb.rag.generate.base import Cancelled, ContextTooLong, Stop
from vdb.rag.generate.places import Places
from vdb.rag.generate.stream import Reply, Silent
from vdb.rag.generate.too_long import tokens_over_in
from vdb.rag.refusals import (
    FIRST_PAUSE_S,
    MAX_REFUSAL_BYTES,
    Failed,
    Unusable,
    is_of_the_text,
    pause_s,
    refusal,
)

__all__ = ["StreamPatience", "Upstream"]

_GRACE_S = 2.0
"""How long usage and `[DONE]` are waited for once an answer has ended: some servers send neither, and hold the line."""
_LAST_BYTES_S = 0.01
"""The same of the end of the body, without which a connection is not kept."""
_READ_BYTES = 65_536
_MAY_BE_TOO_LONG = frozenset((
    HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.INTERNAL_SERVER_ERROR,
))  # fmt: skip
"""Not 429: too many tokens in a minute are no long prompt."""


@dataclass(frozen=True, slots=True)
class StreamPatience:
    """How long and how often a server is asked; times in seconds."""

    connect_timeout_s: float = 5.0
    idle_timeout_s: float = 60.0
    """Without a byte."""
    timeout_s: float = 300.0
    """Of the whole: waiting for a place, attempts, pauses, the answer."""
    n_retries: int = 2
    concurrency: int = 8
    max_stream_bytes: int = 64 * MIB


class _Call:
    """One call under way. Its own thread waits in it, any other ends it."""

    def __init__(self, stop: Stop, deadline: float, places: Places) -> None:
        self.stop, self.deadline = stop, deadline
        self.ended = threading.Event()
        self._places = places
        self._lock = threading.Lock()
        self._connection: TimedConnection | None = None

    def end(self) -> None:
        """Wake the call wherever it is."""
        self.ended.set()
        with self._lock:  # so that it is not another call's by now
            if self._connection is not None:
                self._connection.end()
        self._places.wake()

    def hold(self, connection: TimedConnection | None) -> None:
        """The connection that an end closes; raises Cancelled after one."""
        with self._lock:
            self._connection = connection
        if connection is not None:
            self.check()

    def check(self) -> None:
        """Raise Cancelled where nobody waits any more."""
        if self.ended.is_set():
            raise Cancelled

    @property
    def left_s(self) -> float:
        return self.deadline - time.monotonic()


class Upstream:
    """Any thread may stream; whoever made it closes it, which ends calls under way."""

    def __init__(
        self,
        name: str,
        address: Address,
        patience: StreamPatience,
        api_key: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`name` is what errors call it; `clock` is that of the pauses after failures."""
        self._name, self._patience = name, patience
        self._headers = headers_of(api_key, "text/event-stream, application/json")
        self._connections = Connections(name, address)
        self._places = Places(patience.concurrency)
        self._breaker = Breaker(name, clock)
        self._lock = threading.Lock()
        self._n_retries = 0

    @property
    def load(self) -> float:
        """Calls under way and waiting, of those that are let through at a time; infinite while it is left alone."""
        return float("inf") if self._breaker.is_open else self._places.load

    @property
    def n_retries(self) -> int:
        """Attempts after the first, of all calls."""
        return self._n_retries

    def stream(self, body: bytes, plain_body: Callable[[], bytes], new_reply: Callable[[], Reply], stop: Stop) -> Reply:
        """Post, and feed what comes to a reply, a new one for each attempt; returns the one that is whole.

        What `plain_body` makes asks for no stream: it is posted where the stream that `body` asks for says nothing.

        Raises ModelUnavailable, InvalidArgument (the request is refused), ContextTooLong, Cancelled.
        """
        call = _Call(stop, time.monotonic() + self._patience.timeout_s, self._places)
        is_probe = self._breaker.enter()
        has_worked: bool | None = None
        try:
            stop.ends(call.end)
            with self._place(call):
                reply = self._tried(call, body, plain_body, new_reply)
            has_worked = True
            return reply
        except _Busy as exc:
            raise ModelUnavailable(f"{self._name} is busy", retry_after_s=1.0) from exc
        except (InvalidArgument, ContextTooLong):
            has_worked = True
            raise
        except (Failed, Unusable, ModelUnavailable) as exc:
            # What a tenant asks for must not have the others do without the server.
            is_untold = self._connections.closed.is_set() or getattr(exc, "is_askers", False)
            has_worked = None if is_untold else False
            if isinstance(exc, ModelUnavailable):
                raise
            retry_after_s = exc.retry_after_s if isinstance(exc, Failed) else 0.0
            raise ModelUnavailable(f"{self._name} {exc.what}", retry_after_s=retry_after_s or None) from exc
        finally:
            stop.ends(None)
            self._breaker.leave(is_probe, has_worked)

    def close(self) -> None:
        """Calls under way fail, later ones are refused."""
        self._connections.close()
        self._places.wake()

    @contextmanager
    def _place(self, call: _Call) -> Iterator[None]:
        """One of the calls at a time; raises _Busy, Cancelled, ModelUnavailable (closed)."""
        is_given = self._places.take(lambda: call.ended.is_set() or self._connections.closed.is_set(), call.left_s)
        if not is_given:
            call.check()
            self._connections.check_open()
            raise _Busy
        try:
            yield
        finally:
            self._places.give_back()

    def _tried(
        self, call: _Call, body: bytes, plain_body: Callable[[], bytes], new_reply: Callable[[], Reply]
    ) -> Reply:
        n_tried, is_plain = 0, False
        while True:
            reply = new_reply()
            try:
                self._attempt(call, body, reply)
                reply.checked()
                return reply
            except Failed as exc:
                if isinstance(exc, Silent) and not is_plain:
                    body, is_plain = plain_body(), True
                    continue
                n_tried += 1
                wait_s = max(exc.retry_after_s, pause_s(n_tried, FIRST_PAUSE_S))
                is_last = reply.has_begun or n_tried > self._patience.n_retries
                if is_last or wait_s > min(LONGEST_PAUSE_S, call.left_s):
                    raise
                with self._lock:
                    self._n_retries += 1
                self._pause(call, wait_s)

    def _pause(self, call: _Call, wait_s: float) -> None:
        """Between two attempts; an end or a close is heard."""
        until = time.monotonic() + wait_s
        while not self._connections.closed.is_set() and (left_s := until - time.monotonic()) > 0.0:
            if call.ended.wait(min(left_s, 0.25)):
                break
        call.check()

    def _attempt(self, call: _Call, body: bytes, reply: Reply) -> None:
        """Of connections that were kept, those that the server has closed are thrown away."""
        while True:
            connection = self._connections.take()
            was_used, is_kept = connection.is_used, False
            try:
                call.hold(connection)
                is_kept = self._exchange(call, connection, body, reply)
                return
            except TimeoutError as exc:
                call.check()
                is_late = call.left_s <= 0.0
                what = "did not finish in time" if is_late else "did not answer in time"
                raise Failed(what, is_askers=is_late and reply.has_begun) from exc
            except (OSError, http.client.HTTPException) as exc:
                call.check()
                self._connections.check_open()
                was_dropped = isinstance(exc, (ConnectionError, http.client.BadStatusLine))
                if not (was_used and was_dropped and not reply.has_begun):
                    what = "broke off" if reply.has_begun else "cannot be asked"
                    raise Failed(f"{what}: {type(exc).__name__}") from exc
            finally:
                call.hold(None)
                self._connections.give_back(connection, is_kept and not call.ended.is_set())

    def _exchange(self, call: _Call, connection: TimedConnection, body: bytes, reply: Reply) -> bool:
        """One exchange; returns whether its connection can be used again."""
        patience = self._patience
        response = connection.begin(
            body, self._headers, patience.connect_timeout_s, call.deadline, patience.idle_timeout_s
        )
        if response.status != HTTPStatus.OK:
            said = response.read(MAX_REFUSAL_BYTES)
            raise self._refused(response.status, response.headers, said)
        n_bytes = 0
        try:
            while not reply.is_done:
                data = response.read1(_READ_BYTES)
                call.check()
                if not data:
                    break
                n_bytes += len(data)
                if n_bytes > patience.max_stream_bytes:
                    raise Unusable(f"answers with more than {patience.max_stream_bytes} bytes")
                had_ended = reply.finish_reason is not None
                reply.feed(data)
                if reply.finish_reason is not None and not had_ended:
                    connection.hurry(min(call.deadline, time.monotonic() + _GRACE_S))
        except (OSError, http.client.HTTPException):
            if reply.finish_reason is None:
                raise
        if response.length and reply.finish_reason is None and not reply.is_done:
            raise http.client.IncompleteRead(b"", response.length)
        call.check()
        reply.finish()
        return _is_at_end(connection, response)

    def _refused(self, status: int, headers: http.client.HTTPMessage, said: bytes) -> Exception:
        n_over = tokens_over_in(said) if status in _MAY_BE_TOO_LONG else None
        if n_over is not None:
            return ContextTooLong(n_over)
        found = refusal(self._name, status, headers, said)
        if is_of_the_text(status) and isinstance(found, ModelUnavailable):
            return Unusable(found.detail.removeprefix(f"{self._name} "), is_askers=True)
        return found


class _Busy(Exception):
    """No place became free in time."""


def _is_at_end(connection: TimedConnection, response: http.client.HTTPResponse) -> bool:
    """Read the end of a body that says no more; False where it does not come at once."""
    if response.will_close:
        return False
    try:
        connection.hurry(time.monotonic() + _LAST_BYTES_S)
        if not response.isclosed() and response.read1(_READ_BYTES):
            return False
    except (OSError, http.client.HTTPException):
        return False
    if response.length == 0:
        response.close()
    return is_over(response)
