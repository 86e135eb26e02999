"""The events of an answer, synchronous. Generated from aio_answer_stream.py by vdb.client.unasync: edit that one.

What brings events is a transport's: HTTP, or an engine in this process.
"""

from types import TracebackType
from typing import Any, Protocol, Self

from vdb.client.wire import Call
from vdb.protocol.answer_answers import CitedAnswer, DoneEvent, Event


class Incoming(Protocol):
    """Events on their way here."""

    def read(self) -> Event | None:
        """The next one, None after the last; raises what ended the stream."""

    def close(self) -> None:
        """Take no more; an answer that is still being written is stopped."""


class Opener(Protocol):
    """What begins a stream, and tries again until its first event."""

    def open_stream(self, sent: Call[Any], tenant: str | None) -> Incoming: ...


class AnswerStream:
    """One answer's events, in order: retrieval, deltas, citations, usage, done. Used by one task; close it.

    `answer` is the whole once it is done.
    """

    def __init__(self, opener: Opener, sent: Call[Any], tenant: str | None) -> None:
        self._opener, self._sent, self._tenant = opener, sent, tenant
        self._incoming: Incoming | None = None
        self._is_over = False
        self.answer: CitedAnswer | None = None

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        """Raises what ended the stream: the same errors as calls."""
        if self._is_over:
            raise StopIteration
        try:
            incoming = self._open()
            event = incoming.read()
        except BaseException:
            self.close()
            raise
        if event is None:
            self.close()
            raise StopIteration
        if isinstance(event, DoneEvent):
            self.answer = event.answer
        return event

    def close(self) -> None:
        """Stop the answer if it is not complete. Any number of times."""
        self._is_over = True
        if self._incoming is not None:
            incoming, self._incoming = self._incoming, None
            incoming.close()

    def _open(self) -> Incoming:
        if self._incoming is None:
            self._incoming = self._opener.open_stream(self._sent, self._tenant)
        return self._incoming
