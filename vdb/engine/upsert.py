"""Insert or replace points: checked first, then queued; all points of a request are written in one commit, or none."""

import logging
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from vdb.engine.batch import Batch, batch_of_columns, batch_of_points
from vdb.engine.owners import GRANT_BYTES, check_own, grantee_ids
from vdb.engine.point_write import PointWrite
from vdb.engine.services import Services
from vdb.engine.tenants import ensure_tenant
from vdb.errors import InternalError, InvalidArgument, VdbError
from vdb.protocol.answers import Queued, Written
from vdb.protocol.columns import UpsertHead
from vdb.protocol.requests import Upsert
from vdb.storage.catalog import CollectionDocument
from vdb.tenancy.access import check_sharing
from vdb.types import Caller

logger = logging.getLogger(__name__)


def upsert(
    services: Services,
    caller: Caller,
    path: tuple[str, ...],
    request: Upsert | UpsertHead,
    vectors: NDArray[np.float32] | None,
) -> "Future[Written] | Queued":
    """Queue an upsert; resolves with the write's sequence once it is durable and visible.

    With `ack` queued the answer is there at once; whether the write was made nobody is told, but the metrics and log.
    """
    collection = services.usable(caller, path[0])
    limits = services.settings.limits
    if isinstance(request, Upsert):
        batch = batch_of_points(request, collection, limits)
    else:
        block = vectors if vectors is not None else np.empty(0, np.float32)
        batch = batch_of_columns(request, block, collection, limits)
    is_awaited = request.ack != "queued"
    if not is_awaited and batch.conditions is not None:
        raise InvalidArgument.at("/ack", "a write with if_version or if_absent must be awaited")
    check_own(services, caller, collection, request.owner, batch.ids)
    grants = _grants(services, caller, collection, batch)
    owner = ensure_tenant(services, caller)  # last: a refused write makes no tenant
    shard = services.shards.acquire(collection)
    write = PointWrite(services, owner, batch, grants)
    n_granted = sum(map(len, filter(None, grants or ())))
    n_bytes = batch.n_bytes + GRANT_BYTES * n_granted
    future: Future[Written] = services.shards.submit(
        shard, write.apply, n_bytes, adds_rows=len(batch.vectors) > 0, tenant=owner, n_points=len(batch.ids)
    )
    if is_awaited:
        return future
    future.add_done_callback(lambda settled: _note_refusal(services, collection, settled))
    return Queued()


def _note_refusal(services: Services, collection: CollectionDocument, settled: "Future[Written]") -> None:
    """A queued write that was not made: nobody waits for its error."""
    error = settled.exception()
    if error is None:
        return
    services.n_queued_refused += 1
    code = error.code if isinstance(error, VdbError) else InternalError.code
    fields = {"collection": collection.name, "code": code}
    logger.warning("a queued write was refused at its commit", extra={"fields": fields})


def _grants(
    services: Services, caller: Caller, collection: CollectionDocument, batch: Batch
) -> list[tuple[int, ...] | None] | None:
    """Grantee ids per point, None where the request leaves the grants as they are."""
    if batch.shared_with is None:
        return None
    grants: list[tuple[int, ...] | None] = []
    for i, names in enumerate(batch.shared_with):
        if names is None:
            grants.append(None)
            continue
        check_sharing(collection, caller, ())  # first: who may not grant learns nothing about the names
        ids = grantee_ids(services, collection, caller.tenant_id, names, batch.pointer(i, "shared_with"))
        check_sharing(collection, caller, ids)
        grants.append(ids)
    return grants
