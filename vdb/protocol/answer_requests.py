"""Request shapes of answers. Conventions: `vdb.protocol.requests`."""

from typing import Any, Literal

from msgspec import UNSET, UnsetType

from vdb.protocol import answering
from vdb.protocol.requests import Fusion, Request, Reranker, SearchParams, Vector

Order = answering.Order


class ContextOptions(Request):
    """What of the passages found goes into the context.

    `tokens` bounds it, by the backend's own count; not given: what the backend's context leaves. Of the `passages` best
    at most, 20 where nobody says: search finds more, so that support can tell what stands out. `redundancy` and
    `cost` weigh what a passage repeats, and what it takes of the budget, against its relevance. `order`: best first
    (`score`), as in their documents (`document`), the best at both ends (`edges`), or so that prompts begin alike
    (`prefix`). `whole`: a tenant whose points all fit gets all of them.
    """

    tokens: int | UnsetType = UNSET
    method: Literal["greedy", "beam"] = "greedy"
    passages: int | UnsetType = UNSET
    redundancy: float | UnsetType = UNSET
    cost: float | UnsetType = UNSET
    order: Order | UnsetType = UNSET
    whole: bool = True


class AnswerCache(Request):
    """The semantic cache in front. Not given: that of the collection, if it names one.

    `use`: `off` neither asks nor fills it, `refresh` fills it only. The rest is as in a look-up.
    """

    use: Literal["on", "off", "refresh"] = "on"
    name: str | UnsetType = UNSET
    category: str | UnsetType = UNSET
    scope: str = ""


class AnswerOptions(Request):
    """How an answer is to come about, whatever its shape. What is not given is the collection's, or the default.

    `limit` passages are looked for, 50 where nobody says; `vector`, `mode`, `fusion`, `reranker`, `filter`, `params`
    are those of a search. `backend` is one of the server's. `threshold`, 0 to 1: less support than that is answered
    with "not found".
    """

    limit: int | UnsetType = UNSET
    vector: Vector | UnsetType = UNSET
    mode: Literal["dense", "sparse", "hybrid"] | UnsetType = UNSET
    fusion: Fusion | UnsetType = UNSET
    reranker: Reranker | UnsetType = UNSET
    filter: Any = None
    params: SearchParams | UnsetType = UNSET
    context: ContextOptions | UnsetType = UNSET
    template: str | UnsetType = UNSET
    """A name, or `name@version`."""
    threshold: float | UnsetType = UNSET
    cache: AnswerCache | Literal["on", "off", "refresh"] | UnsetType = UNSET
    with_texts: bool = False
    """Whether references say their texts."""
    explain: bool = False
    """Whether the answer says what was dropped from the context, and why."""
    min_sequence: int = 0
    timeout_s: float = 10.0


class Answer(AnswerOptions, kw_only=True):
    """Answer a question from a collection. `stream`: as server-sent events instead of one body.

    `format` `trec_rag`: as a record of the TREC 2024 RAG track, with `topic_id` and `run_id`; not as a stream.
    """

    collection: str
    question: str
    backend: str | UnsetType = UNSET
    max_tokens: int | UnsetType = UNSET
    temperature: float | UnsetType = UNSET
    seed: int | UnsetType = UNSET
    stream: bool = False
    format: Literal["vdb", "trec_rag"] = "vdb"
    topic_id: str | UnsetType = UNSET
    run_id: str | UnsetType = UNSET
