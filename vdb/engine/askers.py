"""Who asks each of many queries: the caller's tenant, or the one that the query names. For admins."""

from collections.abc import Sequence

from msgspec import UnsetType

from vdb.engine.services import Services
from vdb.errors import TenantNotFound, TenantRequired
from vdb.storage.catalog import CollectionDocument
from vdb.tenancy.access import check_tenant_exists, may_use
from vdb.types import Caller

__all__ = ["askers"]


def askers(
    services: Services, caller: Caller, collection: CollectionDocument, tenants: Sequence[str | UnsetType], member: str
) -> dict[int, list[int]]:
    """The places of the queries by the tenant that asks; `member` is the pointer of their list.

    Raises TenantRequired, TenantNotFound, the latter also for a tenant that may not use the collection.
    """
    places: dict[str | UnsetType, list[int]] = {}
    for place, name in enumerate(tenants):
        places.setdefault(name, []).append(place)
    found: dict[int, list[int]] = {}
    for name, own in places.items():
        if isinstance(name, UnsetType):
            if caller.tenant is None:
                raise TenantRequired("name the tenant in the Vdb-Tenant header, or with each query")
            tenant_id = check_tenant_exists(caller)
        else:
            tenant = services.catalog.tenant(name)
            if tenant is None or not may_use(collection, tenant.id):
                raise TenantNotFound.at(f"{member}/{own[0]}/tenant", "no such tenant, or not of this collection")
            tenant_id = tenant.id
        found[tenant_id] = sorted(found.get(tenant_id, []) + own)
    return found
