"""Answer shapes, the same in process, over HTTP and in the SDK.

`payload` is a JSON object, held as encoded bytes (`msgspec.Raw`) until an answer leaves the server and as a dict in
the SDK. `vector` is a float32 array of shape (d,) in process and in the SDK; on the wire a list or base64.
"""

from datetime import datetime
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from vdb.protocol.answering import Answering
from vdb.protocol.text_answers import FusionChoice as FusionChoice
from vdb.protocol.text_answers import FusionLearned as FusionLearned
from vdb.protocol.text_answers import Leg as Leg
from vdb.protocol.text_answers import Legs as Legs
from vdb.protocol.text_answers import TextIndex as TextIndex
from vdb.types import FieldType, IndexState, Metric, Role, Sharing, Tier


class Answer(Struct, kw_only=True, omit_defaults=True):
    """Base of all answers: fields left at their default are not sent."""


class Hit(Struct, kw_only=True):
    """One neighbour. `distance`: cosine 1 - cos, l2 the Euclidean distance, ip -<q, x>.

    A search by text orders by `score`, higher is better, and says in `legs` where it comes from; a hit of it has a
    distance where there is a query vector and the point has one.
    """

    id: str
    owner: str
    distance: float | UnsetType = UNSET
    version: int
    score: float | UnsetType = UNSET
    legs: Legs | UnsetType = UNSET
    payload: Any = UNSET
    vector: Any = UNSET


class Hits(Answer):
    hits: list[Hit]


class Explain(Answer, kw_only=True):
    """How a search went, counted over all queries of the request; what does not apply is not there.

    `path` is `exact` or `index`, `reason` why; `streamed`: all vectors were read from the store. `backend` searched
    vectors, `gpu` where both did, and `backend_reason` is why the CPU did what a GPU was asked for. `rows` the tenant
    may see; on the index `entries` of its directory were scored, `cells_probed` scanned, `codes_scored` and `reranked`
    rows, within a `budget` and a number of `candidates` per query. On `tier` disk `lists_scored` and `lists_read` of
    the lists, and of pages of 4 KiB `list_pages` and `vector_pages`, `bytes_read` together, wherever they came from;
    `late_rows` of the codes are in no list yet. `recall` is the target; `reached`: that effort is expected to reach it;
    `extrapolated`: though nothing was measured on such queries. `filter` is `index`, `mask` or `rounds`, `selectivity`
    the share of the rows that payload indexes left, `candidates_tested` records it was tested on. By text: `mode`,
    the `fusion` and its `weight`, `terms` of the text, `postings` read for them. Times in microseconds.
    """

    path: str
    tier: Tier | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    backend: Literal["cpu", "gpu"] | UnsetType = UNSET
    backend_reason: str | UnsetType = UNSET
    streamed: bool | UnsetType = UNSET
    rows: int
    queries: int
    entries: int | UnsetType = UNSET
    cells_probed: int | UnsetType = UNSET
    lists_scored: int | UnsetType = UNSET
    lists_read: int | UnsetType = UNSET
    list_pages: int | UnsetType = UNSET
    vector_pages: int | UnsetType = UNSET
    bytes_read: int | UnsetType = UNSET
    late_rows: int | UnsetType = UNSET
    codes_scored: int | UnsetType = UNSET
    reranked: int | UnsetType = UNSET
    budget: int | UnsetType = UNSET
    candidates: int | UnsetType = UNSET
    recall: float | UnsetType = UNSET
    reached: bool | UnsetType = UNSET
    extrapolated: bool | UnsetType = UNSET
    filter: str | UnsetType = UNSET
    selectivity: float | UnsetType = UNSET
    candidates_tested: int | UnsetType = UNSET
    encoding: str | UnsetType = UNSET
    mode: str | UnsetType = UNSET
    fusion: str | UnsetType = UNSET
    weight: float | UnsetType = UNSET
    terms: int | UnsetType = UNSET
    postings: int | UnsetType = UNSET
    kernels: str
    plan_us: float
    scan_us: float
    sparse_us: float | UnsetType = UNSET
    rerank_us: float | UnsetType = UNSET
    recheck_us: float
    payloads_us: float
    total_us: float


class SearchAnswer(Answer):
    """`hits` for one query, `results` for several, nearest first. `backend` where a GPU compared vectors."""

    sequence: int
    backend: Literal["gpu"] | UnsetType = UNSET
    hits: list[Hit] | UnsetType = UNSET
    results: list[Hits] | UnsetType = UNSET
    explain: Explain | UnsetType = UNSET


class Point(Answer):
    """One stored point; `shared_with` is shown to its owner only."""

    id: str
    owner: str
    version: int
    expires_at: datetime | None = None
    shared_with: list[str] | UnsetType = UNSET
    payload: Any = UNSET
    vector: Any = UNSET


class Points(Answer):
    points: list[Point]
    sequence: int


class ScrollPage(Struct, kw_only=True):
    points: list[Point]
    next_cursor: str | None
    sequence: int


