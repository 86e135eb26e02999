"""Search: the tenant's own points, those granted to it, and those of everyone, in one snapshot.

Order of a search: take the readings, then a transaction (so that it is never older than they are), find the nearest
(`vdb.engine.nearest`: exactly, or by the shared index), read every hit's record in that transaction and check it again,
fill in payloads. With a filter the nearest candidates, of those that the payload indexes leave, are tested in growing
rounds until enough match, or all were tested: a filter never returns fewer than min(limit, matches).
"""

import time
from dataclasses import dataclass, field

import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from vdb.config import Limits
from vdb.engine.answer_size import AnswerSize
from vdb.engine.matching import Matches, filter_of, matches_of
from vdb.engine.nearest import Nearest, flat
from vdb.engine.nearest_lists import DamagedIndex, by_index
from vdb.engine.owners import is_visible
from vdb.engine.plan import Plan, Reason, plan_of
from vdb.engine.read import payload_of, vector_of
from vdb.engine.row_sets import filter_explained
from vdb.engine.services import Services
from vdb.engine.shard import Shard, Snapshot
from vdb.engine.streamed import streamed
from vdb.engine.tiers import keeps_no_vectors
from vdb.engine.vectors import matrix_of, reshape
from vdb.errors import EmptyBatch, InternalError, InvalidArgument, TooLarge
from vdb.index.flat import scan_cost_s
from vdb.kernels import current
from vdb.protocol.answers import Explain, Hit, Hits, SearchAnswer
from vdb.protocol.columns import SearchHead
from vdb.protocol.requests import Search, SearchParams
from vdb.storage.catalog import CollectionDocument
from vdb.storage.codec import Record
from vdb.storage.keyspace import EVERYONE_ID
from vdb.storage.points import read_records
from vdb.tenancy.access import check_tenant_exists
from vdb.types import Caller, Tier

HIT_S = 4e-6
"""What a hit costs beyond the scan: its record is read, checked and encoded."""
NUMBER_S = 1e-7
"""What a number of a hit's vector costs to encode."""
INDEX_SEARCH_S = 100e-6
"""What a search of the index takes, about, whatever the tenant's size."""
MAX_ATTEMPTS = 100
WIDENING = 8
FIRST_ROUND = 64
CHUNK = 256
"""Records read at a time."""


