"""What a backend is to those who have answers written.

Passages are numbered from 1 in the order in which a backend gets them; its text cites them as `[n]`, whoever writes it.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from vdb.rag.passage import Passage

__all__ = ["Asked", "Backend", "Cancelled", "ContextTooLong", "Generated", "Message", "Stop", "TokenCounter", "Usage"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be answered: the question and its passages, and the same as the messages of a chat."""

    question: str
    passages: Sequence[Passage]
    messages: Sequence[Message]
    max_tokens: int | None = None
    """Of the answer; None: the backend's own."""
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    weights: Mapping[str, float] | None = None
    """Rarity of the question's terms among all that the tenant may see, where a text index tells it."""
    language: str = "english"
    """Of the texts, as a text index names it."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens. `is_counted` says that the backend told none and they were counted here."""

    prompt_tokens: int
    completion_tokens: int
    is_counted: bool


@dataclass(frozen=True, slots=True)
class Generated:
    """A whole answer. `support`, 0 to 1, says how well the passages bear it; None where the backend cannot tell."""

    text: str
    finish_reason: Literal["stop", "length"]
    usage: Usage
    model: str
    support: float | None = None


class Cancelled(Exception):
    """Nobody waits for the answer any more."""


class ContextTooLong(Exception):
    """The backend found the prompt too long; `n_over` tokens too long where it said so, else 0."""

    def __init__(self, n_over: int = 0) -> None:
        super().__init__("the prompt is longer than the backend's context")
        self.n_over = n_over


@dataclass(slots=True)
class Stop:
    """Tells a backend that nobody waits any more. `request` from any thread, any number of times."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_requested: bool = False
    _end: Callable[[], None] | None = None

    @property
    def is_requested(self) -> bool:
        return self._is_requested

    def request(self) -> None:
        """End what is under way."""
        with self._lock:
            self._is_requested = True
            end = self._end
        if end is not None:
            end()

    def ends(self, end: Callable[[], None] | None) -> None:
        """Have `end` called when a stop is requested, or None for nothing; raises Cancelled where it was already."""
        with self._lock:
            self._end = end
            if self._is_requested and end is not None:
                raise Cancelled


class TokenCounter(Protocol):
    """Counts tokens as a backend does. Any thread may call it."""

    is_exact: bool
    """Whether it is the backend's own count, rather than one that is known not to be less."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text; raises ModelUnavailable where the backend is asked and does not tell."""


class Backend(Protocol):
    """Writes answers. Any thread may call it, several at once; whoever made it closes it."""

    name: str
    model: str
    context_tokens: int
    """Tokens that prompt and answer may have together."""
    max_tokens: int
    """Of an answer, where nobody says."""
    message_tokens: int
    """What the template of its chat adds to each message, at most: counted beside `counter`."""
    categories: frozenset[str]
    """What it is preferred for, where the request names no backend."""
    counter: TokenCounter

    @property
    def load(self) -> float:
        """How busy it is, 0 to 1; above 1 where calls wait; infinite while it is not asked because it failed."""

    def generate(self, asked: Asked, emit: Callable[[str], None], stop: Stop) -> Generated:
        """Have an answer written; pieces of its text go to `emit` as they come, on this thread.

        Raises ModelUnavailable, InvalidArgument (the backend refuses the request), ContextTooLong (before any piece),
        Cancelled.
        """

    def close(self) -> None:
        """Let go of connections; calls under way fail."""
