"""Background work that survives a restart: delete by filter, delete a tenant, build payload indexes.

A job is a catalog document with a position. Each step is one write of at most 1,000 points and then the new position;
a step done twice removes nothing twice, so a crash between the two costs nothing.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from msgspec import json
from msgspec.structs import replace

from vdb.engine.cache_tenants import forget_in_caches
from vdb.engine.commit import Group
from vdb.engine.edit import Removal, change_of
from vdb.engine.indexes import advance_indexes, step_points
from vdb.engine.listing import page_of, start_after
from vdb.engine.matching import Matches, filter_of, matches_of
from vdb.engine.read import own_records
from vdb.engine.row_sets import row_set_in
from vdb.engine.services import Services
from vdb.engine.shard import Shard, ShardGroup, epoch_ms
from vdb.engine.tenants import moment_of
from vdb.errors import (
    CollectionNotFound,
    CorruptData,
    JobNotFound,
    QueueFull,
    StorageFailure,
    TenantNotFound,
    Unavailable,
    VdbError,
)
from vdb.protocol import answers
from vdb.protocol.requests import DeletePoints, ListPage
from vdb.storage import catalog as store
from vdb.storage.catalog import ACTIVE, DELETING, CollectionDocument, JobDocument
from vdb.storage.codec import Record, Usage
from vdb.storage.keyspace import META_NEXT_JOB, META_NEXT_PID, Space, number_key
from vdb.storage.meta import read_number, take_number
from vdb.storage.points import has_any, iterate_grants, put_point, read_record
from vdb.tenancy.access import check_tenant_exists
from vdb.types import Caller, Role

logger = logging.getLogger(__name__)

STEP_POINTS = 1_000
QUEUED, RUNNING, DONE, FAILED = "queued", "running", "done", "failed"
DELETE_BY_FILTER, DELETE_TENANT, INDEX_FIELDS = "delete_by_filter", "delete_tenant", "index_fields"
RETRY_S = 1.0
WAIT_S = 0.1
"""Between looks at jobs that all wait for other threads."""
Step = Callable[[Services, JobDocument], JobDocument]
EVERYTHING: Matches = lambda payload: True  # noqa: E731 - a test like those of filters


class JobRunner:
    """Runs jobs on a thread of its own, a step of each in turn. `start` once, `stop` waits for the step in hand."""

    def __init__(self, services: Services, more: Mapping[str, Step]) -> None:
        """`more`: steps of kinds that are not this module's; one that returns its job as it was waits."""
        self._services = services
        self._more = more
        self._wake = threading.Event()
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vdb-jobs", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self.wake()

    def wake(self) -> None:
        """There may be a new job."""
        self._wake.set()

    def stop(self) -> None:
        self._is_stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            self._wake.wait()
            self._wake.clear()
            try:
                self._finish_all()
            except Exception as exc:  # the runner must be there for the next job
                logger.error("jobs pause", exc_info=exc)
                self._is_stopping.wait(RETRY_S)
                self.wake()

    def _finish_all(self) -> None:
        """Steps in turn until no job is left: a long one holds up no other."""
        while jobs := unfinished(self._services):
            has_moved = False
            for job in jobs:
                if self._is_stopping.is_set():
                    return
                has_moved |= self._advance(job)
            if not has_moved:
                self._wake.wait(WAIT_S)
                self._wake.clear()

    def _advance(self, job: JobDocument) -> bool:
        """Make the job's next step, or none after a pause where a queue was full or the disk failed."""
        try:
            step = self._more.get(job.kind) or _STEPS[job.kind]
            stepped = step(self._services, job)
            if stepped is job:
                return False
            _save(self._services, stepped)
        except Exception as exc:  # a failed job is shown as failed, the runner goes on
            if isinstance(exc, Unavailable | StorageFailure) and not isinstance(exc, CorruptData):
                logger.warning("job %s is tried again", job.id, exc_info=exc)
                self._is_stopping.wait(RETRY_S)
                return True
            trace = None if isinstance(exc, CollectionNotFound) else exc
            logger.error("job %s failed", job.id, exc_info=trace)
            detail = exc.detail if isinstance(exc, VdbError) else "internal error; see the server's log"
            _save(self._services, replace(job, state=FAILED, error=detail, finished_at_ms=epoch_ms()))
        return True


