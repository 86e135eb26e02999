"""Who may do what. What a tenant may not see answers like what does not exist, by the same code path."""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Protocol

from vdb.errors import CacheNotFound, CollectionNotFound, Forbidden, SharingForbidden, TenantNotFound, TenantRequired
from vdb.storage.catalog import CacheDocument, CollectionDocument
from vdb.storage.keyspace import EVERYONE_ID
from vdb.types import Caller, Role, Sharing


class HasMembers(Protocol):
    """A collection or a cache: `tenants`, ascending, are those that may use it, None for all."""

    @property
    def tenants(self) -> list[int] | None: ...


def check_access(caller: Caller, access: str) -> None:
    """Raise unless the caller's key reaches an operation of this `access` (protocol.operations)."""
    if access == "any":
        return
    if access == "admin":
        if caller.role is not Role.ADMIN:
            raise Forbidden("this needs an admin key")
        return
    if access in ("write", "remove") and caller.role is Role.READ:
        raise Forbidden("this key may only read")
    if caller.tenant is None and not (access == "remove" and caller.role is Role.ADMIN):
        raise TenantRequired("name the tenant in the Vdb-Tenant header")


def check_tenant_exists(caller: Caller) -> int:
    """The id of the tenant the caller acts for; TenantNotFound where there is none of that name."""
    if caller.tenant_id is None:
        raise TenantNotFound("no such tenant")
    return caller.tenant_id


def may_use(collection: HasMembers, tenant_id: int | None) -> bool:
    """Whether a tenant may use a collection or cache; a tenant that does not exist may use the open ones."""
    members = collection.tenants
    if members is None:
        return True
    if tenant_id is None:
        return False
    place = bisect_left(members, tenant_id)  # ascending, up to 10,000, and asked for by every request
    return place < len(members) and members[place] == tenant_id


def check_usable(collection: CollectionDocument | None, caller: Caller) -> CollectionDocument:
    """The collection, if the caller may use it; otherwise it does not exist for them."""
    if collection is None or not sees(collection, caller):
        raise CollectionNotFound("no such collection")
    return collection


def check_cache_usable(cache: CacheDocument | None, caller: Caller) -> CacheDocument:
    """The cache, if the caller may use it; otherwise it does not exist for them."""
    if cache is None or not sees(cache, caller):
        raise CacheNotFound("no such cache")
    return cache


def sees(collection: HasMembers, caller: Caller) -> bool:
    """Whether a collection exists for the caller: its tenant may use it, or it acts for none and its key for any."""
    return (caller.tenant is None and not caller.is_bound) or may_use(collection, caller.tenant_id)


def check_sharing(collection: CollectionDocument, caller: Caller, grantees: Iterable[int]) -> None:
    """Raise SharingForbidden unless the caller may grant or revoke for these grantees."""
    if caller.is_bound and collection.sharing is not Sharing.TENANTS:
        raise SharingForbidden("this collection's points are shared by admin and service keys only")
    if caller.role is not Role.ADMIN and EVERYONE_ID in grantees:
        raise SharingForbidden("sharing with everyone needs an admin key")
