"""Tenants: made by an admin, or by their first key or write; quotas; rates; what they own; removal as a job."""

import logging
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from vdb.config import Settings
from vdb.engine.commit import Group
from vdb.engine.listing import page_of, start_after
from vdb.engine.services import Services
from vdb.engine.shard import Shard, Snapshot, epoch_ms
from vdb.errors import AlreadyExists, InvalidArgument, StorageFailure, TenantNotFound
from vdb.protocol import answers
from vdb.protocol.requests import CreateTenant, ListPage, TenantQuota, TenantRate, UpdateTenant
from vdb.storage import catalog as store
from vdb.storage.catalog import ACTIVE, RateDocument, TenantDocument
from vdb.storage.codec import Usage
from vdb.storage.keyspace import META_NEXT_TENANT, Space
from vdb.storage.meta import take_number
from vdb.storage.points import iterate_owners, read_usage
from vdb.tenancy.rate import positive
from vdb.types import NAME, Caller, Role

logger = logging.getLogger(__name__)

MAX_QUOTA = 1 << 62
MAX_RATE = 1e12


def check_name(name: str, pointer: str) -> str:
    """The name itself; raises InvalidArgument when it has not the form of names."""
    if not NAME.match(name):
        raise InvalidArgument.at(pointer, "a name is 1 to 64 of a-z 0-9 _ -, and begins with a letter or digit")
    return name


def moment_of(milliseconds: int) -> datetime:
    """Epoch milliseconds as a time in UTC."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)


def ensure_tenant(services: Services, caller: Caller) -> int:
    """The id of the tenant the caller acts for; a service or admin key's first write makes the tenant."""
    if caller.tenant_id is not None:
        return caller.tenant_id
    name = caller.tenant or ""
    return services.catalog.write(lambda group: make_tenant(services, group, name)).id


def make_tenant(
    services: Services, group: Group, name: str, quota: TenantQuota | None = None, rate: RateDocument | None = None
) -> TenantDocument:
    """The tenant of that name in the running commit, made where it does not exist.

    Raises TenantNotFound while one of that name is being deleted.
    """
    known = store.tenant_by_name(group.txn, name)
    if known is not None:
        if known.state != ACTIVE:
            raise TenantNotFound("no such tenant")
        return known
    document = TenantDocument(
        id=take_number(group.txn, META_NEXT_TENANT),
        name=name,
        state=ACTIVE,
        max_points=quota.points if quota else None,
        max_bytes=quota.bytes if quota else None,
        created_at_ms=epoch_ms(),
        rate=rate,
    )
    services.catalog.put_tenant(group, document)
    return document


def create_tenant(services: Services, caller: Caller, path: tuple[str, ...], request: CreateTenant) -> answers.Tenant:
    """Make a tenant; raises AlreadyExists."""
    name = check_name(request.name, "/name")
    quota = _checked(request.quota) if isinstance(request.quota, TenantQuota) else None
    rate = _rate_of(request.rate)

    def apply(group: Group) -> TenantDocument:
        if store.tenant_by_name(group.txn, name) is not None:
            raise AlreadyExists("a tenant of that name exists")
        return make_tenant(services, group, name, quota, rate)

    document = services.catalog.write(apply)
    track_quota(services, document)
    return answer_of(services, document)


def get_tenant(services: Services, caller: Caller, path: tuple[str, ...], request: object) -> answers.Tenant:
    """A tenant's quota, rate and usage; keys that are not admin's see the tenant they act for only."""
    return answer_of(services, visible_tenant(services, caller, path[0]))


def list_tenants(services: Services, caller: Caller, path: tuple[str, ...], request: ListPage) -> answers.Tenants:
    """Tenants in the order they were made."""
    after = start_after(request, Space.TENANT)
    with services.catalog.env.read() as txn:
        documents = store.iterate_documents(txn, Space.TENANT, TenantDocument, after)
        page, cursor = page_of(
            (document for document in documents if document.state == ACTIVE),
            request, services.settings.limits, lambda document: str(document.id),
        )  # fmt: skip
    return answers.Tenants(tenants=answers_of(services, page), next_cursor=cursor)


def update_tenant(services: Services, caller: Caller, path: tuple[str, ...], request: UpdateTenant) -> answers.Tenant:
    """Change a tenant's quota or rate; usage above a quota stays, growth is refused."""
    changes: dict[str, Any] = {}
    if isinstance(request.quota, TenantQuota):
        quota = _checked(request.quota)
        changes |= {"max_points": quota.points, "max_bytes": quota.bytes}
    if request.rate is not UNSET:
        changes["rate"] = _rate_of(request.rate)
    if not changes:
        raise InvalidArgument("give a quota or a rate")

    def apply(group: Group) -> TenantDocument:
        known = store.tenant_by_name(group.txn, path[0])
        if known is None or known.state != ACTIVE:
            raise TenantNotFound("no such tenant")
        document = replace(known, **changes)
        services.catalog.put_tenant(group, document)
        return document

    document = services.catalog.write(apply)
    track_quota(services, document)
    return answer_of(services, document)


