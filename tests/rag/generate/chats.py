"""Chats as a scripted model server streams them, and a backend that asks it."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.rag.model_server import ModelServer, Say, Script, serving
from vdb.rag.connection import address_of
from vdb.rag.generate.base import Asked, Message, TokenCounter
from vdb.rag.generate.openai import BackendOptions, OpenAIBackend
from vdb.rag.generate.tokens import ByteBound
from vdb.rag.generate.upstream import StreamPatience, Upstream
from vdb.rag.passage import Passage

PASSAGES = (
    Passage("a", "acme", 1, "The library is opposite the town hall.", 2.0, title="Town"),
    Passage("b", "acme", 1, "Bread is made of flour and water.", 1.0),
)
MESSAGES = (
    Message("system", "Passages: [1] The library is opposite the town hall. [2] Bread is made of flour and water."),
    Message("user", "Where is the library?"),
)
ASKED = Asked("Where is the library?", PASSAGES, MESSAGES)
PIECES = ("The library", " is opposite", " the town hall. [1]")
TEXT = "".join(PIECES)
DONE = b"data: [DONE]\n\n"
EVENTS = {"Content-Type": "text/event-stream"}


def event(body: Any, end: str = "\n") -> bytes:
    """One server-sent event of JSON."""
    return f"data: {json.dumps(body, ensure_ascii=False)}{end}{end}".encode()


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk of a chat."""
    choice = {"index": 0, "delta": {} if delta is None else delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **more}


def chunks(pieces: Sequence[str] = PIECES, finish: str = "stop") -> list[dict[str, Any]]:
    """The chunks of an answer without its usage."""
    said = [chunk({"content": piece}) for piece in pieces]
    return [chunk({"role": "assistant", "content": ""}), *said, chunk(finish=finish)]


def usage(prompt: int = 40, completion: int = 9) -> dict[str, Any]:
    """The chunk of the usage, which has no choices."""
    told = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [], "usage": told}


def streamed(*parts: Any, **more: Any) -> Say:
    """A stream of events, of bytes as they are, and of things that are waited for."""
    ready = [part if isinstance(part, (bytes, threading.Event)) else event(part) for part in parts]
    return Say(headers=EVENTS, parts=ready, **more)


WHOLE = streamed(*chunks(), usage(), DONE)


def body(text: str = TEXT, **more: Any) -> dict[str, Any]:
    """An answer that is not streamed."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    told = {"prompt_tokens": 40, "completion_tokens": 9, "total_tokens": 49}
    return {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice], "usage": told, **more}


@contextmanager
def asking(
    script: Script | Say, counter: TokenCounter | None = None, clock: Any = None, **given: Any
) -> Iterator[tuple[OpenAIBackend, ModelServer]]:
    """A backend, closed at the end; `given` are options and patience."""
    patience: dict[str, Any] = {"n_retries": 0, "timeout_s": 20.0, "concurrency": 2}
    patience |= {name: given.pop(name) for name in tuple(given) if name in StreamPatience.__dataclass_fields__}
    chosen: dict[str, Any] = {"model": "m", "context_tokens": 1000, "max_tokens": 100}
    options = BackendOptions(**chosen | given)
    with serving((lambda *_: script) if isinstance(script, Say) else script) as server:
        more = {} if clock is None else {"clock": clock}
        address = address_of(server.url, "url")
        upstream = Upstream("backend 'b'", address, StreamPatience(**patience), "secret-key", **more)
        backend = OpenAIBackend("b", options, upstream, counter or ByteBound())
        try:
            yield backend, server
        finally:
            backend.close()
