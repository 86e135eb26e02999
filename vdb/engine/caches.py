"""Semantic caches: made, changed and removed by admins, safe against a crash at any step, as collections are.

Creation: catalog `creating` → folder and environment, synced → catalog `active`. Removal: catalog `deleting` (nobody
finds it any more) → environment closed, folder removed → document removed. A start finishes or sweeps the rest.
"""

import logging
import math
from typing import Any

from msgspec import UnsetType
from msgspec.structs import replace

from vdb.engine.commit import Group
from vdb.engine.labels import checked_metadata
from vdb.engine.listing import name_after, page_of
from vdb.engine.members import member_ids
from vdb.engine.services import Services
from vdb.engine.shard import epoch_ms
from vdb.engine.tenants import check_name, moment_of
from vdb.errors import AlreadyExists, CacheNotFound, InvalidArgument, LimitReached, TooLarge
from vdb.protocol import answers, cache_answers
from vdb.protocol.cache_requests import CreateCache, UpdateCache
from vdb.protocol.requests import Empty, ListPage
from vdb.storage import catalog as store
from vdb.storage.catalog import ACTIVE, CREATING, DELETING, CacheDocument
from vdb.storage.create import create_environment
from vdb.storage.directory import remove_folder
from vdb.storage.env import Transaction
from vdb.storage.keyspace import META_NEXT_CACHE, Space
from vdb.storage.meta import take_number
from vdb.tenancy.access import sees
from vdb.types import Caller, Role

logger = logging.getLogger(__name__)

MAX_VERSION_CHARS = 256
MAX_CACHE_ENTRIES = 100_000_000
MAX_CACHE_BYTES = 1 << 40


def create_cache(
    services: Services, caller: Caller, path: tuple[str, ...], request: CreateCache
) -> cache_answers.Cache:
    """Make a cache; raises AlreadyExists, LimitReached, InvalidArgument, TooLarge."""
    name, limits = check_name(request.name, "/name"), services.settings.limits
    if not 1 <= request.dimension <= limits.max_dimension:
        raise InvalidArgument.at("/dimension", f"dimension is 1 to {limits.max_dimension}")
    members = None if request.tenants is None else member_ids(services, request.tenants, "/tenants")
    checked = _checked(services, request)

    def reserve(group: Group) -> CacheDocument:
        if store.cache_by_name(group.txn, name) is not None:
            raise AlreadyExists.at("/name", "a cache of that name exists")
        if sum(1 for _ in store.iterate_prefix(group.txn, bytes((Space.CACHE,)))) >= limits.max_caches:
            raise LimitReached(f"a server holds up to {limits.max_caches} caches")
        document = CacheDocument(
            id=take_number(group.txn, META_NEXT_CACHE),
            name=name,
            state=CREATING,
            dimension=request.dimension,
            tenants=members,
            created_at_ms=epoch_ms(),
            **checked,
        )
        services.catalog.put_cache(group, document)
        return document

    reserved = services.catalog.write(reserve)
    document = replace(reserved, state=ACTIVE)
    try:
        create_environment(
            services.directory.cache_path(document.id),
            map_bytes=services.settings.map_bytes,
            max_map_bytes=services.settings.max_map_bytes,
            cache_id=document.id,
        )
        services.catalog.write(lambda group: services.catalog.put_cache(group, document))
    except Exception:
        _sweep(services, reserved)  # the name is taken and nothing is behind it
        raise
    return answer_of(services, caller, document)


def _checked(services: Services, request: CreateCache | UpdateCache) -> dict[str, Any]:
    """The fields that are given, as the catalog has them; raises InvalidArgument, TooLarge."""
    checked: dict[str, Any] = {}
    if not isinstance(request.embedding_version, UnsetType):
        if len(request.embedding_version) > MAX_VERSION_CHARS:
            raise TooLarge.at("/embedding_version", f"up to {MAX_VERSION_CHARS} characters")
        checked["embedding_version"] = request.embedding_version
    for field, most in (("max_entries", MAX_CACHE_ENTRIES), ("max_bytes", MAX_CACHE_BYTES)):
        value = getattr(request, field)
        if not isinstance(value, UnsetType):
            if not 1 <= value <= most:
                raise InvalidArgument.at(f"/{field}", f"{field} is 1 to {most}")
            checked[field] = value
    if not isinstance(request.reject_margin, UnsetType):
        if not (math.isfinite(request.reject_margin) and 0.0 <= request.reject_margin <= 2.0):
            raise InvalidArgument.at("/reject_margin", "reject_margin is 0 to 2")
        checked["reject_margin"] = request.reject_margin
    if not isinstance(request.metadata, UnsetType):
        checked["metadata"] = checked_metadata(request.metadata, services.settings.limits)
    return checked