class Counted(Answer):
    count: int
    sequence: int


class Written(Answer):
    """A write is durable and visible to every later read."""

    sequence: int


class Queued(Struct, kw_only=True):
    """A write waits for its commit: neither durable nor visible, and without a sequence."""

    queued: bool = True


class Deleted(Answer):
    sequence: int
    deleted: int


class Embedding(Struct, kw_only=True):
    """The model that a collection's vectors come from."""

    model: str
    version: str


class Collection(Struct, kw_only=True):
    """A collection; `aliases` lead to it like its name, `tenants` is shown to admins only.

    `indexes` says of each indexed field whether filters use it yet. `tier` is what was asked for (the statistics say
    which answers now), `memory_bytes` what it may take of memory, null for no cap of its own.
    """

    name: str
    id: int
    dimension: int
    metric: Metric
    sharing: Sharing
    fields: dict[str, FieldType]
    indexes: dict[str, IndexState]
    created_at: datetime
    sequence: int
    n_points: int
    aliases: list[str]
    embedding: Embedding | None
    metadata: dict[str, str]
    tier: Tier
    memory_bytes: int | None
    fusion: FusionChoice | None = None
    text: TextIndex | None
    answering: Answering | None
    tenants: list[str] | None | UnsetType = UNSET


class Collections(Struct, kw_only=True):
    collections: list[Collection]
    next_cursor: str | None


class Member(Struct, kw_only=True):
    """A tenant of a collection and what it owns there; `listed`: the collection lists it among its tenants."""

    tenant: str
    listed: bool
    points: int
    bytes: int


class Members(Struct, kw_only=True):
    members: list[Member]
    next_cursor: str | None


class Alias(Struct, kw_only=True):
    """Another name of a collection."""

    name: str
    collection: str


class Aliases(Struct, kw_only=True):
    aliases: list[Alias]
    next_cursor: str | None


class AliasesChanged(Struct, kw_only=True):
    """What one commit did: the aliases now set, with the names of their collections, and those removed."""

    set: dict[str, str]
    removed: list[str]


class Quota(Struct, kw_only=True):
    points: int | None
    bytes: int | None


class Usage(Struct, kw_only=True):
    points: int
    bytes: int


class Rate(Struct, kw_only=True):
    """The limits that hold for a tenant, per second; null is no limit. `is_default`: they are the server's own."""

    reads_per_s: float | None
    writes_per_s: float | None
    bytes_per_s: float | None
    burst_s: float
    is_default: bool


class Tenant(Struct, kw_only=True):
    name: str
    id: int
    created_at: datetime
    quota: Quota
    rate: Rate
    usage: Usage


class Tenants(Struct, kw_only=True):
    tenants: list[Tenant]
    next_cursor: str | None


class UsageMonth(Struct, kw_only=True):
    """What a tenant asked for in a month (UTC, yyyy-mm): requests, queries, points, bytes of bodies and answers.

    `refused` of the requests were too many or met a full queue.
    """

    month: str
    requests: int
    reads: int
    writes: int
    bytes_in: int
    bytes_out: int
    refused: int


class TenantUsage(Struct, kw_only=True):
    """Months in which the tenant asked for anything, newest first."""

    tenant: str
    months: list[UsageMonth]
    next_cursor: str | None


class Key(Struct, kw_only=True):
    """A key without its secret; `key` is there only in the answer that made it."""

    id: str
    name: str
    role: Role
    tenant: str | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    key: str | UnsetType = UNSET


class Keys(Struct, kw_only=True):
    keys: list[Key]
    next_cursor: str | None


class Job(Struct, kw_only=True):
    """A piece of background work; `state`: queued, running, done or failed."""

    id: str
    kind: str
    state: str
    collection: str | None
    tenant: str | None
    n_done: int
    created_at: datetime
    finished_at: datetime | None
    error: str | None


class Jobs(Struct, kw_only=True):
    jobs: list[Job]
    next_cursor: str | None


class BackupCollection(Struct, kw_only=True):
    """A collection as a backup holds it: everything up to `sequence`."""

    id: int
    name: str
    sequence: int
    n_points: int


class BackupCache(Struct, kw_only=True):
    """A cache as a backup holds it: everything up to `sequence`."""

    id: int
    name: str
    sequence: int
    n_entries: int


class Backup(Struct, kw_only=True):
    """A finished backup; `pause_ms` is how long writes waited for it, `bytes` the size of its files."""

    name: str
    bytes: int
    n_collections: int
    pause_ms: float
    started_at: datetime
    finished_at: datetime
    release: str
    collections: list[BackupCollection]
    caches: list[BackupCache] = []


class Backups(Struct, kw_only=True):
    backups: list[Backup]
    next_cursor: str | None


class Done(Struct, kw_only=True):
    """The named thing is gone."""

    deleted: bool = True


class LimitsAnswer(Struct, kw_only=True):
    """Every cap of the server, by name."""

    limits: dict[str, int]
