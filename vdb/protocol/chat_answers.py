"""Answer shapes of the OpenAI surface: chat completions, their chunks, and models. Times are Unix seconds."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from vdb.protocol.answer_answers import Context, FromCache, Reference, Sentence, Timings


class Model(Struct, kw_only=True):
    """What a chat may be answered from: a collection, alone or with the backend that is to write."""

    id: str
    created: int
    object: Literal["model"] = "model"
    owned_by: str = "vdb"


class Models(Struct, kw_only=True):
    """The models that the key may use, all of them."""

    data: list[Model]
    object: Literal["list"] = "list"


class ChatUsage(Struct, kw_only=True):
    """Tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatMessage(Struct, kw_only=True):
    """The answer; its markers `[n]` count the references from 1."""

    content: str
    role: Literal["assistant"] = "assistant"
    refusal: None = None


class ChatChoice(Struct, kw_only=True):
    """The only choice."""

    message: ChatMessage
    finish_reason: str
    index: int = 0
    logprobs: None = None


class ChatRag(Struct, kw_only=True):
    """What ours says of an answer beyond OpenAI's fields; as in `CitedAnswer`."""

    answer: list[Sentence]
    references: list[Reference]
    found: bool
    support: float | None
    threshold: float | None
    backend: str
    model: str
    template: str
    sequence: int
    context: Context
    cache: FromCache
    timings: Timings
    unknown_citations: int = 0


class ChatCompletion(Struct, kw_only=True):
    """An answer in one body."""

    id: str
    created: int
    model: str
    choices: list[ChatChoice]
    usage: ChatUsage
    rag: ChatRag
    object: Literal["chat.completion"] = "chat.completion"


class Retrieved(Struct, kw_only=True):
    """What the answer is being written from, in the order of the context."""

    passages: list[Reference]
    context: Context
    cache: FromCache
    sequence: int


class ChunkRag(Struct, kw_only=True):
    """Ours of a chunk: one of the two."""

    retrieval: Retrieved | UnsetType = UNSET
    citations: ChatRag | UnsetType = UNSET


class Delta(Struct, kw_only=True):
    """A piece of the answer."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType = UNSET


class ChunkChoice(Struct, kw_only=True):
    """The only choice; `finish_reason` comes with the end of the text."""

    delta: Delta
    finish_reason: str | None = None
    index: int = 0
    logprobs: None = None


class ChatChunk(Struct, kw_only=True):
    """A piece of a stream.

    `rag.retrieval` comes with the first, `rag.citations` with the last that has a choice. `usage`, where it was asked
    for, is null until the very last, which has no choice.
    """

    id: str
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: ChatUsage | None | UnsetType = UNSET
    rag: ChunkRag | UnsetType = UNSET
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
