"""The engine: wires storage, tenancy, indexes and background work, and runs operations by name. Nothing else.

One engine per data directory and process. Thread-safe; whoever opened it closes it.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vdb.kernels as kernels
from vdb.cache.candidates import Indexes
from vdb.config import Settings
from vdb.engine import aliases, backup, caches, collections, edit, jobs, keys, members, read, tenants, tune, usage
from vdb.engine.acceleration.opening import close_accelerator, open_accelerator
from vdb.engine.answering.handlers import ANSWER_HANDLERS, STREAMS
from vdb.engine.answering.result_sets import ResultSets
from vdb.engine.answering.run import Running
from vdb.engine.answering.telling import Emit
from vdb.engine.backup_schedule import BackupSchedule
from vdb.engine.cache_handlers import CACHE_HANDLERS
from vdb.engine.cache_shard import CacheShard
from vdb.engine.cache_upkeep import CacheUpkeep, save_all_counts
from vdb.engine.catalog import Catalog
from vdb.engine.commit import QueueCaps
from vdb.engine.delete import delete_points
from vdb.engine.document_handlers import DOCUMENT_HANDLERS, extractor_of
from vdb.engine.figures import Sample, health, metrics
from vdb.engine.indexer import Indexer
from vdb.engine.indexing import Indexing
from vdb.engine.learning import learn_fusion
from vdb.engine.limits import limits_answer
from vdb.engine.maintenance import Maintenance
from vdb.engine.memory import MemoryCap, Place
from vdb.engine.meter import Meter
from vdb.engine.models import read_models
from vdb.engine.names import PinnedName
from vdb.engine.opened import Pool
from vdb.engine.quick import is_quick
from vdb.engine.recall_checks import RecallChecker
from vdb.engine.search import search
from vdb.engine.services import Services
from vdb.engine.shard import Shard
from vdb.engine.shard_index import INDEX_PLACE
from vdb.engine.shards import Shards
from vdb.engine.statistics import collection_stats
from vdb.engine.tiers import wanted_tier
from vdb.engine.upsert import upsert
from vdb.errors import CacheNotFound, CorruptData, VdbError
from vdb.index.coded_rows import CodedRows
from vdb.index.graph import RowGraph, is_available
from vdb.kernels.device import Device
from vdb.protocol.operations import BY_NAME
from vdb.protocol.requests import Request
from vdb.storage.catalog import CacheDocument, CollectionDocument
from vdb.storage.codec import Usage
from vdb.storage.create import create_environment
from vdb.storage.directory import DataDirectory
from vdb.storage.env import Environment
from vdb.storage.meta import check_format
from vdb.storage.migrate import migrate_cache, migrate_collection, upgrade
from vdb.storage.probe import is_cut_short
from vdb.tenancy.access import check_access
from vdb.tenancy.quota import Ledger
from vdb.types import Caller, Role, Tier

logger = logging.getLogger(__name__)

MAKES_JOBS = frozenset(("delete_points", "delete_tenant", "tune", "update_collection"))

Handler = Callable[[Services, Caller, tuple[str, ...], Any], Any]

HANDLERS: dict[str, Handler] = {
    "create_collection": collections.create_collection,
    "list_collections": collections.list_collections,
    "get_collection": collections.get_collection,
    "update_collection": collections.update_collection,
    "delete_collection": collections.delete_collection,
    "collection_stats": collection_stats,
    "list_members": members.list_members,
    "tune": tune.tune,
    "learn_fusion": learn_fusion,
    "list_aliases": aliases.list_aliases,
    "set_aliases": aliases.set_aliases,
    "get_points": read.get_points,
    "delete_points": delete_points,
    "scroll": read.scroll,
    "count": read.count,
    "update_payload": edit.update_payload,
    "share": edit.share,
    "create_tenant": tenants.create_tenant,
    "list_tenants": tenants.list_tenants,
    "get_tenant": tenants.get_tenant,
    "update_tenant": tenants.update_tenant,
    "delete_tenant": jobs.delete_tenant,
    "tenant_usage": usage.tenant_usage,
    "create_key": keys.create_key,
    "list_keys": keys.list_keys,
    "get_key": keys.get_key,
    "rotate_key": keys.rotate_key,
    "delete_key": keys.delete_key,
    "get_job": jobs.get_job,
    "list_jobs": jobs.list_jobs,
    "create_backup": backup.create_backup,
    "list_backups": backup.list_backups,
    "get_backup": backup.get_backup,
    "delete_backup": backup.delete_backup,
    "limits": limits_answer,
    **DOCUMENT_HANDLERS,
    **CACHE_HANDLERS,
    **ANSWER_HANDLERS,
}


class Engine:
    """An open data directory. `open` locks it; `close` drains the write queues and lets it go."""

    def __init__(self, settings: Settings, directory: DataDirectory, device: Device | None = None) -> None:
        models = read_models(settings)
        self.settings = settings
        self.is_closed = False
        self._device = device
        self._directory = directory
        self._writers = ThreadPoolExecutor(settings.n_writers, "vdb-writer")
        self._background = ThreadPoolExecutor(1, "vdb-background")
        caps = QueueCaps(
            settings.limits.max_queued_requests, settings.limits.max_queued_bytes, settings.disk_reserve_bytes
        )
        self._caps = caps
        self._ledger = Ledger()
        self._memory = MemoryCap(settings.memory_bytes, self._evict)
        self._shards = Shards(self._open_shard, settings.max_open_environments)
        self.recall_checker = RecallChecker(self._background, lambda: self.services.is_stopping.is_set())
        checker = self.recall_checker if settings.check_recall else None
        self._indexing = Indexing(
            settings.index_from_points, self._gives_up, settings.record_queries, checker, tier_of=self._tier_of
        )
        self._caches: Pool[CacheDocument, CacheShard] = Pool(
            self._open_cache, settings.limits.max_caches, lambda: CacheNotFound("no such cache")
        )
        self._cache_indexes = Indexes(make_codes=CodedRows, make_graph=RowGraph if is_available() else None)
        self._cache_checks = ThreadPoolExecutor(1, "vdb-cache-checks")
        self._legs = ThreadPoolExecutor(2, "vdb-legs")
        secret = directory.secret()  # before the catalog: where there are keys, there is what verifies them
        upgrade(directory, map_bytes=settings.map_bytes, max_map_bytes=settings.max_map_bytes)
        self.services = Services(
            settings,
            directory,
            Catalog(self._open_catalog(), self._writers, caps),
            self._shards,
            self._ledger,
            self._memory,
            self._background,
            self._caches,
            self._cache_checks,
            self._legs,
            secret,
            extractor_of(settings),
            models=models,
            result_sets=ResultSets(settings.result_set_bytes),
        )
        self.meter = Meter(self.services)
        collections.finish_interrupted(self.services)
        caches.finish_interrupted(self.services)
        self.first_admin_key: str | None = None
        self._jobs = jobs.JobRunner(self.services, {tune.KIND: tune.step})
        self._maintenance = Maintenance(self.services, self._jobs.wake)
        self._backups = BackupSchedule(self.services)
        self._indexer = Indexer(self.services)
        self.cache_upkeep = CacheUpkeep(self.services)

    @classmethod
    def open(cls, settings: Settings, *, is_serving: bool = True, device: Device | None = None) -> "Engine":
        """Lock and open the data directory; raises DirectoryLocked, FormatTooNew, CorruptData, StorageFailure.

        An engine that is not serving makes no first key, runs nothing in the background and uses no GPU. `device` is
        used in place of the machine's GPU, and closed with the engine. Raises InvalidArgument where the settings ask
        for a GPU and there is none.
        """
        directory = DataDirectory(settings.data_dir)
        try:
            engine = cls(settings, directory, device)
        except BaseException:
            directory.close()
            raise
        try:
            if is_serving:
                engine._start()
        except BaseException:
            engine.close()
            raise
        return engine

    def _start(self) -> None:
        self.services.accelerator = open_accelerator(self.settings, self._device)
        self.first_admin_key = keys.ensure_admin_key(self.services)
        tenants.track_all_quotas(self.services)
        self._jobs.start()
        self._maintenance.start()
        self._indexer.start()
        self.cache_upkeep.start()
        self._backups.start()
        if self.settings.compile_kernels:
            kernels.warm()

    def close(self) -> None:
        """Finish what is queued, store last uses, close everything. Nothing may be called after it, but `close`."""
        if self.is_closed:
            return
        self.is_closed = True
        self.services.is_stopping.set()
        self._backups.stop()
        self._maintenance.stop()
        self._indexer.stop()
        self._jobs.stop()
        self.cache_upkeep.stop()
        self.services.extractor.close()
        self.services.ingests.shutdown()
        self.services.judge.close()
        self.services.generations.shutdown()
        self.services.models.close()
        self.services.model_calls.shutdown()
        self._cache_checks.shutdown()
        self._legs.shutdown()
        close_accelerator(self.services.accelerator)
        self._background.shutdown()
        for save, what in (
            (keys.save_last_used, "last uses of keys"),
            (usage.save_usage, "tenants' usage"),
            (save_all_counts, "caches' figures"),
        ):
            try:
                save(self.services)
            except VdbError as exc:
                logger.warning("%s were not stored", what, exc_info=exc)
        self._caches.close()
        self._shards.close()
        self.services.catalog.close()
        self._writers.shutdown()
        self._directory.close()

    def _open_catalog(self) -> Environment:
        return self._open_environment(self._directory.catalog_path, None)

    def _open_environment(self, path: Path, collection_id: int | None, cache_id: int | None = None) -> Environment:
        sizes: dict[str, Any] = {"map_bytes": self.settings.map_bytes, "max_map_bytes": self.settings.max_map_bytes}
        if collection_id is None and cache_id is None and not path.exists():
            create_environment(path, **sizes)
        env = Environment(path, **sizes)
        try:
            if is_cut_short(env):
                raise CorruptData(f"{path} is cut short: restore it from a backup")
            if collection_id is not None:
                migrate_collection(env, collection_id, f"collection {collection_id}")
            elif cache_id is not None:
                migrate_cache(env, cache_id, f"cache {cache_id}")
            else:
                check_format(env)
        except BaseException:
            env.close()
            raise
        return env

    def _open_shard(self, collection: CollectionDocument) -> Shard:
        env = self._open_environment(self._directory.collection_path(collection.id), collection.id)
        return Shard(collection, env, self._writers, self._caps, self._memory, self._ledger, self._indexing)

    def _open_cache(self, document: CacheDocument) -> CacheShard:
        env = self._open_environment(self._directory.cache_path(document.id), None, document.id)
        return CacheShard(document, env, self._writers, self._caps, self._cache_indexes)

    def _gives_up(self, collection_id: int) -> bool:
        """Whether work on a collection's index is in vain: the server stops, or the collection is being closed."""
        return self.services.is_stopping.is_set() or self._shards.peek(collection_id) is None

    def _tier_of(self, collection_id: int, usage: Usage, present: Tier | None) -> Tier:
        """Where the index of a collection is to lie now."""
        collection = self.services.catalog.collection_by_id(collection_id)
        if collection is None:  # it has just been deleted
            return present or Tier.HYBRID
        beside = self._memory.n_bytes_beside((collection_id, INDEX_PLACE))
        return wanted_tier(collection, self.settings.memory_bytes, usage, present, beside)

    def _evict(self, place: Place) -> None:
        shard = self._shards.peek(place[0])
        if shard is not None:
            shard.evict(place[1])

    def authenticate(self, token: str | None, tenant: str | None) -> Caller:
        """Who a key belongs to; raises Unauthenticated, KeyExpired, Forbidden, InvalidArgument."""
        return keys.authenticate(self.services, token, tenant)

    def local_caller(self, role: Role = Role.ADMIN, tenant: str | None = None) -> Caller:
        """A caller without a key, for use in process."""
        if tenant is None:
            return Caller("", role)
        return Caller("", role, tenants.check_name(tenant, ""), self.services.tenant_id(tenant))

    def run(
        self,
        name: str,
        caller: Caller,
        path: tuple[str, ...],
        request: Request,
        vectors: NDArray[np.float32] | None = None,
    ) -> Any:
        """Run an operation: its answer, or a future of it for writes of points.

        `vectors` goes with UpsertHead and SearchHead. Raises VdbError; SequenceTimeout means: not yet, try again.
        """
        check_access(caller, BY_NAME[name].access)
        if name == "search":
            return search(self.services, caller, path, request, vectors)  # type: ignore[arg-type]
        if name == "upsert":
            return upsert(self.services, caller, path, request, vectors)  # type: ignore[arg-type]
        answer = HANDLERS[name](self.services, caller, path, request)
        if name in MAKES_JOBS and not isinstance(answer, Future):
            self._jobs.wake()
        return answer

    def stream(self, name: str, caller: Caller, path: tuple[str, ...], request: Request, emit: Emit | None) -> Running:
        """Begin an answer whose events go to `emit`, if it is given, as they come, in order, on a thread of its own.

        `name` is one of `STREAMS`. Raises VdbError for what is wrong from the start; the rest is the future's.
        """
        check_access(caller, BY_NAME[name].access)
        return STREAMS[name](self.services, caller, path, request, emit)

    def pin(self, path: tuple[str, ...]) -> tuple[str, ...]:
        """The path of a request that may be run several times: from now on it leads to what it leads to now."""
        collection = self.services.catalog.collection(path[0]) if path else None
        return path if collection is None else (PinnedName(path[0], collection.id), *path[1:])

    def is_quick(
        self,
        name: str,
        caller: Caller,
        path: tuple[str, ...],
        request: Request,
        vectors: NDArray[np.float32] | None = None,
    ) -> bool:
        """Whether `run` returns within some hundred microseconds without waiting for a disk."""
        return is_quick(self.services, name, caller, path, request)

    def collection_named(self, name: str) -> str | None:
        """The name of the collection that a path's name leads to; None where there is none."""
        collection = self.services.catalog.collection(name)
        return None if collection is None else collection.name

    def collection_names(self) -> set[str]:
        """The names of all collections."""
        return {collection.name for collection in self.services.catalog.collections()}

    def tenant_name(self, tenant_id: int) -> str:
        """A tenant's name; "" once its document is gone."""
        return self.services.tenant_name(tenant_id)

    def await_kernels(self, timeout_s: float) -> None:
        """Wait until the compiled kernels answer, or will not; at most `timeout_s`."""
        if self.settings.compile_kernels:
            kernels.wait_ready(timeout_s)

    def health(self) -> dict[str, object]:
        """Readiness and what answers, for /readyz."""
        return health(self.services)

    def metrics(self) -> list[Sample]:
        """Figures for /metrics."""
        return metrics(self.services, self._maintenance.n_purged, self._backups)

    def answer_stages(self) -> list[tuple[str, list[int], float]]:
        """Latency of the stages of answers, for /metrics: see `AnswerFigures.stages`."""
        return self.services.answers.stages
