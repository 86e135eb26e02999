"""Tuning on demand: the job that has a collection's index trained, coded and measured anew.

The work is the indexer's; the job hands it over and waits.
"""

from msgspec import UNSET, Struct, json
from msgspec.structs import replace

from vdb.engine.choosing import Wish, wished
from vdb.engine.jobs import QUEUED, RUNNING, add_job, finished, job_answer, unfinished
from vdb.engine.services import Services
from vdb.engine.shard import Shard, epoch_ms
from vdb.engine.tuner import Ticket
from vdb.engine.tuning import RECORDED, ROWS
from vdb.errors import CollectionNotFound, InternalError, InvalidArgument, NoIndex, QueueFull
from vdb.index.curator.choice import Candidate
from vdb.index.curator.measuring import LEAST_QUERIES
from vdb.index.curator.model import Form
from vdb.index.curator.upkeep import default_encoding
from vdb.protocol import answers
from vdb.protocol.requests import Tune, TuneEncoding
from vdb.storage.catalog import JobDocument
from vdb.types import Caller, Tier

KIND = "tune"


class StoredWish(Struct):
    """A wish as a job keeps it; `form` "" for an encoding that is to be chosen."""

    queries: str
    form: str = ""
    dimension: int = 0
    for_queries: bool = False


def tune(services: Services, caller: Caller, path: tuple[str, ...], request: Tune) -> answers.Job:
    """Make the job. Raises CollectionNotFound, NoIndex, InvalidArgument, QueueFull."""
    collection = services.usable(caller, path[0])
    with services.shards.use(collection) as shard:
        _check_index(shard)
        n_recorded = len(shard.index.tuner.recorded)
    wish = _checked(request, collection.dimension, n_recorded)
    waiting = sum(job.kind == KIND and job.collection_id == collection.id for job in unfinished(services))
    if waiting >= services.settings.limits.max_waiting_jobs:
        raise QueueFull("too many jobs of the collection are waiting", retry_after_s=1.0)
    document = JobDocument(
        id=0,
        kind=KIND,
        state=QUEUED,
        collection_id=collection.id,
        tenant_id=None,
        created_at_ms=epoch_ms(),
        wish=json.encode(wish).decode(),
    )
    return job_answer(services, services.catalog.write(lambda group: add_job(group, document)))


def step(services: Services, job: JobDocument) -> JobDocument:
    """Hand the work over, or see how far it is: the job itself while there is nothing new. See `JobRunner`."""
    collection = services.catalog.collection_by_id(job.collection_id or 0)
    if collection is None:
        raise CollectionNotFound("the collection was deleted")
    with services.shards.use(collection) as shard:
        _check_index(shard)
        tuner = shard.index.tuner
        ticket = tuner.ticket
        if ticket is None or (ticket.job_id != job.id and ticket.is_done):
            tuner.ticket = Ticket(job.id, _wish(job))
            return replace(job, state=RUNNING)
        if ticket.job_id != job.id or not ticket.is_done:
            return job
        tuner.ticket = None
        if ticket.error:
            raise InternalError(ticket.error)
        index = shard.index.current
        return finished(replace(job, n_done=index.n_live if index is not None else 0))


def _check_index(shard: Shard) -> None:
    """Load the index if it is on disk; raises NoIndex where there is none, or none whose codes lie in RAM."""
    index = shard.index
    if index.take() is not None and index.tier is Tier.DISK:
        raise NoIndex("a collection of tier disk is not tuned")
    if index.take() is None and index.state == "absent" and not index.is_loadable:
        raise NoIndex("the collection has no index: it is made once there are index_from_points vectors")


def _checked(request: Tune, dimension: int, n_recorded: int) -> StoredWish:
    """What is asked for, with what is not given filled in; raises InvalidArgument at the member at fault."""
    has_recorded = n_recorded >= LEAST_QUERIES
    lacking = f"it takes {LEAST_QUERIES} recorded queries, there are {n_recorded}"
    if request.queries == RECORDED and not has_recorded:
        raise InvalidArgument.at("/queries", lacking)
    queries = request.queries if isinstance(request.queries, str) else RECORDED if has_recorded else ROWS
    encoding = request.encoding
    if not isinstance(encoding, TuneEncoding):
        return StoredWish(queries)
    if encoding.for_queries and (queries == ROWS or not has_recorded):
        raise InvalidArgument.at("/encoding/for_queries", lacking if not has_recorded else "queries is rows")
    kept = _dimension(encoding, dimension)
    if encoding.for_queries and kept == dimension:
        raise InvalidArgument.at("/encoding/for_queries", "all components are kept: there is nothing to choose")
    return StoredWish(queries, encoding.form, kept, encoding.for_queries)


def _dimension(encoding: TuneEncoding, dimension: int) -> int:
    is_float = Form[encoding.form.upper()] in (Form.FLOAT32, Form.FLOAT16)
    if encoding.dimension is UNSET:
        return dimension if is_float else default_encoding(dimension).dimension
    kept = int(encoding.dimension)
    if not 1 <= kept <= dimension:
        raise InvalidArgument.at("/encoding/dimension", f"dimension is 1 to {dimension}")
    if is_float and kept != dimension:
        raise InvalidArgument.at("/encoding/dimension", f"{encoding.form} keeps all {dimension} dimensions")
    return kept


def _wish(job: JobDocument) -> Wish:
    stored = json.decode(job.wish, type=StoredWish)
    candidate: Candidate | None = None
    if stored.form:
        candidate = wished(stored.form, stored.dimension, stored.for_queries)
    return Wish(stored.queries, candidate)
