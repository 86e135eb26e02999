"""Usage per tenant and month: counted in RAM, added up in the catalog every minute and at the end, shown to the tenant.

A crash loses what was counted since the last time, a minute's worth at most.
"""

import re
from functools import partial
from itertools import islice

from msgspec.structs import asdict, replace

from vdb.engine.commit import Group
from vdb.engine.listing import page_of
from vdb.engine.services import Services
from vdb.engine.tenants import visible_tenant
from vdb.errors import InvalidArgument, InvalidCursor
from vdb.protocol import answers
from vdb.protocol.requests import UsagePage
from vdb.storage import catalog as store
from vdb.storage.catalog import UsageDocument
from vdb.tenancy.usage import MONTHS_KEPT, Counts, Key, months_before
from vdb.types import Caller

STEP_TENANTS = 1_000
"""Entries of one commit."""

_PATIENCE_S = 0.05
"""How long a look at usage waits for a commit of it."""

_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])\Z", re.ASCII)


def tenant_usage(services: Services, caller: Caller, path: tuple[str, ...], request: UsagePage) -> answers.TenantUsage:
    """What a tenant asked for, newest month first; keys that are not admin's see the tenant they act for only."""
    document = visible_tenant(services, caller, path[0])
    wanted, after = request.month, request.cursor
    if wanted is not None and not _MONTH.match(wanted):
        raise InvalidArgument.at("/month", "a month is yyyy-mm")
    if after is not None and not _MONTH.match(after):
        raise InvalidCursor.at("/cursor", "not a cursor of this listing")
    months = _months(services, document.id)
    shown = (
        month
        for month in sorted(months, key=lambda month: month.month, reverse=True)
        if wanted in (None, month.month) and (after is None or month.month < after)
    )
    page, cursor = page_of(shown, request, services.settings.limits, lambda month: month.month)
    return answers.TenantUsage(tenant=document.name, months=page, next_cursor=cursor)


def save_usage(services: Services) -> None:
    """Add what was counted since the last call to what is stored. Called by one thread at a time."""
    taken = services.usage.take()
    entries = iter(taken.items())  # what was not stored goes with the next call
    try:
        while step := dict(islice(entries, STEP_TENANTS)):
            with services.usage.consistent():
                services.catalog.write(partial(_add, counted=step), frees_space=True)  # small; a stop must not fail
                services.usage.settle(step)
    finally:
        services.usage.give_back()


def _add(group: Group, counted: dict[Key, Counts]) -> None:
    for (tenant_id, month), counts in counted.items():
        if store.tenant_by_id(group.txn, tenant_id) is None:
            continue  # deleted meanwhile, and its usage with it
        known = store.tenant_usage(group.txn, tenant_id, month)
        if known is None:
            known = UsageDocument(tenant_id=tenant_id, month=month)
            store.remove_tenant_usage(group.txn, tenant_id, months_before(month, MONTHS_KEPT - 1))
        store.put_tenant_usage(group.txn, _sum(known, counts))


def _sum(known: UsageDocument, counts: Counts) -> UsageDocument:
    return replace(
        known,
        requests=known.requests + counts.requests,
        reads=known.reads + counts.reads,
        writes=known.writes + counts.writes,
        bytes_in=known.bytes_in + counts.bytes_in,
        bytes_out=known.bytes_out + counts.bytes_out,
        refused=known.refused + counts.refused,
    )


def _months(services: Services, tenant_id: int) -> list[answers.UsageMonth]:
    """The stored months, with what was counted since."""
    with services.usage.consistent(_PATIENCE_S), services.catalog.env.read() as txn:
        pending = services.usage.pending(tenant_id)
        found = {document.month: document for document in store.usage_of_tenant(txn, tenant_id)}
    for month, counts in pending.items():
        found[month] = _sum(found.get(month, UsageDocument(tenant_id=tenant_id, month=month)), counts)
    return [_answer(document) for document in found.values()]


def _answer(document: UsageDocument) -> answers.UsageMonth:
    counts = asdict(document)
    del counts["tenant_id"]
    counts["month"] = f"{document.month // 100:04d}-{document.month % 100:02d}"
    return answers.UsageMonth(**counts)
