"""Request shapes. Unknown fields are refused; what a shape cannot say is checked by the engine.

A vector is a list of numbers, or base64 of little-endian float32; in process also a float32 array of shape (d,).
`UNSET` means that the field was not given.
"""

from datetime import datetime
from typing import Any, Literal

from msgspec import UNSET, Raw, Struct, UnsetType, field

from vdb.protocol.answering import Answering
from vdb.types import FieldType, Metric, Role, Sharing, Tier

Vector = list[float] | str

LEAST_RECALL = 0.5
"""The lowest recall that may be aimed at; 1 itself may not, which is what `exact` is for."""
MAX_BUDGET = (1 << 31) - 1
MAX_MEMORY_BYTES = 1 << 50
"""The highest cap of a collection's memory: beyond it none is meant."""

MAX_WEIGHT, MAX_K1 = 100, 100.0
"""Of a text index: the highest weight of a field, and the highest k1."""


class Request(Struct, forbid_unknown_fields=True, kw_only=True):
    """Base of all requests."""


class Empty(Request):
    """A request without fields."""


class ListPage(Request):
    """Page of a listing, from the query string."""

    limit: int = 100
    cursor: str | None = None


class CreateBackup(Request):
    """A backup under a name of its own; never a path."""

    name: str


class EmbeddingModel(Request):
    """The model that a collection's vectors come from, for people and applications; the server does not use it."""

    model: str
    version: str


class FusionChoice(Request):
    """How a collection's legs are fused where a search does not say; see `Fusion`."""

    kind: Literal["coverage", "minmax", "sigma", "rrf"]
    weight: float
    rrf_k: float = 60.0


class TextIndex(Request):
    """What texts are to be searched: payload fields with their weights, 1 to 100; the first is that of a chunk's text.

    `language` decides stop words and stemming, "none" is without either; `k1` and `b` are those of BM25.
    """

    fields: dict[str, int] = field(default_factory=lambda: {"text": 1})
    language: str = "english"
    k1: float = 1.5
    b: float = 0.75


class CreateCollection(Request):
    """A collection: one dimension, one metric, many tenants. `tenants` null means every tenant may use it.

    `indexes` names the declared fields that filters are to be fast on. `tier` is where its index is to lie,
    `memory_bytes` what that may take of memory; null: no cap but the server's. `text` makes it searchable by words,
    `answering` says what answers from it are like.
    """

    name: str
    dimension: int
    metric: Metric = Metric.COSINE
    tenants: list[str] | None = None
    sharing: Sharing = Sharing.MANAGED
    fields: dict[str, FieldType] = {}
    indexes: list[str] = []
    embedding: EmbeddingModel | None = None
    metadata: dict[str, str] = {}
    tier: Tier = Tier.AUTO
    memory_bytes: int | None = None
    text: TextIndex | None = None
    answering: Answering | None = None


class UpdateCollection(Request):
    """Change what is given, all of it in one commit; `name` renames.

    `embedding`, `metadata`, `memory_bytes`, `fusion` and `answering`: null clears.

    `add_tenants` and `remove_tenants` change the list of a collection that has one, and exclude `tenants`.
    `indexes` is the whole list: those new in it are built in the background, the others dropped. `text`: null drops the
    text index, other fields or another language build it anew in the background.
    """

    name: str | UnsetType = UNSET
    tenants: list[str] | None | UnsetType = UNSET
    add_tenants: list[str] | UnsetType = UNSET
    remove_tenants: list[str] | UnsetType = UNSET
    sharing: Sharing | UnsetType = UNSET
    indexes: list[str] | UnsetType = UNSET
    embedding: EmbeddingModel | None | UnsetType = UNSET
    metadata: dict[str, str] | None | UnsetType = UNSET
    tier: Tier | UnsetType = UNSET
    memory_bytes: int | None | UnsetType = UNSET
    fusion: FusionChoice | None | UnsetType = UNSET
    text: TextIndex | None | UnsetType = UNSET
    answering: Answering | None | UnsetType = UNSET


