"""Search: the tenant's own points, those granted to it, and those of everyone, in one snapshot.

Order of a search: take a snapshot and what is searched in it (`vdb.engine.sources`), find the nearest
(`vdb.engine.nearest`: exactly, or by the shared index), read every hit's record in that transaction and check it again
(`vdb.engine.checked`), fill in payloads. A search by text, or one that ranks anew, goes on in `vdb.engine.ranked`.
"""

import time
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from vdb.config import Limits
from vdb.engine.acceleration.offload import may_use
from vdb.engine.answer_size import AnswerSize
from vdb.engine.checked import Accepted, Checker
from vdb.engine.hits import hits_of
from vdb.engine.matching import filter_of, matches_of
from vdb.engine.nearest import Nearest
from vdb.engine.plain_search import is_plain, plain_search
from vdb.engine.plan import Plan, Reason, plan_of
from vdb.engine.ranked import ranked_search
from vdb.engine.ranked_plan import is_ranked
from vdb.engine.read import vector_of
from vdb.engine.row_sets import filter_explained
from vdb.engine.services import Services
from vdb.engine.shard import Shard, Snapshot
from vdb.engine.sources import Sources
from vdb.engine.tiers import keeps_no_vectors
from vdb.engine.vectors import matrix_of, reshape
from vdb.errors import EmptyBatch, InvalidArgument, TooLarge
from vdb.index.curator.index import CuratorIndex
from vdb.index.flat import scan_cost_s
from vdb.kernels import current
from vdb.protocol.answers import Explain, Hit, Hits, SearchAnswer
from vdb.protocol.columns import SearchHead
from vdb.protocol.requests import CANDIDATES, Search, SearchParams
from vdb.storage.catalog import CollectionDocument
from vdb.storage.keyspace import EVERYONE_ID
from vdb.tenancy.access import check_tenant_exists
from vdb.types import Caller, Tier

HIT_S = 4e-6
"""What a hit costs beyond the scan: its record is read, checked and encoded."""
NUMBER_S = 1e-7
"""What a number of a hit's vector costs to encode."""
RANKED_S = 250e-6
"""What answering a hybrid search at once costs the others, about: it less the thread that it would need."""
FEW_ROWS = 50_000
SHORT_TEXT = 1_000
"""Characters of a text."""
INDEX_SEARCH_S = 100e-6
"""What a search of the index takes, about, whatever the tenant's size."""


def search(
    services: Services,
    caller: Caller,
    path: tuple[str, ...],
    request: Search | SearchHead,
    vectors: NDArray[np.float32] | None,
) -> "SearchAnswer | Future[SearchAnswer]":
    """The nearest points that the caller's tenant may see, nearest first, ties by insertion order.

    By text, the best: a future where that has to ask a model that may keep one waiting.
    """
    began = time.perf_counter()
    collection = services.usable(caller, path[0])
    tenant_id = check_tenant_exists(caller)
    if is_ranked(request):
        _check(request, services.settings.limits)
        return ranked_search(services, collection, tenant_id, request, vectors)
    queries, is_many = queries_of(request, vectors, collection, services.settings.limits)
    _check(request, services.settings.limits)
    plan = plan_of(request, services.settings.limits)
    parsed = filter_of(request.filter, collection)
    matches = matches_of(parsed)
    with services.shard_for_read(collection, request) as shard:
        shard.index.tuner.recorded.note(queries)
        if not is_many and is_plain(services, request, plan):
            found = plain_search(services, shard, tenant_id, request, plan, queries[0], services.settings.limits)
            if found is not None:
                return found

        def answer(snapshot: Snapshot, source: Nearest) -> SearchAnswer:
            plan_s = time.perf_counter() - began
            if services.stages is not None:
                services.stages.note("plan", began, plan_s)
            checker = Checker(tenant_id, matches, snapshot, request.max_distance)
            size = AnswerSize(request, collection.dimension, services.settings.limits)
            return _Run(services, shard, request, plan, checker, snapshot, source, size, plan_s * 1e6).answer(
                queries, is_many
            )

        return Sources(services, collection, shard, tenant_id, plan, parsed, matches, len(queries)).answer(answer)


def queries_of(
    request: Search | SearchHead, vectors: NDArray[np.float32] | None, collection: CollectionDocument, limits: Limits
) -> tuple[NDArray[np.float32], bool]:
    """The queries (q, d) of a request, and whether it asked for several."""
    dimension = collection.dimension
    if isinstance(request, SearchHead):
        block = vectors if vectors is not None else np.empty(0, np.float32)
        is_many = request.n_queries is not UNSET
        n = request.n_queries if isinstance(request.n_queries, int) else 1
        _check_n_queries(n, limits)
        return reshape(block, n, dimension, "/vectors" if is_many else "/vector"), is_many
    if (request.vector is UNSET) == (request.vectors is UNSET):
        raise InvalidArgument.at("/vector", "give either vector or vectors, or a text")
    if not isinstance(request.vectors, list):
        return matrix_of([request.vector], dimension, lambda _: "/vector"), False
    _check_n_queries(len(request.vectors), limits)
    return matrix_of(request.vectors, dimension, lambda i: f"/vectors/{i}"), True