def search(
    services: Services,
    caller: Caller,
    path: tuple[str, ...],
    request: Search | SearchHead,
    vectors: NDArray[np.float32] | None,
) -> SearchAnswer:
    """The nearest points that the caller's tenant may see, nearest first, ties by insertion order."""
    began = time.perf_counter()
    collection = services.usable(caller, path[0])
    tenant_id = check_tenant_exists(caller)
    queries, is_many = queries_of(request, vectors, collection, services.settings.limits)
    _check(request, services.settings.limits)
    plan = plan_of(request, services.settings.limits)
    parsed = filter_of(request.filter, collection)
    matches = matches_of(parsed)
    with services.shard_for_read(collection, request) as shard:
        shard.index.tuner.recorded.note(queries)
        for _ in range(MAX_ATTEMPTS):
            is_indexed = not plan.exact and shard.index.take() is not None
            is_streamed = not is_indexed and keeps_no_vectors(collection, shard.index)
            if is_streamed and shard.readings.n_residents:  # of the time before it was to be so
                shard.drop_readings()
            is_loaded = not is_indexed and not is_streamed
            readings = (shard.reading(tenant_id), shard.reading(EVERYONE_ID)) if is_loaded else ()
            with shard.snapshot() as snapshot:
                if is_indexed:
                    source = by_index(services, collection, shard, tenant_id, snapshot, parsed, plan)
                elif is_streamed:
                    source = streamed(services, collection, tenant_id, snapshot, parsed, matches)
                else:
                    source = flat(services, collection, snapshot, parsed, *readings)
                if source is not None:
                    plan_s = time.perf_counter() - began
                    if services.stages is not None:
                        services.stages.note("plan", began, plan_s)
                    size = AnswerSize(request, collection.dimension, services.settings.limits)
                    run = _Run(services, shard, tenant_id, request, plan, matches, snapshot, source, size, plan_s * 1e6)
                    try:
                        return run.answer(queries, is_many)
                    except DamagedIndex as exc:  # it is made anew, and this search goes on without it
                        shard.index.forget_damaged(exc.index, exc)
    raise InternalError("the tenant's vectors do not stay in memory: raise memory_bytes")


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
        raise InvalidArgument.at("/vector", "give either vector or vectors")
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
    tenant_id: int
    request: Search | SearchHead
    plan: Plan
    matches: Matches | None
    snapshot: Snapshot
    source: Nearest
    size: AnswerSize
    plan_us: float
    records: dict[tuple[int, int], Record | None] = field(default_factory=dict)
    n_tested: int = 0
    recheck_us: float = 0.0

    def answer(self, queries: NDArray[np.float32], is_many: bool) -> SearchAnswer:
        began = time.perf_counter()
        results = self._hits(queries)
        if self.services.stages is not None:
            scan_s, total_s = self.source.scan_us / 1e6, time.perf_counter() - began
            self.services.stages.note("scan", began, scan_s)
            self.services.stages.note("re-check", began + scan_s, total_s - scan_s)
        answer = SearchAnswer(sequence=self.snapshot.sequence)
        if is_many:
            answer.results = [Hits(hits=hits) for hits in results]
        else:
            answer.hits = results[0]
        if self.request.explain:
            answer.explain = self._explain(len(queries), (time.perf_counter() - began) * 1e6)
        return answer

    def _hits(self, queries: NDArray[np.float32]) -> list[list[Hit]]:
        if self.matches is not None and not self.source.is_filtered:
            return [self._filtered(queries[i : i + 1]) for i in range(len(queries))]
        nearest = self.source.nearest(queries, self.request.limit)
        return [self._unfiltered(queries[i : i + 1], found) for i, found in enumerate(nearest)]

    def _unfiltered(self, query: NDArray[np.float32], found: list[tuple[float, int, int]]) -> list[Hit]:
        """The index shows what was granted since the snapshot, and what expired this second: others take its place."""
        n_bytes = self.size.n_bytes
        hits, is_cut = self._checked(found)
        if is_cut or len(hits) == len(found) or len(found) < self.request.limit:
            return hits
        self.size.n_bytes = n_bytes
        return self._filtered(query)

    def _filtered(self, query: NDArray[np.float32]) -> list[Hit]:
        """Test the nearest candidates in growing rounds; what was tested once is remembered."""
        n_rows = self.source.n_allowed
        k = self.request.limit if self.source.is_filtered else max(FIRST_ROUND, WIDENING * self.request.limit)
        n_bytes = self.size.n_bytes
        while True:
            self.size.n_bytes = n_bytes  # the hits of an earlier round are not answered
            found = self.source.nearest(query, min(k, n_rows))[0]
            hits, is_cut = self._checked(found)
            if len(hits) >= self.request.limit or is_cut or k >= n_rows or len(found) < k:
                return hits
            k *= WIDENING

    def _checked(self, found: list[tuple[float, int, int]]) -> tuple[list[Hit], bool]:
        """Hits whose record, in this snapshot, is visible and matches; and whether max_distance ended them."""
        hits: list[Hit] = []
        max_distance, limit = self.request.max_distance, self.request.limit
        for start in range(0, len(found), CHUNK):
            chunk = found[start : start + CHUNK]
            began = time.perf_counter()
            records = self._records(chunk)
            self.recheck_us += (time.perf_counter() - began) * 1e6
            for (distance, pid, owner), record in zip(chunk, records, strict=True):
                if max_distance is not None and distance > max_distance:
                    return hits, True
                if record is not None:
                    hits.append(self._hit(distance, pid, owner, record))
                    if len(hits) == limit:
                        return hits, False
        return hits, False

    def _records(self, found: list[tuple[float, int, int]]) -> list[Record | None]:
        """The records of what may be hits; remembered only where a filter may ask again."""
        keys = [(owner, pid) for _, pid, owner in found]
        if self.matches is None:
            return self._read(keys)
        new = [key for key in keys if key not in self.records]
        self.n_tested += len(new)
        for key, record in zip(new, self._read(new), strict=True):
            self.records[key] = record if record is not None and self.matches(record.payload) else None
        return [self.records[key] for key in keys]

    def _read(self, keys: list[tuple[int, int]]) -> list[Record | None]:
        """The records that exist and may be seen, in this snapshot."""
        tenant_id, now_ms = self.tenant_id, self.snapshot.now_ms
        return [
            record if record is not None and is_visible(record, key[0], tenant_id, now_ms) else None
            for key, record in zip(keys, read_records(self.snapshot.txn, keys), strict=True)
        ]

    def _hit(self, distance: float, pid: int, owner: int, record: Record) -> Hit:
        request = self.request
        self.size.add(record)
        hit = Hit(
            id=record.id.decode(),
            owner=self.services.tenant_name(owner),
            distance=distance,
            version=record.version,
        )
        if request.with_payload:
            hit.payload = payload_of(record)
        if request.with_vector:
            hit.vector = vector_of(self.snapshot, owner, pid, record, request.vector_encoding)
        return hit

    def _reason(self) -> Reason | UnsetType:
        """Why the search was exact; UNSET where the index answered."""
        if self.source.is_indexed:
            return UNSET
        if self.plan.exact:
            return Reason.ASKED_FOR
        state = self.shard.index.state
        return Reason.BUILDING if state == "building" else Reason.SMALL

    def _explain(self, n_queries: int, run_us: float) -> Explain:
        is_filtered = self.matches is not None
        return Explain(
            **self.source.explain(),
            reason=self._reason(),
            rows=self.source.n_seen,
            queries=n_queries,
            **filter_explained(is_filtered, self.source),
            candidates_tested=self.n_tested if is_filtered else UNSET,
            kernels=current().name,
            plan_us=round(self.plan_us, 1),
            scan_us=round(self.source.scan_us, 1),
            recheck_us=round(self.recheck_us, 1),
            payloads_us=round(max(0.0, run_us - self.source.scan_us - self.recheck_us), 1),
            total_us=round(self.plan_us + run_us, 1),
        )
