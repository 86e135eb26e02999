"""What a server does on its own: purge what has expired, mend payload indexes, store uses and usage, forget jobs."""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from itertools import islice

from vdb.engine.commit import Group
from vdb.engine.edit import Removal
from vdb.engine.indexes import are_whole, drop_damaged
from vdb.engine.jobs import resume_indexing
from vdb.engine.keys import save_last_used
from vdb.engine.services import Services
from vdb.engine.shard import ShardGroup, epoch_ms
from vdb.engine.text_indexes import drop_damaged_text
from vdb.engine.usage import save_usage
from vdb.errors import CorruptData, VdbError
from vdb.storage import catalog as store
from vdb.storage.catalog import CollectionDocument, JobDocument
from vdb.storage.keyspace import Space
from vdb.storage.points import iterate_expiries, read_record

logger = logging.getLogger(__name__)

STEP_POINTS = 1_000
SAVE_USES_EVERY = 6
FORGET_JOBS_EVERY = 360
KEPT_FINISHED_MS = 7 * 86_400_000


class Maintenance:
    """One thread that wakes every `purge_interval_s`. `stop` waits for the step in hand."""

    def __init__(self, services: Services, wake_jobs: Callable[[], None]) -> None:
        self._services = services
        self._wake_jobs = wake_jobs
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vdb-maintenance", daemon=True)
        self.n_purged = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._is_stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        n_rounds = 0
        while not self._is_stopping.wait(self._services.settings.purge_interval_s):
            n_rounds += 1
            try:
                self._round(n_rounds)
            except Exception as exc:  # maintenance must not end because one round failed
                level = logging.WARNING if isinstance(exc, VdbError) else logging.ERROR
                logger.log(level, "maintenance failed", exc_info=exc)

    def _round(self, n_rounds: int) -> None:
        for collection in self._services.catalog.collections():
            if self._is_stopping.is_set():
                return
            self._purge(collection)
            self._mend_indexes(collection)
        if n_rounds % SAVE_USES_EVERY == 0:
            save_last_used(self._services)
            save_usage(self._services)
        if n_rounds % FORGET_JOBS_EVERY == 0:
            forget_finished(self._services)

    def _purge(self, collection: CollectionDocument) -> None:
        """Remove expired points of an open collection, a bounded number per write; closed ones wait for their use."""
        if self._services.shards.peek(collection.id) is None:
            return
        while not self._is_stopping.is_set():
            n_removed = purge_step(self._services, collection)
            self.n_purged += n_removed
            if n_removed < STEP_POINTS:
                return

    def _mend_indexes(self, collection: CollectionDocument) -> None:
        """Have indexes of an open collection built that are not whole: one that turned out to be damaged."""
        if self._services.shards.peek(collection.id) is None:
            return
        if collection.id in self._services.damaged_indexes:
            drop_damaged(self._services, collection)
        if collection.id in self._services.damaged_texts:
            drop_damaged_text(self._services, collection)
        with self._services.shards.use(collection, counts_as_use=False) as shard, shard.env.read() as txn:
            is_whole = are_whole(txn, collection)
        if not is_whole:
            resume_indexing(self._services, collection)
            self._wake_jobs()


def forget_finished(services: Services) -> None:
    """Drop the documents of jobs that ended more than a week ago."""
    before_ms = epoch_ms() - KEPT_FINISHED_MS
    with services.catalog.env.read() as txn:
        jobs = store.iterate_readable(txn, Space.JOB, JobDocument)
        old = [job.id for job in jobs if 0 < job.finished_at_ms < before_ms]

    def apply(group: Group) -> None:
        for job_id in old:
            store.remove_job(group.txn, job_id)

    if old:
        services.catalog.write(apply, frees_space=True)


def purge_step(services: Services, collection: CollectionDocument) -> int:
    """Remove up to 1,000 points that have expired; how many there were."""
    with services.shards.use(collection, counts_as_use=False) as shard, shard.env.read() as txn:
        if next(iterate_expiries(txn, epoch_ms()), None) is None:
            return 0
    shard = services.shards.acquire(collection)
    future = services.shards.submit(shard, lambda group: _remove_expired(group, collection), frees_space=True)
    return int(future.result())


def _remove_expired(group: ShardGroup, collection: CollectionDocument) -> int:
    now_ms = epoch_ms()
    expired = list(islice(iterate_expiries(group.txn, now_ms), STEP_POINTS))
    if not expired:
        return 0
    sequence = group.next_sequence()
    removals: defaultdict[int, Removal] = defaultdict(lambda: Removal(0, collection.dimension))
    for pid, owner in expired:
        try:
            record = read_record(group.txn, owner, pid)
        except CorruptData as exc:
            logger.error("an expired point cannot be removed", exc_info=exc, extra={"owner": owner, "pid": pid})
            continue
        removals[owner].owner = owner
        if record is not None:
            removals[owner].remove(group, pid, record)
    for removal in removals.values():
        removal.finish(group, sequence)
    return sum(removal.removed.points for removal in removals.values())