def start_delete_by_filter(
    services: Services, caller: Caller, collection: CollectionDocument, request: DeletePoints
) -> answers.Job:
    """Make the job that deletes the tenant's points that match, among those that exist now."""
    tenant_id = check_tenant_exists(caller)
    filter_of(request.filter, collection)
    if sum(job.tenant_id == tenant_id for job in unfinished(services)) >= services.settings.limits.max_waiting_jobs:
        raise QueueFull("too many of the tenant's jobs are waiting", retry_after_s=1.0)
    with services.shards.use(collection) as shard, shard.env.read() as txn:
        until = read_number(txn, META_NEXT_PID)
    document = JobDocument(
        id=0,
        kind=DELETE_BY_FILTER,
        state=QUEUED,
        collection_id=collection.id,
        tenant_id=tenant_id,
        created_at_ms=epoch_ms(),
        filter=json.encode(request.filter).decode(),
        scope=request.scope,
        until=until,
    )
    return job_answer(services, services.catalog.write(lambda group: add_job(group, document), frees_space=True))


def delete_tenant(services: Services, caller: Caller, path: tuple[str, ...], request: object) -> answers.Job:
    """Make the job that removes a tenant; its keys stop working before the answer is sent."""

    def apply(group: Group) -> JobDocument:
        tenant = store.tenant_by_name(group.txn, path[0])
        if tenant is None or tenant.state != ACTIVE:
            raise TenantNotFound("no such tenant")
        services.catalog.put_tenant(group, replace(tenant, state=DELETING))
        for key_id in store.keys_of_tenant(group.txn, tenant.id):
            key = store.key_by_id(group.txn, key_id)
            if key is not None:
                services.catalog.remove_key(group, key)
        document = JobDocument(
            id=0,
            kind=DELETE_TENANT,
            state=QUEUED,
            collection_id=None,
            tenant_id=tenant.id,
            created_at_ms=epoch_ms(),
        )
        return add_job(group, document)

    return job_answer(services, services.catalog.write(apply, frees_space=True))


def start_indexing(group: Group, collection_id: int) -> None:
    """Make the job that brings a collection's payload indexes to what its document, in this commit or later, wants."""
    document = JobDocument(
        id=0, kind=INDEX_FIELDS, state=QUEUED, collection_id=collection_id, tenant_id=None, created_at_ms=epoch_ms()
    )
    add_job(group, document)


def resume_indexing(services: Services, collection: CollectionDocument) -> None:
    """Make such a job, for indexes that were found damaged, unless there is one."""
    jobs = unfinished(services)
    if not any(job.kind == INDEX_FIELDS and job.collection_id == collection.id for job in jobs):
        services.catalog.write(lambda group: start_indexing(group, collection.id))


def get_job(services: Services, caller: Caller, path: tuple[str, ...], request: object) -> answers.Job:
    """A job; a tenant sees its own deletes only."""
    number = path[0].removeprefix("job-")
    with services.catalog.env.read() as txn:
        is_number = number.isascii() and number.isdecimal() and len(number) <= 10 and path[0] == f"job-{number}"
        document = store.job_by_id(txn, int(number)) if is_number else None
    if document is None or not _may_see(caller, document):
        raise JobNotFound("no such job")
    return job_answer(services, document)


def list_jobs(services: Services, caller: Caller, path: tuple[str, ...], request: ListPage) -> answers.Jobs:
    """Jobs in the order they were made."""
    after = start_after(request, Space.JOB)
    with services.catalog.env.read() as txn:
        documents = store.iterate_documents(txn, Space.JOB, JobDocument, after)
        page, cursor = page_of(
            (document for document in documents if _may_see(caller, document)),
            request, services.settings.limits, lambda document: str(document.id),
        )  # fmt: skip
    return answers.Jobs(jobs=[job_answer(services, document) for document in page], next_cursor=cursor)


