"""Members of a collection: the tenants it lists, changes of that list, and what each tenant owns there."""

import heapq
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from msgspec import UnsetType

from vdb.config import Limits
from vdb.engine.listing import number_after, page_of
from vdb.engine.owners import live_tenant_name
from vdb.engine.services import Services
from vdb.errors import Conflict, InvalidArgument, TooLarge
from vdb.protocol import answers
from vdb.protocol.requests import ListPage, UpdateCollection
from vdb.storage.env import Transaction
from vdb.storage.keyspace import EVERYONE_ID, LAST_NUMBER
from vdb.storage.points import iterate_owners, read_usage
from vdb.tenancy.access import may_use
from vdb.types import Caller

Ids = list[int] | None
"""Ids of the tenants a collection lists, ascending; None where every tenant may use it."""


def member_ids(services: Services, names: Sequence[str], pointer: str) -> list[int]:
    """Ids of tenants by name, ascending; raises InvalidArgument at one that does not exist, TooLarge."""
    _check_number(len(names), services.settings.limits, pointer)
    found = set()
    for i, name in enumerate(names):
        tenant_id = services.tenant_id(name)
        if tenant_id is None or tenant_id == EVERYONE_ID:
            raise InvalidArgument.at(f"{pointer}/{i}", "no such tenant")
        found.add(tenant_id)
    return sorted(found)


@dataclass(frozen=True, slots=True)
class MemberChange:
    """How a request changes the list: `replaces` it with `ids`, or takes `removed` from it and adds `added`."""

    limits: Limits
    replaces: bool
    ids: Ids
    added: frozenset[int]
    removed: frozenset[int]

    def apply(self, known: Ids) -> Ids:
        """The list after the change; raises Conflict where single members change and there is no list, TooLarge."""
        if self.replaces:
            return self.ids
        if not self.added and not self.removed:
            return known
        pointer = "/add_tenants" if self.added else "/remove_tenants"
        if known is None:
            raise Conflict.at(pointer, "every tenant may use the collection: give tenants to make a list")
        changed = sorted((set(known) | self.added) - self.removed)
        _check_number(len(changed), self.limits, pointer)
        return changed


def member_change(services: Services, request: UpdateCollection) -> MemberChange:
    """What a request asks for; raises InvalidArgument, TooLarge."""
    single = {"add_tenants": request.add_tenants, "remove_tenants": request.remove_tenants}
    if isinstance(request.tenants, UnsetType):
        added, removed = (
            frozenset(() if isinstance(names, UnsetType) else member_ids(services, names, f"/{field}"))
            for field, names in single.items()
        )
        if added & removed:
            raise InvalidArgument.at("/remove_tenants", "a tenant is both added and removed")
        return MemberChange(services.settings.limits, False, None, added, removed)
    for field, names in single.items():
        if not isinstance(names, UnsetType):
            raise InvalidArgument.at(f"/{field}", "tenants replaces the whole list: give either")
    ids = None if request.tenants is None else member_ids(services, request.tenants, "/tenants")
    return MemberChange(services.settings.limits, True, ids, frozenset(), frozenset())


def list_members(services: Services, caller: Caller, path: tuple[str, ...], request: ListPage) -> answers.Members:
    """The tenants that the collection lists and those that own points there, in the order they were made."""
    collection = services.usable(caller, path[0])
    after = number_after(request)
    listed = collection.tenants or []
    with services.shards.use(collection) as shard, shard.env.read() as txn:
        ids = heapq.merge(listed[bisect_right(listed, after) :], _owners(txn, after))
        page, cursor = page_of(_named(services, ids), request, services.settings.limits, lambda member: str(member[0]))
        members = []
        for tenant_id, name in page:
            usage = read_usage(txn, tenant_id)
            n_bytes = usage.n_bytes(shard.collection.dimension)
            is_listed = collection.tenants is not None and may_use(collection, tenant_id)
            members.append(answers.Member(tenant=name, listed=is_listed, points=usage.points, bytes=n_bytes))
    return answers.Members(members=members, next_cursor=cursor)


def _owners(txn: Transaction, after: int) -> Iterator[int]:
    return (owner for owner, usage in iterate_owners(txn, min(after + 1, LAST_NUMBER)) if usage.points)


def _named(services: Services, ids: Iterator[int]) -> Iterator[tuple[int, str]]:
    """(id, name) of each tenant once, without those that are being deleted."""
    last = 0
    for tenant_id in ids:
        name = live_tenant_name(services, tenant_id) if tenant_id != last else None
        last = tenant_id
        if name is not None:
            yield tenant_id, name


def _check_number(n: int, limits: Limits, pointer: str) -> None:
    if n > limits.max_tenants_per_collection:
        raise TooLarge.at(pointer, f"up to {limits.max_tenants_per_collection} tenants")
