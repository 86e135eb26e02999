"""Answer shapes of answers, and the events of a stream. Conventions: `vdb.protocol.answers`.

The events of a stream: `retrieval`, any number of `delta`, `citations`, `usage`, `done`; or `error` as the last.
"""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType


class Reference(Struct, kw_only=True, omit_defaults=True):
    """A point that an answer cites. `start` and `end` are characters in the source of its document."""

    id: str
    owner: str
    version: int
    score: float
    document: str = ""
    chunk: int | None = None
    title: str = ""
    heading: list[str] = []
    start: int | None = None
    end: int | None = None
    page: int | None = None
    text: str | UnsetType = UNSET


class Sentence(Struct, kw_only=True):
    """A sentence of an answer; `citations` are places in its references, from 0, at most three."""

    text: str
    citations: list[int]


class TokenUsage(Struct, kw_only=True):
    """Tokens; `counted`: the backend told none, so they were counted here."""

    prompt_tokens: int
    completion_tokens: int
    counted: bool = False


class Dropped(Struct, kw_only=True):
    """A passage that was found and left out of the context."""

    id: str
    owner: str
    reason: Literal["budget", "redundant", "worthless", "empty", "duplicate"]
    tokens: int


class Context(Struct, kw_only=True, omit_defaults=True):
    """What the answer was written from; `whole`: everything that the tenant may see. `backend` is what searched the
    passages' vectors."""

    passages: int
    tokens: int
    budget_tokens: int
    whole: bool = False
    exact: bool = True
    """Whether tokens were counted by the backend's own count."""
    backend: Literal["cpu", "gpu"] | UnsetType = UNSET
    dropped: list[Dropped] | UnsetType = UNSET


class FromCache(Struct, kw_only=True):
    """What the cache said; `reason` as in a look-up, `off` where none was asked. `stored` is the new entry's id."""

    hit: Literal["exact", "semantic"] | None
    reason: str
    entry_id: str | None = None
    lookup_id: str | None = None
    stored: str | None = None


class Timings(Struct, kw_only=True):
    """Milliseconds."""

    cache_ms: float = 0.0
    retrieval_ms: float = 0.0
    context_ms: float = 0.0
    first_token_ms: float = 0.0
    generation_ms: float = 0.0
    total_ms: float = 0.0


class CitedAnswer(Struct, kw_only=True):
    """An answer, sentence by sentence. `found` false: the tenant's points do not hold it, and `answer` says so.

    `text` is the same as one text, with markers `[n]` that count references from 1. `support` is how well the passages
    bear an answer, held against `threshold`. `unknown_citations`: markers of no passage, which were dropped.
    """

    answer: list[Sentence]
    text: str
    references: list[Reference]
    found: bool
    support: float | None
    threshold: float | None
    finish_reason: str
    backend: str
    model: str
    template: str
    sequence: int
    usage: TokenUsage
    context: Context
    cache: FromCache
    timings: Timings
    unknown_citations: int = 0


class TrecAnswer(Struct, kw_only=True):
    """An answer in the form of the TREC 2024 RAG track; `references` are ids, of documents where points have one."""

    run_id: str
    topic_id: str
    topic: str
    references: list[str]
    response_length: int
    answer: list[Sentence]


class RetrievalEvent(Struct, kw_only=True, tag_field="event", tag="retrieval"):
    """What the answer is being written from, in the order of the context."""

    passages: list[Reference]
    context: Context
    cache: FromCache
    sequence: int


class DeltaEvent(Struct, kw_only=True, tag_field="event", tag="delta"):
    """A piece of the text. Its markers `[n]` count the references of the `citations` event from 1."""

    text: str


class CitationsEvent(Struct, kw_only=True, tag_field="event", tag="citations"):
    """The sentences and what they cite."""

    answer: list[Sentence]
    references: list[Reference]
    found: bool
    support: float | None
    unknown_citations: int = 0


class UsageEvent(Struct, kw_only=True, tag_field="event", tag="usage"):
    """What it took."""

    usage: TokenUsage
    timings: Timings


class DoneEvent(Struct, kw_only=True, tag_field="event", tag="done"):
    """The end: the whole answer as it would have come without `stream`."""

    answer: CitedAnswer


Event = RetrievalEvent | DeltaEvent | CitationsEvent | UsageEvent | DoneEvent
"""An error in a stream is an event `error` with the body that it would have had as an answer."""
