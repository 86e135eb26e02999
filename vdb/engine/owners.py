"""Whose points a request addresses, and who they are shared with.

A request may name another owner's points. They can be read if they are visible and never written: visible ones answer
NotOwner, the rest PointNotFound, exactly like points that do not exist.
"""

from collections.abc import Iterable, Sequence

from msgspec import UnsetType

from vdb.engine.services import Services
from vdb.engine.shard import epoch_ms
from vdb.errors import NotOwner, PointNotFound, TenantNotFound, UnknownGrantee
from vdb.storage.catalog import ACTIVE, CollectionDocument
from vdb.storage.codec import Record
from vdb.storage.env import Transaction
from vdb.storage.keyspace import EVERYONE_ID
from vdb.storage.points import find_pids, read_record
from vdb.tenancy.access import may_use
from vdb.types import Caller

GRANT_BYTES = 64
"""What a grant adds to the store, about."""


def is_visible(record: Record, owner: int, tenant_id: int, now_ms: int) -> bool:
    """Whether a tenant may see a point: it owns it, or it was granted to it or to everyone, and it has not expired."""
    if record.is_expired(now_ms):
        return False
    return owner == tenant_id or tenant_id in record.shared or EVERYONE_ID in record.shared


def named_owner(services: Services, caller: Caller, owner: str | UnsetType) -> int | None:
    """Id of the owner a request names, the caller's own tenant where it names none; None where it does not exist."""
    if isinstance(owner, UnsetType) or owner == caller.tenant:
        return caller.tenant_id
    document = services.catalog.tenant(owner)
    return document.id if document is not None else None


def check_own(
    services: Services, caller: Caller, collection: CollectionDocument, owner: str | UnsetType, ids: Sequence[bytes]
) -> None:
    """Raise NotOwner or PointNotFound when a write names another owner's points."""
    if isinstance(owner, UnsetType) or owner == caller.tenant:
        return
    owner_id = named_owner(services, caller, owner)
    with services.shards.use(collection) as shard, shard.env.read() as txn:
        if owner_id is None or not _all_visible(txn, owner_id, caller.tenant_id or 0, ids):
            raise PointNotFound("no such point")
    raise NotOwner("the points belong to another tenant")


def _all_visible(txn: Transaction, owner: int, tenant_id: int, ids: Sequence[bytes]) -> bool:
    now_ms = epoch_ms()
    pids = find_pids(txn, owner, ids)
    for point_id in ids:
        record = read_record(txn, owner, pids[point_id]) if point_id in pids else None
        if record is None or not is_visible(record, owner, tenant_id, now_ms):
            return False
    return True


def grantee_ids(
    services: Services, collection: CollectionDocument, owner: int | None, names: Sequence[str], pointer: str
) -> tuple[int, ...]:
    """Ids of grantees, ascending; one answer for a tenant that does not exist and one that may not use the collection.

    The owner itself among them is dropped: it sees its points anyway.
    """
    found = set()
    for i, name in enumerate(names):
        tenant_id = services.tenant_id(name)
        if tenant_id is None or (tenant_id != EVERYONE_ID and not may_use(collection, tenant_id)):
            raise UnknownGrantee.at(f"{pointer}/{i}", "no tenant of that name may use this collection")
        if tenant_id != owner:
            found.add(tenant_id)
    return tuple(sorted(found))


def check_live(services: Services, owner: int, grantees: Iterable[int]) -> None:
    """Raise TenantNotFound or UnknownGrantee for a tenant that was deleted while the write waited in its queue.

    Called inside the write. The job that deletes a tenant looks only after every commit begun before the deletion; a
    write that waits longer, tenants taking turns, is refused here: so nothing outlives the tenant.
    """
    if live_tenant_name(services, owner) is None:
        raise TenantNotFound("no such tenant")
    if any(live_tenant_name(services, grantee) is None for grantee in grantees):
        raise UnknownGrantee("a tenant among the grantees was deleted")


def live_tenant_name(services: Services, tenant_id: int) -> str | None:
    """A grantee's name, None once it is being deleted."""
    if tenant_id == EVERYONE_ID:
        return services.tenant_name(tenant_id)
    document = services.catalog.tenant_by_id(tenant_id)
    return document.name if document is not None and document.state == ACTIVE else None