def track_quota(services: Services, document: TenantDocument) -> None:
    """Let the ledger follow a tenant that has a quota, from what its collections hold now."""
    if not _has_quota(document):
        services.ledger.forget(document.id)
        return
    if not services.ledger.is_tracked(document.id):
        # Nothing is refused until all that the tenant has is known.
        services.ledger.track(document.id, None, None)
    for shard in services.each_shard():
        with shard.snapshot() as snapshot:
            _observe(services, shard, snapshot, document.id, read_usage(snapshot.txn, document.id))
    latest = services.catalog.tenant_by_id(document.id) or document  # of two changes at once the last one counts
    services.ledger.track(document.id, latest.max_points, latest.max_bytes)


def _has_quota(document: TenantDocument) -> bool:
    return document.max_points is not None or document.max_bytes is not None


def track_all_quotas(services: Services) -> None:
    """At start: follow every tenant that has a quota. Opens each collection once, and none where there is no quota."""
    with services.catalog.env.read() as txn:
        documents = [d for d in store.iterate_readable(txn, Space.TENANT, TenantDocument) if _has_quota(d)]
    for document in documents:
        services.ledger.track(document.id, document.max_points, document.max_bytes)
    for collection in services.catalog.collections() if documents else ():
        try:
            with services.shards.use(collection) as shard, shard.snapshot() as snapshot:
                for owner, usage in iterate_owners(snapshot.txn):
                    _observe(services, shard, snapshot, owner, usage)
        except StorageFailure as exc:  # one damaged collection must not keep the others from being served
            logger.error("what tenants own in collection %s is not known", collection.name, exc_info=exc)


def _observe(services: Services, shard: Shard, snapshot: Snapshot, owner: int, usage: Usage) -> None:
    n_bytes = usage.n_bytes(shard.collection.dimension)
    services.ledger.observe(owner, shard.collection.id, snapshot.sequence, usage.points, n_bytes)


def answers_of(services: Services, documents: Sequence[TenantDocument]) -> list[answers.Tenant]:
    """Tenants as callers see them; each collection is opened once for all."""
    usages = [answers.Usage(points=0, bytes=0) for _ in documents]
    for shard in services.each_shard():
        with shard.env.read() as txn:
            for document, usage in zip(documents, usages, strict=True):
                held = read_usage(txn, document.id)
                usage.points += held.points
                usage.bytes += held.n_bytes(shard.collection.dimension)
    return [
        answers.Tenant(
            name=document.name,
            id=document.id,
            created_at=moment_of(document.created_at_ms),
            quota=answers.Quota(points=document.max_points, bytes=document.max_bytes),
            rate=_rate_answer(services, document),
            usage=usage,
        )
        for document, usage in zip(documents, usages, strict=True)
    ]


def answer_of(services: Services, document: TenantDocument) -> answers.Tenant:
    """A tenant as callers see it."""
    return answers_of(services, [document])[0]


def visible_tenant(services: Services, caller: Caller, name: str) -> TenantDocument:
    """The tenant, if the caller is an admin or acts for it; TenantNotFound otherwise."""
    document = services.catalog.tenant(name)
    if document is None or document.state != ACTIVE:
        raise TenantNotFound("no such tenant")
    if caller.role is not Role.ADMIN and caller.tenant_id != document.id:
        raise TenantNotFound("no such tenant")
    return document


def default_rates(settings: Settings) -> RateDocument | None:
    """The limits of tenants that have none of their own; None where the server sets none."""
    rates = RateDocument(
        reads_per_s=positive(settings.tenant_reads_per_s),
        writes_per_s=positive(settings.tenant_writes_per_s),
        bytes_per_s=positive(settings.tenant_bytes_per_s),
    )
    return rates if rates != RateDocument() else None


def _rate_answer(services: Services, document: TenantDocument) -> answers.Rate:
    """The limits that hold for a tenant."""
    rates = document.rate or default_rates(services.settings) or RateDocument()
    return answers.Rate(
        reads_per_s=rates.reads_per_s,
        writes_per_s=rates.writes_per_s,
        bytes_per_s=rates.bytes_per_s,
        burst_s=services.settings.tenant_burst_s if rates.burst_s is None else rates.burst_s,
        is_default=document.rate is None,
    )


def _rate_of(request: TenantRate | None | UnsetType) -> RateDocument | None:
    if not isinstance(request, TenantRate):
        return None
    for field in request.__struct_fields__:
        value = getattr(request, field)
        if value is not None and not (0.0 < value <= MAX_RATE and math.isfinite(1.0 / value)):
            raise InvalidArgument.at(f"/rate/{field}", f"more than 0, up to {MAX_RATE:g}, or null")
    return RateDocument(
        reads_per_s=request.reads_per_s,
        writes_per_s=request.writes_per_s,
        bytes_per_s=request.bytes_per_s,
        burst_s=request.burst_s,
    )


def _checked(quota: TenantQuota) -> TenantQuota:
    for field, value in (("points", quota.points), ("bytes", quota.bytes)):
        if value is not None and not 0 <= value <= MAX_QUOTA:
            raise InvalidArgument.at(f"/quota/{field}", "a quota is zero or more, and fits 63 bits")
    return quota