def _may_see(caller: Caller, job: JobDocument) -> bool:
    if caller.role is Role.ADMIN:
        return True
    return job.kind == DELETE_BY_FILTER and caller.tenant_id is not None and job.tenant_id == caller.tenant_id


def add_job(group: Group, document: JobDocument) -> JobDocument:
    """Store a new job under the next number."""
    document = replace(document, id=take_number(group.txn, META_NEXT_JOB))
    store.put_job(group.txn, document)
    return document


def _save(services: Services, job: JobDocument) -> None:
    services.catalog.write(lambda group: store.put_job(group.txn, job), frees_space=True)


def unfinished(services: Services) -> list[JobDocument]:
    """The jobs still to do, read from the first of them on: those that are over stay listed for a week."""
    after = number_key(Space.JOB, services.last_finished_job)[1:]
    with services.catalog.env.read() as txn:
        jobs = list(store.iterate_readable(txn, Space.JOB, JobDocument, after))
    found = [job for job in jobs if job.state in (QUEUED, RUNNING)]
    first = found[0].id if found else jobs[-1].id + 1 if jobs else 0
    services.last_finished_job = max(services.last_finished_job, first - 1)
    return found


def finished(job: JobDocument) -> JobDocument:
    """The job, done."""
    return replace(job, state=DONE, finished_at_ms=epoch_ms())


def _step_delete_by_filter(services: Services, job: JobDocument) -> JobDocument:
    collection = services.catalog.collection_by_id(job.collection_id or 0)
    if collection is None:
        raise CollectionNotFound("the collection was deleted")
    parsed = filter_of(json.decode(job.filter), collection)
    matches = matches_of(parsed) or EVERYTHING
    owner = job.tenant_id or 0

    def apply(group: ShardGroup, shard: Shard) -> tuple[int, int]:
        points = own_records(group.txn, owner, job.position, row_set_in(services, group.txn, collection, parsed))
        return _remove_run(group, shard, owner, points, job.until, matches)

    n_removed, position = _write(services, collection, apply)
    job = replace(job, state=RUNNING, position=position, n_done=job.n_done + n_removed)
    return finished(job) if position >= job.until else job


def _step_delete_tenant(services: Services, job: JobDocument) -> JobDocument:
    """Remove up to a step's worth of points and grants somewhere, then of entries of caches; done when none are left.

    `position` is the collection in hand: those before it stay empty, since writes for a deleted tenant are refused.
    """
    if job.state == QUEUED:
        # Saving this is a commit of the catalog after the one that marked the tenant: by then every write knows.
        return replace(job, state=RUNNING)
    tenant_id = job.tenant_id or 0

    def apply(group: ShardGroup, shard: Shard) -> tuple[int, int]:
        n_removed, _ = _remove_run(group, shard, tenant_id, own_records(group.txn, tenant_id, 0), 1 << 32, EVERYTHING)
        return n_removed, _revoke_run(group, shard, tenant_id)

    for collection in sorted(services.catalog.collections(), key=lambda collection: collection.id):
        if collection.id < job.position:
            continue
        try:
            if _has_nothing(services, collection, tenant_id):
                continue
            n_removed, n_revoked = _write(services, collection, apply)
        except CollectionNotFound:  # deleted meanwhile, and with it what the tenant had there
            continue
        if n_removed or n_revoked:
            return replace(job, position=collection.id, n_done=job.n_done + n_removed)
    n_removed = forget_in_caches(services, tenant_id)
    if n_removed:
        return replace(job, n_done=job.n_done + n_removed)
    services.ledger.forget(tenant_id)
    services.catalog.write(lambda group: _forget_tenant(services, group, tenant_id), frees_space=True)
    return finished(job)