class TuneEncoding(Request):
    """How rows are to be coded: `form`, `dimension` components of each (not given: as many as suit the form), and
    whether they are chosen for recorded queries. The float forms keep all components."""

    form: Literal["lvq8", "lvq4", "float32", "float16"]
    dimension: int | UnsetType = UNSET
    for_queries: bool = False


class Tune(Request):
    """Train a collection's index anew: by recorded queries (not given: where there are enough) or by its rows.

    Without `encoding` the one that measures best is taken, now and whenever the index is trained anew.
    """

    queries: Literal["recorded", "rows"] | UnsetType = UNSET
    encoding: TuneEncoding | UnsetType = UNSET


class SetAliases(Request):
    """Set aliases (to the names of collections) and remove others: all of it in one commit, or nothing."""

    set: dict[str, str] = {}
    remove: list[str] = []


class UpsertPoint(Request):
    """One point. Replaces vector, payload and `expires_at`; `shared_with` not given keeps the grants."""

    id: str
    vector: Vector | None = None
    payload: Raw | UnsetType = UNSET
    expires_at: datetime | None = None
    shared_with: list[str] | UnsetType = UNSET
    if_version: int | UnsetType = UNSET
    if_absent: bool | UnsetType = UNSET


class Upsert(Request):
    """Insert or replace points, all or none. `owner` other than the caller's tenant is refused.

    `ack` durable answers when the write is on disk and visible; queued before that, without a sequence.
    """

    points: list[UpsertPoint]
    owner: str | UnsetType = UNSET
    ack: Literal["durable", "queued"] | UnsetType = UNSET


class GetPoints(Request):
    """Points by id, in the order asked; those that do not exist or may not be seen are left out."""

    ids: list[str]
    owner: str | UnsetType = UNSET
    with_payload: bool = True
    with_vector: bool = False
    vector_encoding: Literal["list", "base64"] = "list"
    min_sequence: int = 0
    timeout_s: float = 10.0


class DeletePoints(Request):
    """Delete by ids (at once) or by filter (a job)."""

    ids: list[str] | UnsetType = UNSET
    filter: Any = UNSET
    owner: str | UnsetType = UNSET
    if_version: int | UnsetType = UNSET
    scope: Literal["own", "visible"] = "own"


class Scroll(Request):
    """Points in insertion order, page by page."""

    filter: Any = None
    limit: int = 100
    cursor: str | None = None
    scope: Literal["own", "visible"] = "own"
    with_payload: bool = True
    with_vector: bool = False
    vector_encoding: Literal["list", "base64"] = "list"
    min_sequence: int = 0
    timeout_s: float = 10.0


class Count(Request):
    """Number of points that match."""

    filter: Any = None
    scope: Literal["own", "visible"] = "own"
    min_sequence: int = 0
    timeout_s: float = 10.0


class PayloadChange(Request):
    """One point's new payload, or the patch to merge into it."""

    id: str
    payload: Raw
    if_version: int | UnsetType = UNSET


class UpdatePayload(Request):
    """Change payloads, all or none: RFC 7396 merge patch, or replacement."""

    points: list[PayloadChange]
    mode: Literal["merge", "replace"] = "merge"
    owner: str | UnsetType = UNSET


class Share(Request):
    """Grant points to tenants (or to everyone, `"*"`), or revoke; both idempotent."""

    action: Literal["grant", "revoke"]
    ids: list[str]
    to: list[str]
    owner: str | UnsetType = UNSET


class SearchParams(Request):
    """How a search goes about it; what is not given follows from the collection.

    `exact` compares with every vector, and excludes the next three. `recall` is the share of the true neighbours to aim
    at; `budget` (rows scored) and `rerank` (of them compared by their full vectors) take the place of what it comes to.
    `backend`: what searches, where the server has an accelerator; `auto` takes that for much work.
    """

    exact: bool = False
    recall: float | UnsetType = UNSET
    budget: int | UnsetType = UNSET
    rerank: int | UnsetType = UNSET
    backend: Literal["auto", "cpu", "gpu"] | UnsetType = UNSET


