"""The server's HTTP protocol: what uvicorn does for every request, in less, and with bounds.

- The head and the body of a hot answer leave in one system call (`Connection.answer`); uvicorn writes them one after
  the other, and each write is a send of its own: on a small answer the second costs more than encoding the answer.
- A request with a small body is begun when the body is there: most clients send it in a packet of its own, and whoever
  is begun before it has to be woken once more.
- A search of a collection is answered where its body came in, if it waits for nothing: a task, and a turn of the event
  loop for it, are made only once it has to wait.
- A connection has one timer, which is moved when it goes off and not with every request.

It also bounds what uvicorn leaves open: the bytes of a request's head, the time that head and body may take to come,
and what follows the body. A trailer is no header, or it could name a tenant where a proxy let no header through.
"""

import asyncio
import math
from collections.abc import Coroutine, Generator, Iterable
from contextvars import Context, copy_context
from typing import Any, Final, Literal

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

__all__ = ["BODY_TIMEOUT_S", "CONNECTION", "HEAD_TIMEOUT_S", "Connection", "HttpProtocol"]

CONNECTION = "vdb.connection"
"""Where the `Connection` of a request stands in its ASGI scope; absent under another server."""

HEAD_TIMEOUT_S = 75.0
BODY_TIMEOUT_S = 120.0
_MAX_HEAD_BYTES = 64 * 1024
_SMALL_BODY_BYTES: Final = 64 * 1024  # beyond it uvicorn stops reading until somebody takes the body
_FAREWELL_S = 2.0
_BEFORE_NAME, _AFTER_NAME = "/v1/collections/", "/search"

_Awaited = Literal["head", "body", "request", ""]


class _Begun(Coroutine[Any, Any, None]):
    """A coroutine that was begun outside a task and waits for `awaited`: for a task to go on with.

    A task takes no plain generator from Python 3.12 on, and one that is cancelled before its first step throws into
    what it was given: `begun` hears of it.
    """

    def __init__(self, begun: Coroutine[Any, Any, None], awaited: Any) -> None:
        self._begun, self._awaited, self._is_new = begun, awaited, True

    def send(self, value: Any) -> Any:
        if self._is_new:
            self._is_new = False
            return self._awaited
        return self._begun.send(value)

    def throw(self, *failure: Any) -> Any:
        self._is_new = False
        return self._begun.throw(*failure)

    def close(self) -> None:
        self._begun.close()

    def __await__(self) -> Generator[Any, Any, None]:
        raise TypeError("it is for a task alone")


