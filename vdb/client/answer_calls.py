"""The calls that ask a question: whole or streamed, and the reading of events."""

import base64
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal, TypedDict

import msgspec
from numpy.typing import ArrayLike

from vdb.client.arrays import to_query
from vdb.client.sse import EventReader
from vdb.client.wire import Call, call, read_error_event
from vdb.errors import InvalidArgument, TransportError, VdbError
from vdb.protocol.answer_answers import CitedAnswer, Event

_decode_event = msgspec.json.Decoder(Event).decode
_KNOWN = ("retrieval", "delta", "citations", "usage", "done")


class AnswerOptions(TypedDict, total=False):
    """How an answer is to come about; what is not given, or None, is the collection's, or the server's default."""

    limit: int | None
    vector: ArrayLike | None
    mode: str | None
    fusion: Mapping[str, Any] | None
    reranker: Mapping[str, Any] | None
    filter: Mapping[str, Any] | None
    params: Mapping[str, Any] | None
    context: Mapping[str, Any] | None
    threshold: float | None
    template: str | None
    cache: Literal["on", "off", "refresh"] | Mapping[str, Any] | None
    backend: str | None
    max_tokens: int | None
    temperature: float | None
    seed: int | None
    with_texts: bool
    explain: bool
    min_sequence: int
    timeout_s: float


def answer(collection: str, question: str, wait_s: float, options: AnswerOptions) -> Call[CitedAnswer]:
    return call("answer", fields=_fields(collection, question, options), answer=CitedAnswer, work_s=wait_s)


def stream(collection: str, question: str, options: AnswerOptions) -> Call[Any]:
    """What comes back are events, not an answer."""
    return call("answer", fields=_fields(collection, question, options) | {"stream": True})


class EventQueue:
    """Events out of the bytes of a body, in order; then None for their end, or the error that ended them."""

    def __init__(self) -> None:
        self._reader = EventReader()
        self._ready: deque[Event | VdbError | None] = deque()

    @property
    def is_empty(self) -> bool:
        """Whether it has to be fed before anything can be taken."""
        return not self._ready

    def feed(self, piece: bytes) -> None:
        for name, data in self._reader.feed(piece):
            if name == "error":
                self._ready.append(read_error_event(data))
            elif name in _KNOWN:  # others are a later release's
                self._ready.append(_event(name, data))
                if name == "done":
                    self._ready.append(None)

    def check_first(self) -> None:
        """Raise the error that comes next, if it is one; nothing is taken."""
        if isinstance(self._ready[0], VdbError):
            raise self._ready[0]

    def take(self) -> Event | None:
        """The next one, None at the end; raises what ended the stream."""
        event = self._ready.popleft()
        if isinstance(event, VdbError):
            raise event
        return event


def _event(name: str, data: bytes) -> Event | VdbError:
    try:
        return _decode_event(data)  # type: ignore[no-any-return]
    except (msgspec.MsgspecError, ValueError):
        return TransportError(f"the event {name} is not what vdb sends")


def _fields(collection: str, question: str, options: AnswerOptions) -> dict[str, Any]:
    fields: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if "vector" in fields:
        vector, n_queries = to_query(fields["vector"])
        if n_queries is not None:
            raise InvalidArgument.at("/vector", "a question has one vector (d,)")
        fields["vector"] = base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return {"collection": collection, "question": question, **fields}