def _step_index_fields(services: Services, job: JobDocument) -> JobDocument:
    collection = services.catalog.collection_by_id(job.collection_id or 0)
    if collection is None:
        raise CollectionNotFound("the collection was deleted")
    n_done, is_done = advance_indexes(services, collection, STEP_POINTS)
    job = replace(job, state=RUNNING, n_done=job.n_done + n_done)
    return finished(job) if is_done else job


_STEPS: dict[str, Step] = {
    DELETE_BY_FILTER: _step_delete_by_filter,
    DELETE_TENANT: _step_delete_tenant,
    INDEX_FIELDS: _step_index_fields,
}


def _has_nothing(services: Services, collection: CollectionDocument, tenant_id: int) -> bool:
    """Whether a deleted tenant is known to have nothing in a collection: no write is under way, and none stored it."""
    with services.shards.use(collection) as shard:
        if not shard.queue.is_idle:
            return False
        with shard.env.read() as txn:
            return not any(has_any(txn, space, tenant_id) for space in (Space.RECORD, Space.GRANT))


def _write(
    services: Services, collection: CollectionDocument, apply: Callable[[ShardGroup, Shard], tuple[int, int]]
) -> tuple[int, int]:
    shard = services.shards.acquire(collection)
    future = services.shards.submit(shard, lambda group: apply(group, shard), frees_space=True)
    result: tuple[int, int] = future.result()
    return result


def _remove_run(
    group: ShardGroup, shard: Shard, owner: int, points: Iterator[tuple[int, Record]], until_pid: int, matches: Matches
) -> tuple[int, int]:
    """Look at up to a step's points, ascending, and remove those that match: (number removed, next pid)."""
    removal = Removal(owner, shard.collection.dimension)
    n_most = step_points(group, STEP_POINTS)
    chosen = []
    position = until_pid
    for n_seen, (pid, record) in enumerate(points):
        if n_seen == n_most or pid >= until_pid:
            position = min(pid, until_pid)
            break
        if matches(record.payload):
            chosen.append((pid, record))
    if chosen:
        sequence = group.next_sequence()
        for pid, record in chosen:
            removal.remove(group, pid, record)
        removal.finish(group, sequence)
    return len(chosen), position


def _revoke_run(group: ShardGroup, shard: Shard, grantee: int) -> int:
    """Take back up to a step's grants to a tenant."""
    granted, n_most = [], step_points(group, STEP_POINTS)
    for pid, owner in iterate_grants(group.txn, grantee):
        granted.append((pid, owner))
        if len(granted) == n_most:
            break
    if not granted:
        return 0
    sequence = group.next_sequence()
    n_revoked: Counter[int] = Counter()
    for pid, owner in granted:
        old = read_record(group.txn, owner, pid)
        if old is not None:
            shared = tuple(tenant for tenant in old.shared if tenant != grantee)
            put_point(group.txn, group.index_changes, owner, pid, old, replace(old, shared=shared), None)
            n_revoked[owner] += len(old.shared) - len(shared)
    for owner, n in n_revoked.items():
        group.count(owner, Usage(grants=-n))
    kills = {-grantee: [pid for pid, _ in granted]}
    group.tell(change_of(sequence, grantee, shard.collection.dimension, kills=kills))
    return len(granted)


def _forget_tenant(services: Services, group: Group, tenant_id: int) -> None:
    document = store.tenant_by_id(group.txn, tenant_id)
    if document is not None:
        services.catalog.remove_tenant(group, document)
        store.remove_tenant_usage(group.txn, tenant_id)


def job_answer(services: Services, document: JobDocument) -> answers.Job:
    collection = services.catalog.collection_by_id(document.collection_id or 0)
    return answers.Job(
        id=f"job-{document.id}",
        kind=document.kind,
        state=document.state,
        collection=collection.name if collection is not None else None,
        tenant=services.tenant_name(document.tenant_id) or None if document.tenant_id is not None else None,
        n_done=document.n_done,
        created_at=moment_of(document.created_at_ms),
        finished_at=moment_of(document.finished_at_ms) if document.finished_at_ms else None,
        error=document.error or None,
    )
