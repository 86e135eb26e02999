"""Chats in OpenAI's shape: a question of the last message, and the answer back as a completion or its chunks.

The last message of the user is the question, and what is looked for; what was said before it is history. System and
developer messages are the application's, wherever they stand: they go to the end of our own system message, as text
that cannot change the rules above it. What would change the answer and is not done here is refused, never ignored.

A model that is not there, or that the key may not use, is one and the same error, whatever is missing of it.
"""

import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from msgspec import UNSET

from vdb.engine.answering.question import Question
from vdb.engine.answering.run import Running, ask
from vdb.engine.services import Services
from vdb.errors import CollectionNotFound, InvalidArgument, ModelNotFound
from vdb.protocol.answer_answers import CitationsEvent, CitedAnswer, DeltaEvent, DoneEvent, Event, RetrievalEvent
from vdb.protocol.answer_requests import AnswerOptions
from vdb.protocol.chat_answers import (
    ChatChoice,
    ChatChunk,
    ChatCompletion,
    ChatMessage,
    ChatRag,
    ChatUsage,
    ChunkChoice,
    ChunkRag,
    Delta,
    Retrieved,
)
from vdb.protocol.chat_requests import Chat, Part, Turn
from vdb.rag.generate.base import Message
from vdb.types import Caller

__all__ = ["MAX_STOPS", "chat", "no_model", "question_of_chat", "stream_chat"]

MAX_STOPS = 4
_ID_BYTES = 12
_INSTRUCTING = ("system", "developer")


def chat(services: Services, caller: Caller, path: tuple[str, ...], request: Chat) -> "Future[ChatCompletion]":
    """The whole completion. Raises what is wrong with the request; see `vdb.engine.answering.run.ask`."""
    future: Future[Any] = stream_chat(services, caller, path, request, None).future
    return future


def stream_chat(
    services: Services, caller: Caller, path: tuple[str, ...], request: Chat, emit: Callable[[Any], None] | None
) -> Running:
    """The same as it comes, in chunks."""
    head = _Head(request)
    try:
        # First and alone, so that nothing else of the request tells what there is.
        services.usable(caller, request.model.partition("/")[0])
        question = question_of_chat(request)
        running = ask(services, caller, question, None if emit is None else _Chunks(head, request, emit).take)
    except CollectionNotFound:
        raise no_model() from None
    except ModelNotFound as exc:
        raise (no_model() if exc.problems else exc) from None  # without: the collection's own choice is not there
    future: Future[Any] = Future()
    running.future.add_done_callback(lambda done: _complete(future, done, head))
    return Running(future, running.stop)


def no_model() -> ModelNotFound:
    """The error of a model that does not exist for the caller."""
    error = ModelNotFound.at("/model", "there is no such model, or the key may not use it")
    assert isinstance(error, ModelNotFound), "at makes an error of its class"
    return error


def question_of_chat(request: Chat) -> Question:
    """The question of a chat; raises InvalidArgument at what is not done here."""
    _check_supported(request)
    turns = [(turn.role, _text_of(turn, f"/messages/{i}")) for i, turn in enumerate(request.messages)]
    place = max((i for i, (role, _) in enumerate(turns) if role == "user"), default=None)
    if place is None:
        raise InvalidArgument.at("/messages", "a message of the user is needed: it is the question")
    if any(role == "assistant" for role, _ in turns[place:]):
        raise InvalidArgument.at(
            f"/messages/{len(turns) - 1}", "the last message must be the user's: it is the question"
        )
    added = [Message("system", text) for role, text in turns if role in _INSTRUCTING and text]
    said = [Message(role, text) for role, text in turns[:place] if role in ("user", "assistant") and text]
    collection, slash, backend = request.model.partition("/")
    is_newer = request.max_completion_tokens is not None
    return Question(
        collection=collection,
        text=turns[place][1],
        options=request.rag if isinstance(request.rag, AnswerOptions) else AnswerOptions(),
        backend=backend if slash else None,
        history=(*added, *said),
        max_tokens=request.max_completion_tokens if is_newer else request.max_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        seed=request.seed,
        stop=_stops_of(request),
        text_at=f"/messages/{place}/content",
        options_at="/rag",
        backend_at="/model",
        max_tokens_at="/max_completion_tokens" if is_newer else "/max_tokens",
    )


def _check_supported(request: Chat) -> None:
    refused = {
        "n": request.n not in (None, 1),
        "logprobs": bool(request.logprobs),
        "tools": bool(request.tools),
        "tool_choice": request.tool_choice not in (None, "none", "auto"),
        "functions": bool(request.functions),
        "function_call": request.function_call not in (None, "none", "auto"),
        "modalities": request.modalities not in (None, [], ["text"]),
        "response_format": request.response_format not in (None, {"type": "text"}),
    }
    for field, is_refused in refused.items():
        if is_refused:
            raise InvalidArgument.at(f"/{field}", f"{field} is not supported: answers are one text")


