"""The events of an answer: the methods, written once for asyncio; `answer_stream.py` is generated from this file.

What brings events is a transport's: HTTP, or an engine in this process.
"""

from types import TracebackType
from typing import Any, Protocol, Self

from vdb.client.wire import Call
from vdb.protocol.answer_answers import CitedAnswer, DoneEvent, Event


class AsyncIncoming(Protocol):
    """Events on their way here."""

    async def read(self) -> Event | None:
        """The next one, None after the last; raises what ended the stream."""

    async def close(self) -> None:
        """Take no more; an answer that is still being written is stopped."""


class AsyncOpener(Protocol):
    """What begins a stream, and tries again until its first event."""

    async def open_stream(self, sent: Call[Any], tenant: str | None) -> AsyncIncoming: ...


class AsyncAnswerStream:
    """One answer's events, in order: retrieval, deltas, citations, usage, done. Used by one task; close it.

    `answer` is the whole once it is done.
    """

    def __init__(self, opener: AsyncOpener, sent: Call[Any], tenant: str | None) -> None:
        self._opener, self._sent, self._tenant = opener, sent, tenant
        self._incoming: AsyncIncoming | None = None
        self._is_over = False
        self.answer: CitedAnswer | None = None

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Raises what ended the stream: the same errors as calls."""
        if self._is_over:
            raise StopAsyncIteration
        try:
            incoming = await self._open()
            event = await incoming.read()
        except BaseException:
            await self.close()
            raise
        if event is None:
            await self.close()
            raise StopAsyncIteration
        if isinstance(event, DoneEvent):
            self.answer = event.answer
        return event

    async def close(self) -> None:
        """Stop the answer if it is not complete. Any number of times."""
        self._is_over = True
        if self._incoming is not None:
            incoming, self._incoming = self._incoming, None
            await incoming.close()

    async def _open(self) -> AsyncIncoming:
        if self._incoming is None:
            self._incoming = await self._opener.open_stream(self._sent, self._tenant)
        return self._incoming