class Connection:
    """A request's way out, past ASGI. For the event loop."""

    __slots__ = ("_cycle", "_protocol")

    def __init__(self, protocol: "HttpProtocol", cycle: RequestResponseCycle) -> None:
        self._protocol, self._cycle = protocol, cycle

    def answer(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bool:
        """Send a whole answer at once, as two messages of ASGI would; False where only they can: nothing is sent."""
        cycle = self._cycle
        if cycle.response_started or cycle.flow.write_paused or cycle.scope["method"] == "HEAD":
            return False
        if cycle.disconnected:
            return True
        lines = [*cycle.default_headers, *headers]
        if not cycle.keep_alive:
            lines.append((b"connection", b"close"))
        head = STATUS_LINE[status] + b"".join([b"%s: %s\r\n" % line for line in lines]) + b"\r\n"
        if head.count(b"\n") != len(lines) + 2:
            raise RuntimeError("a header holds the end of a line")
        cycle.response_started = cycle.response_complete = True
        cycle.transport.write(head + body)
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
        return True

    def abort(self) -> None:
        """Close without waiting for what the client has not taken."""
        self._protocol.transport.abort()


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with the bounds and savings of this module."""

    _n_head_bytes = 0  # of the parsed part
    _n_pending_bytes = 0  # that the parser may hold, for want of a line's end
    _n_declared_bytes: int | None = None
    _is_in_head = True
    _has_progressed = False
    _is_in_body = False
    _held: tuple[RequestResponseCycle, Any] | None = None
    _due: tuple[RequestResponseCycle, Any] | None = None
    _awaited: _Awaited = ""
    _deadline = math.inf
    _timer: asyncio.TimerHandle | None = None
    _goes_off = math.inf

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await("head", HEAD_TIMEOUT_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._held = self._due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._has_progressed = False
        super().data_received(data)
        if self._due is not None:
            due, self._due = self._due, None
            self._begin(*due)
        self._n_pending_bytes = 0 if self._has_progressed else self._n_pending_bytes + len(data)
        if self._n_pending_bytes > _MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")
        if self._is_in_head:
            if self._awaited != "head":
                self._await("head", HEAD_TIMEOUT_S)
        elif self._is_in_body and self._awaited != "body":  # the rest of it: what came with its head is there
            self._await("body", BODY_TIMEOUT_S)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._n_head_bytes, self._n_declared_bytes, self._is_in_head = 0, None, True

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        if self._is_in_head:
            super().on_header(name, value)
            if self.headers[-1][0] == b"content-length":
                self._n_declared_bytes = int(value)

    def on_headers_complete(self) -> None:
        self._is_in_head, self._is_in_body, self._has_progressed = False, True, True
        self._await("", math.inf)
        super().on_headers_complete()
        if self.parser.should_upgrade():  # the parser has stopped: what follows would be read as another request
            self.cycle.keep_alive = False
            self._begin_held()

    def on_body(self, body: bytes) -> None:
        self._has_progressed = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_in_body = False
        self._await("", math.inf)
        super().on_message_complete()
        self._begin_held()

    def on_response_complete(self) -> None:
        """As uvicorn's, without a timer of its own."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            super()._start_asgi_task(*self._with_connection(*self.pipeline.pop()))
        elif not (self._is_in_head or self._is_in_body):
            self._await("request", self.timeout_keep_alive)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        n_bytes = self._n_declared_bytes
        if n_bytes is not None and 0 < n_bytes <= _SMALL_BODY_BYTES and not self.expect_100_continue:
            self._held = cycle, app
        else:
            super()._start_asgi_task(*self._with_connection(cycle, app))

    def _begin_held(self) -> None:
        """Begin it when the parser is done with what has come."""
        self._due, self._held = self._held or self._due, None

    def _begin(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._with_connection(cycle, app)
        if not _is_search(cycle):
            super()._start_asgi_task(cycle, app)
            return
        context = Context() if self.config.reset_contextvars else copy_context()
        answering = cycle.run_asgi(app)
        try:
            awaited = context.run(answering.send, None)
        except StopIteration:
            return
        task = self.loop.create_task(_Begun(answering, awaited), context=context)
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _with_connection(self, cycle: RequestResponseCycle, app: Any) -> tuple[RequestResponseCycle, Any]:
        cycle.scope[CONNECTION] = Connection(self, cycle)  # type: ignore[literal-required]
        return cycle, app

    def shutdown(self) -> None:
        """The server ends. Idle TLS clients do not answer a farewell: waiting for them would take all the grace."""
        super().shutdown()
        if self.transport.is_closing() and self.transport.get_extra_info("sslcontext") is not None:
            self.loop.call_later(_FAREWELL_S, self.transport.abort)

    def _unsupported_upgrade_warning(self) -> None:
        """An upgrade that is not taken up is nothing to warn of."""

    def _count(self, n_bytes: int) -> None:
        """Count what is kept of a head or a trailer; a bare name and value cost as much as 32 bytes."""
        self._n_head_bytes += n_bytes + 32
        if self._n_head_bytes > _MAX_HEAD_BYTES:
            raise ValueError("the head of the request is too large")  # the parser makes a 400 of it

    def _await(self, what: _Awaited, within_s: float) -> None:
        """Close the connection where this has not come in time; "" awaits nothing."""
        self._awaited = what
        if not what:
            self._deadline = math.inf
            return
        self._deadline = self.loop.time() + within_s
        if self._deadline < self._goes_off and not self.transport.is_closing():
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._goes_off = self.loop.call_at(self._deadline, self._look), self._deadline

    def _look(self) -> None:
        """Close, or look again when what is awaited by now would be late."""
        self._timer, self._goes_off = None, math.inf
        if self.loop.time() >= self._deadline:
            self.transport.close()
        elif self._deadline < math.inf:
            self._set_timer()


def _is_search(cycle: RequestResponseCycle) -> bool:
    """What is begun without a task may not ask which one it runs in: our own short way does not, a framework might."""
    path = cycle.scope["path"]
    is_of_one = path.endswith(_AFTER_NAME) and path.startswith(_BEFORE_NAME) and path.count("/") == 4
    return is_of_one and cycle.scope["method"] == "POST"
