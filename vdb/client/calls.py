"""The calls of management: collections, tenants, keys, jobs, backups, limits. Pure: nothing is sent here."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import UNSET, UnsetType

from vdb.client.retry import Repeat
from vdb.client.wire import Call, call
from vdb.errors import InvalidArgument
from vdb.protocol import answers
from vdb.protocol.chat_answers import Model
from vdb.protocol.statistics import CollectionStats

LISTINGS = {
    "list_collections": "collections",
    "list_tenants": "tenants",
    "list_keys": "keys",
    "list_jobs": "jobs",
    "list_backups": "backups",
    "list_aliases": "aliases",
    "list_members": "members",
    "list_caches": "caches",
}
"""Operations that answer page by page, and the field of the page that holds the items."""

_PAGE_SIZE = 100


def page(name: str, cursor: str | None, path: tuple[str, ...] = ()) -> Call[tuple[list[Any], str | None]]:
    """One page of a listing: its items, and the cursor of the next page or None."""
    items = LISTINGS[name]
    fields = {"limit": _PAGE_SIZE, "cursor": UNSET if cursor is None else cursor}
    return call(name, path, fields, finish=lambda found: (getattr(found, items), found.next_cursor))


def create_collection(
    name: str,
    dimension: int,
    metric: str,
    tenants: Sequence[str] | None,
    sharing: str,
    fields: Mapping[str, str] | None,
    embedding: Mapping[str, str] | None,
    metadata: Mapping[str, str] | None,
    indexes: Sequence[str] | None,
    tier: str,
    memory_bytes: int | None,
    text: Mapping[str, Any] | None,
    answering: Mapping[str, Any] | None,
) -> Call[answers.Collection]:
    shape = {"name": name, "dimension": dimension, "metric": metric, "sharing": sharing}
    shape |= {"tenants": tenants, "fields": UNSET if fields is None else fields}
    shape |= {"embedding": embedding, "metadata": UNSET if metadata is None else metadata}
    shape |= {"indexes": UNSET if indexes is None else indexes, "tier": tier, "memory_bytes": memory_bytes}
    shape |= {"text": UNSET if text is None else text, "answering": UNSET if answering is None else answering}
    return call("create_collection", fields=shape, repeat=Repeat.IF_REFUSED)


def get_collection(name: str) -> Call[answers.Collection]:
    return call("get_collection", (name,))


def update_collection(name: str, fields: Mapping[str, Any]) -> Call[answers.Collection]:
    return call("update_collection", (name,), fields)


def rename_collection(name: str, new_name: str) -> Call[answers.Collection]:
    return call("update_collection", (name,), {"name": new_name}, repeat=Repeat.IF_REFUSED)


def collection_stats(name: str) -> Call[CollectionStats]:
    return call("collection_stats", (name,))


def tune(
    name: str, queries: str | None, form: str | None, dimension: int | None, for_queries: bool
) -> Call[answers.Job]:
    encoding: dict[str, Any] = {"form": form, "for_queries": for_queries}
    if dimension is not None:
        encoding["dimension"] = dimension
    fields = {"queries": UNSET if queries is None else queries, "encoding": UNSET if form is None else encoding}
    return call("tune", (name,), fields, repeat=Repeat.IF_REFUSED)


def set_aliases(changed: Mapping[str, str], remove: Sequence[str]) -> Call[answers.AliasesChanged]:
    repeat = Repeat.IF_REFUSED if remove else Repeat.ALWAYS
    return call("set_aliases", fields={"set": changed, "remove": remove}, repeat=repeat)


def delete_collection(name: str) -> Call[answers.Done]:
    return call("delete_collection", (name,), repeat=Repeat.IF_REFUSED)


def create_tenant(
    name: str, max_points: int | None, max_bytes: int | None, rate: Mapping[str, float | None] | None
) -> Call[answers.Tenant]:
    quota = {"points": max_points, "bytes": max_bytes}
    fields = {"name": name, "quota": quota, "rate": UNSET if rate is None else rate}
    return call("create_tenant", fields=fields, repeat=Repeat.IF_REFUSED)


def get_tenant(name: str) -> Call[answers.Tenant]:
    return call("get_tenant", (name,))


def update_tenant(
    name: str,
    max_points: int | None | UnsetType,
    max_bytes: int | None | UnsetType,
    rate: Mapping[str, float | None] | None | UnsetType,
) -> Call[answers.Tenant]:
    caps = {"points": max_points, "bytes": max_bytes}
    is_quota_left = max_points is UNSET and max_bytes is UNSET and rate is not UNSET
    quota = {unit: None if cap is UNSET else cap for unit, cap in caps.items()}
    return call("update_tenant", (name,), {"quota": UNSET if is_quota_left else quota, "rate": rate})


def tenant_usage(name: str, month: str | None) -> Call[list[answers.UsageMonth]]:
    fields = {"month": UNSET if month is None else month}
    return call("tenant_usage", (name,), fields, finish=lambda found: list(found.months))


def delete_tenant(name: str) -> Call[answers.Job]:
    return call("delete_tenant", (name,), repeat=Repeat.IF_REFUSED)


def create_key(tenant: str | None, role: str, name: str, expires_at: datetime | None) -> Call[answers.Key]:
    fields = {"tenant": tenant, "role": role, "name": name, "expires_at": aware(expires_at)}
    return call("create_key", fields=fields, repeat=Repeat.IF_REFUSED)


def get_key(key_id: str) -> Call[answers.Key]:
    return call("get_key", (key_id,))


def rotate_key(key_id: str, grace_s: float) -> Call[answers.Key]:
    return call("rotate_key", (key_id,), {"grace_s": grace_s}, repeat=Repeat.IF_REFUSED)


def delete_key(key_id: str) -> Call[answers.Done]:
    return call("delete_key", (key_id,), repeat=Repeat.IF_REFUSED)


def get_job(job_id: str) -> Call[answers.Job]:
    return call("get_job", (job_id,))


def create_backup(name: str) -> Call[answers.Backup]:
    return call("create_backup", fields={"name": name}, repeat=Repeat.IF_REFUSED)


def get_backup(name: str) -> Call[answers.Backup]:
    return call("get_backup", (name,))


def delete_backup(name: str) -> Call[answers.Done]:
    return call("delete_backup", (name,), repeat=Repeat.IF_REFUSED)


def limits() -> Call[dict[str, int]]:
    return call("limits", finish=lambda found: found.limits)


def list_models() -> Call[list[Model]]:
    return call("list_models", finish=lambda found: list(found.data))


def get_model(name: str) -> Call[Model]:
    return call("get_model", (name,))


def aware(moment: Any, pointer: str = "/expires_at") -> Any:
    """`moment` as given; InvalidArgument for a datetime that does not say its time zone."""
    if isinstance(moment, datetime) and moment.utcoffset() is None:
        raise InvalidArgument.at(pointer, "a datetime needs a time zone, such as datetime.now(UTC)")
    return moment