def _text_of(turn: Turn, pointer: str) -> str:
    """The text of a message; parts are joined by line ends."""
    if turn.role in ("tool", "function") or turn.tool_calls or turn.function_call:
        raise InvalidArgument.at(pointer, "tools are not supported")
    if turn.content is None:
        if turn.role == "assistant":
            return ""
        raise InvalidArgument.at(f"{pointer}/content", "a text is needed")
    if isinstance(turn.content, str):
        return turn.content
    return "\n".join(_text_of_part(part, f"{pointer}/content/{i}") for i, part in enumerate(turn.content))


def _text_of_part(part: Part, pointer: str) -> str:
    if part.type != "text":
        raise InvalidArgument.at(f"{pointer}/type", "only parts of type text are supported")
    if part.text is None:
        raise InvalidArgument.at(f"{pointer}/text", "this field is required")
    return part.text


def _stops_of(request: Chat) -> tuple[str, ...]:
    stops = (request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ())
    if len(stops) > MAX_STOPS:
        raise InvalidArgument.at("/stop", f"up to {MAX_STOPS} texts")
    if not all(stops):
        raise InvalidArgument.at("/stop", "a stop is not empty")
    return stops


class _Head:
    """What a completion and each of its chunks say alike."""

    def __init__(self, request: Chat) -> None:
        self.id = f"chatcmpl-{secrets.token_hex(_ID_BYTES)}"
        self.created = int(time.time())
        self.model = request.model


class _Chunks:
    """Turns events into chunks, in order, on the thread that makes them.

    The first waits for the text: what was retrieved may change until then, and an answer that fails before it has begun
    is an error of the request, which clients try again.
    """

    def __init__(self, head: _Head, request: Chat, emit: Callable[[Any], None]) -> None:
        self._head, self._emit = head, emit
        options = request.stream_options
        self._has_usage = options is not None and bool(options.include_usage)
        self._retrieval: RetrievalEvent | None = None
        self._has_begun = False

    def take(self, event: Event) -> None:
        if isinstance(event, RetrievalEvent):
            self._retrieval = event
            return
        if not self._has_begun and isinstance(event, (DeltaEvent, CitationsEvent)):
            self._begin()
        if isinstance(event, DeltaEvent):
            self._tell(Delta(content=event.text))
        elif isinstance(event, DoneEvent):
            rag = ChunkRag(citations=_rag_of(event.answer))
            self._tell(Delta(), event.answer.finish_reason, rag)
            if self._has_usage:
                self._emit(self._chunk([], usage=_usage_of(event.answer)))

    def _begin(self) -> None:
        self._has_begun = True
        found = self._retrieval
        rag: Any = UNSET
        if found is not None:
            retrieved = Retrieved(
                passages=found.passages, context=found.context, cache=found.cache, sequence=found.sequence
            )
            rag = ChunkRag(retrieval=retrieved)
        self._tell(Delta(role="assistant", content=""), None, rag)

    def _tell(self, delta: Delta, finish_reason: str | None = None, rag: Any = UNSET) -> None:
        usage = None if self._has_usage else UNSET
        self._emit(self._chunk([ChunkChoice(delta=delta, finish_reason=finish_reason)], usage=usage, rag=rag))

    def _chunk(self, choices: list[ChunkChoice], **more: Any) -> ChatChunk:
        head = self._head
        return ChatChunk(id=head.id, created=head.created, model=head.model, choices=choices, **more)


def _complete(future: "Future[ChatCompletion]", done: "Future[CitedAnswer]", head: _Head) -> None:
    error = done.exception()
    if error is not None:
        # One that was dropped, or hidden, while its answer was under way is no model any more, either.
        future.set_exception(no_model() if isinstance(error, CollectionNotFound) else error)
        return
    try:
        future.set_result(_completion_of(done.result(), head))
    except Exception as exc:  # it belongs to whoever waits
        future.set_exception(exc)


def _completion_of(answer: CitedAnswer, head: _Head) -> ChatCompletion:
    choice = ChatChoice(message=ChatMessage(content=answer.text), finish_reason=answer.finish_reason)
    usage, rag = _usage_of(answer), _rag_of(answer)
    return ChatCompletion(id=head.id, created=head.created, model=head.model, choices=[choice], usage=usage, rag=rag)


def _usage_of(answer: CitedAnswer) -> ChatUsage:
    prompt, completion = answer.usage.prompt_tokens, answer.usage.completion_tokens
    return ChatUsage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


def _rag_of(answer: CitedAnswer) -> ChatRag:
    return ChatRag(**{name: getattr(answer, name) for name in ChatRag.__struct_fields__})
