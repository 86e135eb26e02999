"""Collections: made, changed and removed by admins, safe against a crash at any step.

Creation: catalog `creating` → folder and environment, synced → catalog `active`. Removal: catalog `deleting` (nobody
finds it any more) → environment closed, folder removed → document removed. A start finishes or sweeps the rest.
"""

import logging
from collections.abc import Iterator

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from vdb.engine.commit import Group
from vdb.engine.listing import page_of
from vdb.engine.services import Services
from vdb.engine.shard import epoch_ms
from vdb.engine.tenants import check_name, moment_of
from vdb.errors import AlreadyExists, CollectionNotFound, InvalidArgument, InvalidCursor, LimitReached, TooLarge
from vdb.protocol import answers
from vdb.protocol.requests import CreateCollection, ListPage, UpdateCollection
from vdb.storage import catalog as store
from vdb.storage.catalog import ACTIVE, CREATING, DELETING, CollectionDocument
from vdb.storage.create import create_environment
from vdb.storage.directory import remove_folder
from vdb.storage.keyspace import EVERYONE_ID, META_N_POINTS, META_NEXT_COLLECTION, Space, name_key, number_key
from vdb.storage.meta import read_number, read_sequence, take_number
from vdb.storage.points import read_usage
from vdb.tenancy.access import may_use
from vdb.types import NAME, Caller, Role

logger = logging.getLogger(__name__)

MAX_FIELD_NAME = 512


def create_collection(
    services: Services, caller: Caller, path: tuple[str, ...], request: CreateCollection
) -> answers.Collection:
    """Make a collection; raises AlreadyExists, LimitReached, InvalidArgument."""
    name = check_name(request.name, "/name")
    limits = services.settings.limits
    if not 1 <= request.dimension <= limits.max_dimension:
        raise InvalidArgument.at("/dimension", f"dimension is 1 to {limits.max_dimension}")
    if len(request.fields) > limits.max_fields_per_collection:
        raise TooLarge.at("/fields", f"up to {limits.max_fields_per_collection} declared fields")
    if any(not 1 <= len(field) <= MAX_FIELD_NAME for field in request.fields):
        raise InvalidArgument.at("/fields", f"a field's name has 1 to {MAX_FIELD_NAME} characters")
    members = _members(services, request.tenants)

    def reserve(group: Group) -> CollectionDocument:
        if group.txn.get(name_key(Space.COLLECTION_NAME, name)) is not None:
            raise AlreadyExists("a collection of that name exists")
        if sum(1 for _ in store.iterate_prefix(group.txn, bytes((Space.COLLECTION,)))) >= limits.max_collections:
            raise LimitReached(f"a server holds up to {limits.max_collections} collections")
        document = CollectionDocument(
            id=take_number(group.txn, META_NEXT_COLLECTION),
            name=name,
            state=CREATING,
            dimension=request.dimension,
            metric=request.metric,
            sharing=request.sharing,
            fields=dict(request.fields),
            tenants=members,
            created_at_ms=epoch_ms(),
        )
        services.catalog.put_collection(group, document)
        return document

    reserved = services.catalog.write(reserve)
    document = replace(reserved, state=ACTIVE)
    try:
        _make_environment(services, reserved)
        services.catalog.write(lambda group: services.catalog.put_collection(group, document))
    except Exception:
        # The name is taken and nothing is behind it: take the reservation back, so that a later try can succeed.
        _sweep(services, reserved)
        raise
    return answer_of(services, caller, document)


def get_collection(services: Services, caller: Caller, path: tuple[str, ...], request: object) -> answers.Collection:
    return answer_of(services, caller, services.usable(caller, path[0]))


def list_collections(
    services: Services, caller: Caller, path: tuple[str, ...], request: ListPage
) -> answers.Collections:
    """The collections the caller may use, by name."""
    after = request.cursor or ""
    if after and not NAME.match(after):
        raise InvalidCursor.at("/cursor", "not a cursor of this listing")
    page, cursor = page_of(
        (document for document in _visible(services, caller) if document.name > after),
        request, services.settings.limits, lambda document: document.name,
    )  # fmt: skip
    return answers.Collections(
        collections=[answer_of(services, caller, document) for document in page], next_cursor=cursor
    )


