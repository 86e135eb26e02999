"""Delete: by ids at once, by filter as a job."""

from typing import Any

from msgspec import UNSET

from vdb.engine.edit import asks_for_ids, delete_ids
from vdb.engine.jobs import start_delete_by_filter
from vdb.engine.matching import filter_of, matches_of
from vdb.engine.read import visible
from vdb.engine.row_sets import row_set_of
from vdb.engine.services import Services
from vdb.errors import InvalidArgument, NotOwner
from vdb.protocol.requests import DeletePoints
from vdb.storage.catalog import CollectionDocument
from vdb.tenancy.access import check_tenant_exists
from vdb.types import Caller


def delete_points(services: Services, caller: Caller, path: tuple[str, ...], request: DeletePoints) -> Any:
    """A future of Deleted for ids, a Job for a filter."""
    collection = services.usable(caller, path[0])
    if asks_for_ids(request):
        return delete_ids(services, caller, collection, request)
    if request.if_version is not UNSET or request.owner is not UNSET:
        raise InvalidArgument.at("/filter", "if_version and owner go with ids only")
    if request.scope == "visible":
        _check_all_own(services, caller, collection, request)
    return start_delete_by_filter(services, caller, collection, request)


def _check_all_own(services: Services, caller: Caller, collection: CollectionDocument, request: DeletePoints) -> None:
    """Deleting all that is visible needs all of it to be the tenant's own: a recipient cannot write."""
    tenant_id = check_tenant_exists(caller)
    parsed = filter_of(request.filter, collection)
    matches = matches_of(parsed)
    with services.shards.use(collection) as shard, shard.snapshot() as snapshot:
        rows = row_set_of(services, collection, snapshot, parsed)
        for _, owner, record in visible(snapshot, tenant_id, "visible", 0, rows):
            if owner != tenant_id and (matches is None or matches(record.payload)):
                raise NotOwner("some of the points belong to another tenant")