def cost_s(services: Services, caller: Caller, name: str, request: Search | SearchHead, n_queries: int) -> float:
    """Estimated seconds of a search without filter; infinite where something must be loaded or waited for first."""
    collection = services.catalog.collection(name)
    shard = services.shards.peek(collection.id) if collection is not None else None
    if collection is None or shard is None or caller.tenant_id is None or shard.env.is_held:
        return float("inf")
    if _may_wait_for_device(services, request, n_queries):
        return float("inf")
    if is_ranked(request):
        return _ranked_cost_s(shard, caller.tenant_id, request)
    is_exact = isinstance(request.params, SearchParams) and request.params.exact is True
    if not is_exact and shard.index.tier is Tier.DISK:
        return float("inf")  # it may wait for pages
    if not is_exact and shard.index.current is not None:
        return n_queries * (INDEX_SEARCH_S + request.limit * HIT_S)
    if (not is_exact and shard.index.is_loadable) or keeps_no_vectors(collection, shard.index):
        return float("inf")
    readings = shard.readings
    own, public = readings.get(caller.tenant_id), readings.get(EVERYONE_ID)
    # A publication can be copying a large tenant's arrays; a search that waits for it must not hold the loop.
    if own is None or public is None or readings.is_publishing:
        return float("inf")
    n_rows = own.n_rows + public.n_rows
    hit_s = HIT_S + (NUMBER_S * collection.dimension if request.with_vector else 0)
    return scan_cost_s(n_rows, collection.dimension, n_queries) + n_queries * min(request.limit, n_rows) * hit_s


def _may_wait_for_device(services: Services, request: Search | SearchHead, n_queries: int) -> bool:
    params = request.params
    wish = params.backend if isinstance(params, SearchParams) and params.backend is not UNSET else None
    return may_use(services, wish or services.settings.backend, n_queries)


def _ranked_cost_s(shard: Shard, tenant_id: int, request: Search | SearchHead) -> float:
    """A plain hybrid search with its vector, of a tenant with few rows in an index in memory, takes some 600 µs: where
    a thread would add a sixth to it, it is answered at once. Any other may take long, or wait for a model."""
    index = shard.index.current
    has_vector = request.vector is not UNSET if isinstance(request, Search) else request.n_queries is UNSET
    is_plain = (request.reranker, request.group, request.combine, request.texts) == (UNSET,) * 4
    is_short = isinstance(request.text, str) and len(request.text) <= SHORT_TEXT
    if not (has_vector and is_plain and is_short and request.limit <= CANDIDATES and isinstance(index, CuratorIndex)):
        return float("inf")
    state = index.state
    n_rows = state.reading(tenant_id).n_rows + state.reading(EVERYONE_ID).n_rows
    return RANKED_S if n_rows <= FEW_ROWS else float("inf")


def _check(request: Search | SearchHead, limits: Limits) -> None:
    if not 1 <= request.limit <= limits.max_limit:
        raise InvalidArgument.at("/limit", f"limit is 1 to {limits.max_limit}")
    if request.max_distance is not None and not np.isfinite(request.max_distance):
        raise InvalidArgument.at("/max_distance", "max_distance is a finite number")


def _check_n_queries(n: int, limits: Limits) -> None:
    if n < 1:
        raise EmptyBatch.at("/vectors", "no queries were given")
    if n > limits.max_queries_per_request:
        raise TooLarge.at("/vectors", f"a request takes up to {limits.max_queries_per_request} queries")


@dataclass(slots=True)
class _Run:
    """One search in one snapshot."""

    services: Services
    shard: Shard
    request: Search | SearchHead
    plan: Plan
    checker: Checker
    snapshot: Snapshot
    source: Nearest
    size: AnswerSize
    plan_us: float
    names: dict[int, str] = field(default_factory=dict)
    """Owners of hits."""

    def answer(self, queries: NDArray[np.float32], is_many: bool) -> SearchAnswer:
        began = time.perf_counter()
        results = list(map(self._hits, self.checker.nearest(self.source, queries, self.request.limit)))
        if self.services.stages is not None:
            scan_s, total_s = self.source.scan_us / 1e6, time.perf_counter() - began
            self.services.stages.note("scan", began, scan_s)
            self.services.stages.note("re-check", began + scan_s, total_s - scan_s)
        answer = SearchAnswer(sequence=self.snapshot.sequence)
        if self.source.offload.backend == "gpu":
            answer.backend = "gpu"
        if is_many:
            answer.results = [Hits(hits=hits) for hits in results]
        else:
            answer.hits = results[0]
        if self.request.explain:
            answer.explain = self._explain(len(queries), (time.perf_counter() - began) * 1e6)
        return answer

    def _hits(self, found: list[Accepted]) -> list[Hit]:
        request = self.request
        hits = hits_of(self.services, found, self.size, request.with_payload, self.names)
        if request.with_vector:
            encoding = request.vector_encoding
            for hit, (_, pid, owner, record) in zip(hits, found, strict=True):
                hit.vector = vector_of(self.snapshot, owner, pid, record, encoding)
        return hits

    def _reason(self) -> Reason | UnsetType:
        """Why the search was exact; UNSET where the index answered."""
        if self.source.is_indexed:
            return UNSET
        if self.plan.exact:
            return Reason.ASKED_FOR
        state = self.shard.index.state
        return Reason.BUILDING if state == "building" else Reason.SMALL

    def _explain(self, n_queries: int, run_us: float) -> Explain:
        checker = self.checker
        is_filtered = checker.matches is not None
        return Explain(
            **self.source.explain(),
            **self.source.offload.explain(),
            reason=self._reason(),
            rows=self.source.n_seen,
            queries=n_queries,
            **filter_explained(is_filtered, self.source),
            candidates_tested=checker.n_tested if is_filtered else UNSET,
            kernels=current().name,
            plan_us=round(self.plan_us, 1),
            scan_us=round(self.source.scan_us, 1),
            recheck_us=round(checker.recheck_us, 1),
            payloads_us=round(max(0.0, run_us - self.source.scan_us - checker.recheck_us), 1),
            total_us=round(self.plan_us + run_us, 1),
        )