CANDIDATES = 50
"""Of each leg of a hybrid search, where it says nothing."""


class Fusion(Request):
    """How the legs of a hybrid search become one list; what is not given is as the collection has learned it.

    `coverage` weighs how much of the query's words a point holds, `minmax` and `sigma` scores, `rrf` ranks. `weight`,
    0 to 1, is the share of the dense leg. Each leg gives its best `depth` candidates; every candidate of either is
    scored by both.
    """

    kind: Literal["coverage", "minmax", "sigma", "rrf"] | UnsetType = UNSET
    weight: float | UnsetType = UNSET
    rrf_k: float | UnsetType = UNSET
    depth: int = CANDIDATES


class Reranker(Request):
    """A second look at the best `depth` candidates.

    `full`: by the stored vectors. `mmr`: as before, but each is held against those above it; `diversity`, 0 to 1, is
    what being unlike them counts. `model`: by the server's reranker of that name, which reads `query` (not given: the
    text of the search) and each candidate's text.
    """

    by: Literal["full", "mmr", "model"]
    depth: int = 100
    diversity: float | UnsetType = UNSET
    model: str | UnsetType = UNSET
    query: str | UnsetType = UNSET


class Group(Request):
    """At most `size` hits of those that have the same value in a payload `field`, the best of them."""

    field: str = "document"
    size: int = 1


class SearchOptions(Request):
    """What a search says beside its vectors, in a JSON body and in a binary one alike.

    `text` (or `texts`, for several queries) is what the sparse leg looks for; where no vector is given the dense leg
    has it embedded. `mode` not given: hybrid where both legs can answer. `combine`: several queries, one list.
    """

    text: str | UnsetType = UNSET
    texts: list[str] | UnsetType = UNSET
    mode: Literal["dense", "sparse", "hybrid"] | UnsetType = UNSET
    fusion: Fusion | UnsetType = UNSET
    reranker: Reranker | UnsetType = UNSET
    group: Group | UnsetType = UNSET
    combine: Literal["rrf", "max", "sum"] | UnsetType = UNSET
    weights: list[float] | UnsetType = UNSET
    limit: int = 10
    max_distance: float | None = None
    filter: Any = None
    with_payload: bool = True
    with_vector: bool = False
    vector_encoding: Literal["list", "base64"] = "list"
    explain: bool = False
    params: SearchParams | UnsetType = UNSET
    min_sequence: int = 0
    timeout_s: float = 10.0


class Search(SearchOptions):
    """Nearest points of one query (`vector`, `text` or both) or several (`vectors`, `texts`)."""

    vector: Vector | UnsetType = UNSET
    vectors: list[Vector] | UnsetType = UNSET


class TenantQuota(Request):
    """Caps of what a tenant may own over all collections; null means no cap."""

    points: int | None = None
    bytes: int | None = None


class TenantRate(Request):
    """How much a tenant may ask for: queries, points and bytes (of bodies and answers) per second; null is no limit.

    As much as `burst_s` seconds allow may come at once; null is the server's own.
    """

    reads_per_s: float | None = None
    writes_per_s: float | None = None
    bytes_per_s: float | None = None
    burst_s: float | None = None


class CreateTenant(Request):
    """A tenant; `rate` null or not given means the server's own limits."""

    name: str
    quota: TenantQuota | UnsetType = UNSET
    rate: TenantRate | None | UnsetType = UNSET


class UpdateTenant(Request):
    """Change what is given; `rate` null means the server's own limits again."""

    quota: TenantQuota | UnsetType = UNSET
    rate: TenantRate | None | UnsetType = UNSET


class UsagePage(ListPage):
    """Page of a tenant's usage, newest month first; or one `month`, yyyy-mm."""

    month: str | None = None


class CreateKey(Request):
    """A key: bound to `tenant` for the roles read and write, unbound for admin and service."""

    role: Role
    tenant: str | None = None
    name: str = ""
    expires_at: datetime | None = None


class RotateKey(Request):
    """A new secret for the same key; the old one works for `grace_s` more seconds."""

    grace_s: float = 0.0
