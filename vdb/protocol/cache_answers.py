"""Answer shapes of semantic caches. Conventions: `vdb.protocol.answers`."""

from datetime import datetime
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from vdb.protocol.cache_requests import Mode, Verdict

HitKind = Literal["exact", "semantic"]
CategoryFrom = Literal["request", "centroid", "none"]


class Cache(Struct, kw_only=True):
    """A cache as the caller may see it; `tenants` is for admins, null where all may use it."""

    name: str
    id: int
    dimension: int
    embedding_version: str
    max_entries: int | None
    max_bytes: int | None
    reject_margin: float | None
    created_at: datetime
    metadata: dict[str, str]
    tenants: list[str] | None | UnsetType = UNSET


class Caches(Struct, kw_only=True):
    """A page of caches, by name."""

    caches: list[Cache]
    next_cursor: str | None


class Policy(Struct, kw_only=True):
    """A category's policy; `n_examples` instead of the examples themselves, `judge_url` for admins."""

    category: str
    mode: Mode
    threshold: float | None
    max_false_per_request: float
    max_false_per_hit: float
    explore: float
    ttl_s: float
    ttl_jitter: float
    reserve_entries: int
    reserve_bytes: int
    max_entries: int | None
    max_bytes: int | None
    guard: bool
    turns: Literal["first", "equal"]
    relax_similarity: float
    relax_ttl: float
    compare: Literal["equal", "verdict", "judge"]
    example_threshold: float | None
    n_examples: int
    judge_url: str | None | UnsetType = UNSET


class Policies(Struct, kw_only=True):
    """All policies of a cache, by category, and the one for questions of no known category."""

    policies: list[Policy]
    unknown: Policy


class CachedSource(Struct, kw_only=True):
    """A source of an answer."""

    collection: str
    owner: str
    id: str
    version: int


class CachedEntry(Struct, kw_only=True):
    """A stored answer and what is known of it."""

    id: str
    category: str
    age_s: float
    expires_at: datetime | None
    text: str
    answer: Any = UNSET
    sources: list[CachedSource] | UnsetType = UNSET


class Candidate(Struct, kw_only=True):
    """The nearest eligible entry, served or not."""

    entry_id: str
    similarity: float
    text: str | UnsetType = UNSET
    answer: Any = UNSET


class InContext(Struct, kw_only=True):
    """A near miss, to be shown to the model as an example."""

    entry_id: str
    similarity: float
    text: str
    answer: Any


class Lease(Struct, kw_only=True):
    """Whoever holds it answers; others who ask the same wait for it."""

    id: str
    expires_in_s: float


class LookupAnswer(Struct, kw_only=True):
    """`hit` null: a miss, for `reason`. `threshold` is the bar in force on `score`, null where none is."""

    lookup_id: str
    hit: HitKind | None
    reason: str
    category: str
    category_from: CategoryFrom
    entry: CachedEntry | None = None
    similarity: float | None = None
    score: float | None = None
    threshold: float | None = None
    is_relaxed: bool = False
    candidate: Candidate | None = None
    example: InContext | None = None
    lease: Lease | None = None


class Stored(Struct, kw_only=True):
    """What became of an answer. `label` is the verdict on the lookup's candidate, null where there is none (yet)."""

    entry_id: str | None
    reason: str
    label: Verdict | None
    sequence: int


class FeedbackAnswer(Struct, kw_only=True):
    """What a report did; the same again changes nothing."""

    n_removed: int
    sequence: int


class Invalidated(Struct, kw_only=True):
    """How many entries were removed, or would be."""

    n_entries: int
    dry_run: bool
    sequence: int


class Entries(Struct, kw_only=True):
    """A page of entries."""

    entries: list[CachedEntry]
    next_cursor: str | None


class CategoryStats(Struct, kw_only=True):
    """Figures of a category since the start, of one tenant or of all.

    `false_per_request`, `false_per_hit`: estimated from labels, with their one-sided 95 % bounds; null below enough.
    """

    category: str
    mode: Mode
    n_entries: int
    n_bytes: int
    requests: int
    exact_hits: int
    semantic_hits: int
    relaxed_hits: int
    misses: int
    explored: int
    stale_prevented: int
    guard_rejects: dict[str, int]
    labels_right: int
    labels_wrong: int
    feedback_wrong: int
    evictions: int
    expired: int
    threshold: float | None
    false_per_request: float | None
    false_per_request_bound: float | None
    false_per_hit: float | None
    false_per_hit_bound: float | None


class CacheStats(Struct, kw_only=True):
    """A cache's figures: a tenant's own, or everything for an admin without a tenant."""

    n_entries: int
    n_bytes: int
    sequence: int
    categories: list[CategoryStats]
    memory_bytes: int | UnsetType = UNSET
    file_bytes: int | UnsetType = UNSET
    n_tenants: int | UnsetType = UNSET
