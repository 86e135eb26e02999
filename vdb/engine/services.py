"""What the use cases share: settings, catalog, shards, ledger, jobs. Wired by `vdb.engine.engine`."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from vdb.config import Settings
from vdb.engine.acceleration.accelerator import Accelerator
from vdb.engine.answering.figures import AnswerFigures
from vdb.engine.answering.result_sets import ResultSets
from vdb.engine.answering.threads import Generations
from vdb.engine.cache_judge import Judge
from vdb.engine.cache_shard import CacheShard
from vdb.engine.catalog import Catalog
from vdb.engine.fair_pool import FairPool
from vdb.engine.memory import MemoryCap
from vdb.engine.opened import Pinned, Pool
from vdb.engine.query_vectors import QueryVectors
from vdb.engine.row_sets import RowSetCache
from vdb.engine.shard import Shard
from vdb.engine.shards import Shards
from vdb.engine.stale_entries import StaleEntries
from vdb.errors import CollectionNotFound, InvalidArgument, SequenceTimeout
from vdb.rag.extract import Extractor
from vdb.rag.kept_postings import KeptPostings
from vdb.rag.models import Models
from vdb.storage.catalog import ACTIVE, CacheDocument, CollectionDocument
from vdb.storage.directory import DataDirectory
from vdb.storage.keyspace import EVERYONE_ID
from vdb.tenancy.access import check_cache_usable, check_usable
from vdb.tenancy.quota import Ledger
from vdb.tenancy.usage import UsageCounts
from vdb.types import EVERYONE, Caller

T = TypeVar("T")

N_INGESTERS = 4
MAX_WAITING_INGESTS = 256
N_MODEL_CALLS = 8
"""Calls of slow models at a time, of all tenants."""
MAX_WAITING_CALLS = 256
"""Calls that wait for one of those threads; one tenant gets at most half."""


class Read(Protocol):
    """A request that may wait until the collection has reached a sequence."""

    min_sequence: int
    timeout_s: float


class Stages(Protocol):
    """Who wants to know how long the stages of a request took; called on the request's thread, within its context."""

    def note(self, stage: str, began: float, seconds: float) -> None:
        """`stage` took `seconds` from `began` (of `perf_counter`) on."""


@dataclass(slots=True)
class Services:
    """Passed to every use case; holds no logic beyond look-ups that several of them need."""

    settings: Settings
    directory: DataDirectory
    catalog: Catalog
    shards: Shards
    ledger: Ledger
    memory: MemoryCap
    background: Executor
    caches: Pool[CacheDocument, CacheShard]
    cache_checks: Executor
    legs: Executor
    secret: bytes
    extractor: Extractor
    last_used_ms: dict[str, int] = field(default_factory=dict)
    last_finished_job: int = 0
    n_queued_refused: int = 0
    stages: Stages | None = None
    is_stopping: threading.Event = field(default_factory=threading.Event)
    usage: UsageCounts = field(default_factory=UsageCounts)
    row_sets: RowSetCache = field(default_factory=RowSetCache)
    postings: KeptPostings = field(default_factory=KeptPostings)
    judge: Judge = field(default_factory=Judge)
    ingests: FairPool = field(
        default_factory=lambda: FairPool(N_INGESTERS, MAX_WAITING_INGESTS, "vdb-ingest", n_per_tenant=N_INGESTERS - 1)
    )
    """Threads that read, embed and write documents."""
    models: Models = field(default_factory=Models)
    model_calls: FairPool = field(
        default_factory=lambda: FairPool(
            N_MODEL_CALLS, MAX_WAITING_CALLS, "vdb-models", n_per_tenant=N_MODEL_CALLS // 2
        )
    )
    """Threads for what waits for a model that is not quick."""
    generations: Generations = field(default_factory=Generations)
    """Threads that answer questions."""
    answers: AnswerFigures = field(default_factory=AnswerFigures)
    result_sets: ResultSets = field(default_factory=lambda: ResultSets(0))
    query_vectors: QueryVectors = field(default_factory=QueryVectors)
    stale_entries: StaleEntries = field(default_factory=StaleEntries)
    accelerator: Accelerator | None = None
    """None without a device, and where the setting says so."""
    damaged_indexes: set[int] = field(default_factory=set)
    """Ids of collections whose payload indexes could not be read: they are to be built anew."""
    damaged_texts: set[int] = field(default_factory=set)
    """The same of text indexes."""

    def usable(self, caller: Caller, name: str) -> CollectionDocument:
        """The collection, or CollectionNotFound if it is absent or not for this caller's tenant."""
        return check_usable(self.catalog.collection(name), caller)

    def usable_cache(self, caller: Caller, name: str) -> CacheDocument:
        """The cache, or CacheNotFound if it is absent or not for this caller's tenant."""
        return check_cache_usable(self.catalog.cache(name), caller)

    def each_shard(self) -> Iterator[Shard]:
        """The shards of all collections in turn, each open while it is looked at; without those deleted meanwhile."""
        for collection in self.catalog.collections():
            try:
                shard = self.shards.acquire(collection, counts_as_use=False)
            except CollectionNotFound:
                continue
            try:
                yield shard
            finally:
                self.shards.release(shard)

    def shard_for_read(self, collection: CollectionDocument, request: Read) -> Pinned[Shard]:
        """For a `with`: the shard, if it has reached the request's `min_sequence`; raises SequenceTimeout otherwise.

        Whoever ran the request then waits up to its `timeout_s` and runs it again.
        """
        if request.min_sequence < 0:
            raise InvalidArgument.at("/min_sequence", "a sequence is not negative")
        if not 0 <= request.timeout_s <= self.settings.limits.max_timeout_s:
            raise InvalidArgument.at("/timeout_s", f"timeout_s is 0 to {self.settings.limits.max_timeout_s}")
        shard = self.shards.acquire(collection)
        if shard.readings.published_sequence < request.min_sequence:
            self.shards.release(shard)
            raise SequenceTimeout("the collection has not reached min_sequence", retry_after_s=1.0)
        return Pinned(self.shards.release, shard)

    def in_context(self, work: Callable[[], T]) -> Callable[[], T]:
        """`work` for another thread: where there are traces, its stages belong to the span of this one's request."""
        return work if self.stages is None else partial(copy_context().run, work)

    def tenant_name(self, tenant_id: int) -> str:
        """A tenant's name for an answer; "" once its document is gone."""
        if tenant_id == EVERYONE_ID:
            return EVERYONE
        document = self.catalog.tenant_by_id(tenant_id)
        return document.name if document is not None else ""

    def tenant_id(self, name: str) -> int | None:
        """The id of an active tenant (or of everyone); None where there is none."""
        if name == EVERYONE:
            return EVERYONE_ID
        document = self.catalog.tenant(name)
        return document.id if document is not None and document.state == ACTIVE else None
