"""A question as the use case takes it, whatever shape it came in."""

from dataclasses import dataclass, field
from typing import Any

from msgspec import UnsetType

from vdb.protocol.answer_requests import Answer, AnswerOptions
from vdb.rag.generate.base import Message

__all__ = ["Question", "given", "question_of"]


@dataclass(frozen=True, slots=True)
class Question:
    """`history` are the turns before it, oldest first. What is None is the collection's, or the backend's own.

    The names that end in `_at` are the JSON pointers of its parts, for errors.
    """

    collection: str
    text: str
    options: AnswerOptions = field(default_factory=AnswerOptions)
    backend: str | None = None
    history: tuple[Message, ...] = ()
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    text_at: str = "/question"
    options_at: str = ""
    backend_at: str = "/backend"
    max_tokens_at: str = "/max_tokens"


def given(value: Any) -> Any:
    """A field of a request, None where it was not given."""
    return None if isinstance(value, UnsetType) else value


def question_of(request: Answer) -> Question:
    """The question of an `answer` request."""
    return Question(
        collection=request.collection,
        text=request.question,
        options=request,
        backend=given(request.backend),
        max_tokens=given(request.max_tokens),
        temperature=given(request.temperature),
        seed=given(request.seed),
    )
