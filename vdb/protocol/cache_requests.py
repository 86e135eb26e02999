"""Request shapes of semantic caches. Conventions: `vdb.protocol.requests`.

A similarity is a cosine, -1 to 1, always. Hashes (`fingerprint`, `turns`, `scope`) are texts of the caller's choice,
compared as they are: equal or not.
"""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType, field

from vdb.protocol.requests import Fusion, Request, SearchParams, Vector

DAY_S = 86_400.0

Mode = Literal["off", "exact", "shadow", "semantic"]
Verdict = Literal["right", "wrong"]


class CreateCache(Request):
    """A cache: one dimension, one embedding version, many tenants. `tenants` null means every tenant may use it.

    `max_entries` and `max_bytes` bound the whole cache. `reject_margin`: how much nearer the nearest category's
    centroid has to be than the next one's, as a cosine, for a question to be put there without being told.
    """

    name: str
    dimension: int
    embedding_version: str = ""
    tenants: list[str] | None = None
    max_entries: int = 100_000
    max_bytes: int = 1 << 30
    reject_margin: float = 0.05
    metadata: dict[str, str] = field(default_factory=dict)


class UpdateCache(Request):
    """Change what is given. Entries of another embedding version are not served, and are purged."""

    embedding_version: str | UnsetType = UNSET
    tenants: list[str] | None | UnsetType = UNSET
    max_entries: int | UnsetType = UNSET
    max_bytes: int | UnsetType = UNSET
    reject_margin: float | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType = UNSET


class Example(Struct, forbid_unknown_fields=True):
    """A question that belongs to a category."""

    text: str
    vector: Vector


class PutPolicy(Request):
    """The policy of a category, put whole: what is not given takes its default.

    `threshold` null: learned from labels under the two budgets. `explore`: share of would-be hits that are not served
    but labelled. `ttl_s` is fixed from the store on; `ttl_jitter` of it is drawn. `reserve_*`: what each tenant's
    entries of the category are sure of; `max_*`: where they end; null: no cap but the cache's. `relax_similarity`,
    `relax_ttl`: the most that full load may lower the bar, and lengthen the life, by. `turns`: whether questions with
    earlier turns are eligible, given equal hashes. `example_threshold`: from which similarity on a near miss is offered
    as an example.
    """

    mode: Mode = "semantic"
    threshold: float | None = None
    max_false_per_request: float = 0.01
    max_false_per_hit: float = 0.05
    explore: float = 0.05
    ttl_s: float = DAY_S
    ttl_jitter: float = 0.1
    reserve_entries: int = 0
    reserve_bytes: int = 0
    max_entries: int | None = None
    max_bytes: int | None = None
    guard: bool = True
    turns: Literal["first", "equal"] = "first"
    relax_similarity: float = 0.0
    relax_ttl: float = 0.0
    compare: Literal["equal", "verdict", "judge"] = "verdict"
    judge_url: str | None = None
    example_threshold: float | None = None
    examples: list[Example] = field(default_factory=list)


class HitName(Struct, forbid_unknown_fields=True):
    """A hit; `owner` not given: the tenant itself."""

    id: str
    owner: str | UnsetType = UNSET


class Retrieval(Request):
    """The search that an answer was written from. A lookup needs `collection`, `filter` and `limit` of it.

    `sequence` is the search's. By `vector` alone: `distance` is that of the last hit (not given, or fewer hits than
    `limit`: any new point may matter). With a `text` the search is made again where points are new: `mode`, `fusion`
    and `params` as it had them, `depth` candidates where it ranked more of them than it answered, and `hits` that are
    not among the sources. `mode` whole: there was no search, everything was read, so any new point matters.
    """

    collection: str
    limit: int
    filter: Any = UNSET
    vector: Vector | UnsetType = UNSET
    distance: float | UnsetType = UNSET
    sequence: int | UnsetType = UNSET
    text: str | UnsetType = UNSET
    mode: Literal["dense", "sparse", "hybrid", "whole"] | UnsetType = UNSET
    fusion: Fusion | UnsetType = UNSET
    params: SearchParams | UnsetType = UNSET
    depth: int | UnsetType = UNSET
    hits: list[HitName] = field(default_factory=list)


class Source(Request):
    """A point that an answer was written from, in the version that was read; `owner` not given: the tenant itself."""

    collection: str
    id: str
    version: int
    owner: str | UnsetType = UNSET


class Question(Request):
    """What has to be equal for an entry to be eligible, the text and its vector apart."""

    text: str | UnsetType = UNSET
    vector: Vector | UnsetType = UNSET
    category: str | UnsetType = UNSET
    scope: str = ""
    model: str = ""
    fingerprint: str = ""
    turns: str = ""
    embedding_version: str | UnsetType = UNSET
    retrieval: Retrieval | UnsetType = UNSET


class CacheLookup(Question):
    """Is there an answer? `load` of the backend, 0 to 1; `lease`: whether a miss asks to be the one who answers.

    `wait_ms`: how long to wait for whoever is answering the same question already. `with_candidate`: whether the text
    and answer of a candidate that is not served are wanted, to compare them with a fresh answer.
    """

    load: float = 0.0
    lease: bool = True
    wait_ms: int = 0
    with_candidate: bool = False

    @property
    def timeout_s(self) -> float:
        """As other requests name how long they wait."""
        return self.wait_ms / 1e3


class CacheStore(Question):
    """An answer, with the `lookup_id` that missed (text, vector and the rest are known then), or with all of them.

    `outcome`: only a whole answer is stored; the others give the lease back. `verdict`: whether the candidate of the
    lookup would have been right. `lease`: refuse the answer where the lease has expired.
    """

    lookup_id: str | UnsetType = UNSET
    answer: Any = UNSET
    outcome: Literal["answer", "error", "incomplete", "private"] = "answer"
    verdict: Verdict | UnsetType = UNSET
    lease: str | UnsetType = UNSET
    sources: list[Source] = field(default_factory=list)
    ttl_s: float | UnsetType = UNSET


class CacheFeedback(Request):
    """A user says whether a served answer was right; of one lookup, or of an entry whatever lookup it came from."""

    verdict: Verdict
    lookup_id: str | UnsetType = UNSET
    entry_id: str | UnsetType = UNSET


class SourceName(Request):
    """A point whatever its version; without `id`, all of a collection."""

    collection: str
    id: str | UnsetType = UNSET
    owner: str | UnsetType = UNSET


class CacheInvalidate(Request):
    """Remove entries that match all that is given, at least one thing; `dry_run` counts them only."""

    entry_ids: list[str] | UnsetType = UNSET
    source: SourceName | UnsetType = UNSET
    tenant: str | UnsetType = UNSET
    category: str | UnsetType = UNSET
    embedding_version: str | UnsetType = UNSET
    dry_run: bool = False


class ScrollEntries(Request):
    """A page of the tenant's entries, without answers unless asked for."""

    category: str | UnsetType = UNSET
    limit: int = 100
    cursor: str | None = None
    with_answer: bool = False