def update_collection(
    services: Services, caller: Caller, path: tuple[str, ...], request: UpdateCollection
) -> answers.Collection:
    """Change the members or who may share."""
    members = None if isinstance(request.tenants, UnsetType) else _members(services, request.tenants)

    def apply(group: Group) -> CollectionDocument:
        known = _active(group, path[0])
        document = replace(
            known,
            tenants=known.tenants if request.tenants is UNSET else members,
            sharing=known.sharing if isinstance(request.sharing, UnsetType) else request.sharing,
        )
        services.catalog.put_collection(group, document)
        group.after_commit(lambda: services.shards.replace_document(document))
        return document

    return answer_of(services, caller, services.catalog.write(apply))


def delete_collection(services: Services, caller: Caller, path: tuple[str, ...], request: object) -> answers.Done:
    """Nobody finds the collection once this answers; its files go in the background."""

    def apply(group: Group) -> CollectionDocument:
        document = replace(_active(group, path[0]), state=DELETING)
        services.catalog.put_collection(group, document)
        group.txn.delete(name_key(Space.COLLECTION_NAME, document.name))
        group.after_commit(lambda: services.catalog.hide_collection(document.name))
        return document

    document = services.catalog.write(apply, frees_space=True)
    services.background.submit(_sweep_later, services, document)
    return answers.Done()


def _active(group: Group, name: str) -> CollectionDocument:
    """The collection as earlier requests of the running commit left it; raises CollectionNotFound."""
    known = store.collection_by_name(group.txn, name) if NAME.match(name) else None
    if known is None or known.state != ACTIVE:
        raise CollectionNotFound("no such collection")
    return known


def finish_interrupted(services: Services) -> None:
    """At start: remove what a crash left half made or half removed."""
    for document in services.catalog.unfinished:
        _sweep(services, document)


def _sweep_later(services: Services, document: CollectionDocument) -> None:
    try:
        _sweep(services, document)
    except Exception as exc:  # nobody waits for it, and the next start sweeps again
        logger.error("a deleted collection's files were not removed", exc_info=exc, extra={"id": document.id})


def _sweep(services: Services, document: CollectionDocument) -> None:
    services.shards.remove(document.id)
    path = services.directory.collection_path(document.id)
    remove_folder(path.with_name(f"{path.name}.draft"))
    remove_folder(path)
    services.ledger.forget_collection(document.id)
    services.catalog.write(lambda group: _forget(group, document), frees_space=True)


def _forget(group: Group, document: CollectionDocument) -> None:
    """Remove the document; its name only while it still means this collection."""
    group.txn.delete(number_key(Space.COLLECTION, document.id))
    if document.state == CREATING:
        group.txn.delete(name_key(Space.COLLECTION_NAME, document.name))


def _make_environment(services: Services, document: CollectionDocument) -> None:
    settings = services.settings
    create_environment(
        services.directory.collection_path(document.id),
        map_bytes=settings.map_bytes,
        max_map_bytes=settings.max_map_bytes,
        collection_id=document.id,
    )


def _members(services: Services, names: list[str] | None) -> list[int] | None:
    """Ids of the tenants that may use a collection; raises InvalidArgument at one that does not exist."""
    if names is None:
        return None
    if len(names) > services.settings.limits.max_tenants_per_collection:
        raise TooLarge.at("/tenants", f"up to {services.settings.limits.max_tenants_per_collection} tenants")
    found = []
    for i, name in enumerate(names):
        tenant_id = services.tenant_id(name)
        if tenant_id is None or tenant_id == EVERYONE_ID:
            raise InvalidArgument.at(f"/tenants/{i}", "no such tenant")
        found.append(tenant_id)
    return sorted(set(found))


def _visible(services: Services, caller: Caller) -> Iterator[CollectionDocument]:
    for document in services.catalog.collections():
        if (caller.tenant is None and not caller.is_bound) or may_use(document, caller.tenant_id):
            yield document


def answer_of(services: Services, caller: Caller, document: CollectionDocument) -> answers.Collection:
    """A collection; a tenant sees the number of its own points, an admin without a tenant all of them."""
    is_whole = caller.role is Role.ADMIN and caller.tenant is None
    with services.shards.use(document) as shard, shard.env.read() as txn:
        sequence = read_sequence(txn)
        n_points = read_number(txn, META_N_POINTS) if is_whole else read_usage(txn, caller.tenant_id or 0)[0]
    answer = answers.Collection(
        name=document.name,
        id=document.id,
        dimension=document.dimension,
        metric=document.metric,
        sharing=document.sharing,
        fields=document.fields,
        created_at=moment_of(document.created_at_ms),
        sequence=sequence,
        n_points=n_points,
    )
    if caller.role is Role.ADMIN:
        names = [services.tenant_name(tenant_id) for tenant_id in document.tenants or ()]
        answer.tenants = None if document.tenants is None else [name for name in names if name]
    return answer