def get_cache(services: Services, caller: Caller, path: tuple[str, ...], request: Empty) -> cache_answers.Cache:
    return answer_of(services, caller, services.usable_cache(caller, path[0]))


def list_caches(services: Services, caller: Caller, path: tuple[str, ...], request: ListPage) -> cache_answers.Caches:
    """The caches the caller may use, by name."""
    after = name_after(request)
    page, cursor = page_of(
        (found for found in services.catalog.caches() if found.name > after and sees(found, caller)),
        request, services.settings.limits, lambda document: document.name,
    )  # fmt: skip
    return cache_answers.Caches(caches=[answer_of(services, caller, found) for found in page], next_cursor=cursor)


def update_cache(
    services: Services, caller: Caller, path: tuple[str, ...], request: UpdateCache
) -> cache_answers.Cache:
    """Change what is given, in one commit; raises CacheNotFound, InvalidArgument, TooLarge."""
    changed = _checked(services, request)
    if not isinstance(request.tenants, UnsetType):
        names = request.tenants
        changed["tenants"] = None if names is None else member_ids(services, names, "/tenants")

    def apply(group: Group) -> CacheDocument:
        document = replace(_active(group.txn, path[0]), **changed)
        services.catalog.put_cache(group, document)
        return document

    known = services.usable_cache(caller, path[0])
    with services.caches.use(known) as shard:
        shard.check_reserves(shard.policies, replace(known, **changed))
    document = services.catalog.write(apply)
    with services.caches.use(document) as shard:

        def resize() -> None:  # to what the catalog says by then: of two changes at once the last one counts
            shard.resize(services.catalog.cache_by_id(document.id) or document)

        shard.queue.submit(lambda group: group.after_commit(resize)).result()
    return answer_of(services, caller, document)


def delete_cache(services: Services, caller: Caller, path: tuple[str, ...], request: Empty) -> answers.Done:
    """Nobody finds the cache once this answers; its files go in the background. Raises CacheNotFound."""

    def apply(group: Group) -> CacheDocument:
        document = replace(_active(group.txn, path[0]), state=DELETING)
        services.catalog.hide_cache(group, document)
        return document

    document = services.catalog.write(apply, frees_space=True)
    services.background.submit(_sweep_later, services, document)
    return answers.Done()


def _active(txn: Transaction, name: str) -> CacheDocument:
    known = store.cache_by_name(txn, name)
    if known is None or known.state != ACTIVE:
        raise CacheNotFound("no such cache")
    return known


def finish_interrupted(services: Services) -> None:
    """At start: remove what a crash left half made or half removed."""
    for document in services.catalog.unfinished_caches:
        _sweep(services, document)


def _sweep_later(services: Services, document: CacheDocument) -> None:
    try:
        _sweep(services, document)
    except Exception as exc:  # nobody waits for it, and the next start sweeps again
        logger.error("a deleted cache's files were not removed", exc_info=exc, extra={"id": document.id})


def _sweep(services: Services, document: CacheDocument) -> None:
    services.caches.remove(document.id)
    path = services.directory.cache_path(document.id)
    remove_folder(path.with_name(f"{path.name}.draft"))
    remove_folder(path)
    services.catalog.write(lambda group: store.remove_cache(group.txn, document), frees_space=True)


def answer_of(services: Services, caller: Caller, document: CacheDocument) -> cache_answers.Cache:
    """A cache; whom it lists only admins see."""
    answer = cache_answers.Cache(
        name=document.name,
        id=document.id,
        dimension=document.dimension,
        embedding_version=document.embedding_version,
        max_entries=document.max_entries,
        max_bytes=document.max_bytes,
        reject_margin=document.reject_margin,
        created_at=moment_of(document.created_at_ms),
        metadata=document.metadata,
    )
    if caller.role is Role.ADMIN:
        names = [services.tenant_name(tenant_id) for tenant_id in document.tenants or ()]
        answer.tenants = None if document.tenants is None else [name for name in names if name]
    return answer
