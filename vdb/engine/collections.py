"""Collections: made, changed and removed by admins, safe against a crash at any step.

Creation: catalog `creating` → folder and environment, synced → catalog `active`. Removal: catalog `deleting` (nobody
finds it any more) → environment closed, folder removed → document removed. A start finishes or sweeps the rest.
"""

import logging
from typing import Any

from msgspec import UnsetType
from msgspec.structs import replace

from vdb.engine.aliases import refuse_alias
from vdb.engine.answering.choices import answering_answer, checked_answering
from vdb.engine.answering.templates import check_named
from vdb.engine.commit import Group
from vdb.engine.fusions import checked_fusion, fusion_answer
from vdb.engine.indexes import checked_indexes, states_of
from vdb.engine.jobs import start_indexing
from vdb.engine.labels import checked_embedding, checked_metadata, embedding_answer
from vdb.engine.listing import name_after, page_of
from vdb.engine.members import member_change, member_ids
from vdb.engine.models import check_embedding
from vdb.engine.services import Services
from vdb.engine.shard import epoch_ms
from vdb.engine.tenants import check_name, moment_of
from vdb.engine.text_indexes import checked_text, text_answer, wanted_text
from vdb.engine.tiers import Sizes, check_fits, checked_memory_bytes
from vdb.errors import AlreadyExists, CollectionNotFound, InvalidArgument, LimitReached, TooLarge
from vdb.protocol import answers
from vdb.protocol.requests import CreateCollection, ListPage, UpdateCollection
from vdb.storage import catalog as store
from vdb.storage.catalog import ACTIVE, CREATING, DELETING, CollectionDocument
from vdb.storage.create import create_environment
from vdb.storage.directory import remove_folder
from vdb.storage.env import Transaction
from vdb.storage.keyspace import META_N_POINTS, META_NEXT_COLLECTION, Space, name_key, number_key
from vdb.storage.meta import read_number, read_sequence, take_number
from vdb.storage.points import read_totals, read_usage
from vdb.storage.templates import remove_templates
from vdb.tenancy.access import sees
from vdb.types import Caller, Role

logger = logging.getLogger(__name__)

MAX_FIELD_NAME = 512


def create_collection(
    services: Services, caller: Caller, path: tuple[str, ...], request: CreateCollection
) -> answers.Collection:
    """Make a collection; raises AlreadyExists, LimitReached, InvalidArgument, ModelMismatch."""
    name = check_name(request.name, "/name")
    limits = services.settings.limits
    if not 1 <= request.dimension <= limits.max_dimension:
        raise InvalidArgument.at("/dimension", f"dimension is 1 to {limits.max_dimension}")
    if len(request.fields) > limits.max_fields_per_collection:
        raise TooLarge.at("/fields", f"up to {limits.max_fields_per_collection} declared fields")
    if any(not 1 <= len(field) <= MAX_FIELD_NAME for field in request.fields):
        raise InvalidArgument.at("/fields", f"a field's name has 1 to {MAX_FIELD_NAME} characters")
    members = None if request.tenants is None else member_ids(services, request.tenants, "/tenants")
    embedding, metadata = checked_embedding(request.embedding, limits), checked_metadata(request.metadata, limits)
    check_embedding(services.models, embedding, request.dimension)
    indexes = checked_indexes(request.indexes, request.fields, limits)
    memory_bytes, text = checked_memory_bytes(request.memory_bytes), checked_text(request.text)
    answering = checked_answering(services, request.answering)

    def reserve(group: Group) -> CollectionDocument:
        _check_free(group.txn, name)
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
            embedding=embedding,
            metadata=metadata,
            indexes=indexes,
            tier=request.tier,
            memory_bytes=memory_bytes,
            text=text,
            answering=answering,
        )
        check_named(group.txn, document.id, answering)
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
    after = name_after(request)
    page, cursor = page_of(
        (found for found in services.catalog.collections() if found.name > after and sees(found, caller)),
        request, services.settings.limits, lambda document: document.name,
    )  # fmt: skip
    found = [_answer_unless_gone(services, caller, document) for document in page]
    return answers.Collections(collections=[answer for answer in found if answer is not None], next_cursor=cursor)


def _answer_unless_gone(services: Services, caller: Caller, document: CollectionDocument) -> answers.Collection | None:
    try:
        return answer_of(services, caller, document)
    except CollectionNotFound:  # deleted since the page was made
        return None


def update_collection(
    services: Services, caller: Caller, path: tuple[str, ...], request: UpdateCollection
) -> answers.Collection:
    """Rename, change members, sharing, embedding, metadata or tier: what is given, in one commit.

    Raises InvalidArgument (also for a cap of memory below what its points need), TooLarge, CollectionNotFound,
    AlreadyExists (the name), Conflict (members of an open one), ModelMismatch.
    Indexes that are new, also one of texts, are built by a job of that commit.
    """
    members = member_change(services, request)
    changed = _changed_fields(services, request)
    _check_room(services, path[0], changed)

    def apply(group: Group) -> CollectionDocument:
        known = _active(group.txn, path[0])
        document = replace(known, tenants=members.apply(known.tenants), **changed)
        if "answering" in changed:
            check_named(group.txn, known.id, document.answering)
        if "embedding" in changed:
            check_embedding(services.models, document.embedding, known.dimension)
        if document.name != known.name:
            _check_free(group.txn, document.name)
        if not isinstance(request.indexes, UnsetType):
            indexes = checked_indexes(request.indexes, known.fields, services.settings.limits)
            document = replace(document, indexes=indexes)
        if _wants_indexing(known, document):
            start_indexing(group, known.id)
        services.catalog.put_collection(group, document, known)
        return document

    return answer_of(services, caller, services.catalog.write(apply))


def _wants_indexing(known: CollectionDocument, document: CollectionDocument) -> bool:
    """Whether payload indexes or the text index are to be others than they were."""
    if set(document.indexes) != set(known.indexes) or (document.text is None) != (known.text is None):
        return True
    return document.text is not None and not document.text.is_same_index(known.text)


def _changed_fields(services: Services, request: UpdateCollection) -> dict[str, Any]:
    """The fields of the document that a request gives, members apart."""
    changed: dict[str, Any] = {}
    limits = services.settings.limits
    if not isinstance(request.name, UnsetType):
        changed["name"] = check_name(request.name, "/name")
    if not isinstance(request.sharing, UnsetType):
        changed["sharing"] = request.sharing
    if not isinstance(request.embedding, UnsetType):
        changed["embedding"] = checked_embedding(request.embedding, limits)
    if not isinstance(request.metadata, UnsetType):
        changed["metadata"] = checked_metadata(request.metadata, limits)
    if not isinstance(request.tier, UnsetType):
        changed["tier"] = request.tier
    if not isinstance(request.memory_bytes, UnsetType):
        changed["memory_bytes"] = checked_memory_bytes(request.memory_bytes)
    if not isinstance(request.fusion, UnsetType):
        changed["fusion"] = checked_fusion(request.fusion)
    if not isinstance(request.text, UnsetType):
        changed["text"] = checked_text(request.text)
    if not isinstance(request.answering, UnsetType):
        changed["answering"] = checked_answering(services, request.answering)
    return changed


def _check_room(services: Services, name: str, changed: dict[str, Any]) -> None:
    """Raise InvalidArgument where the points that there are would not fit: later ones may still be too many."""
    known = services.catalog.collection(name) if changed.keys() & {"tier", "memory_bytes"} else None
    if known is None:
        return
    tier, memory_bytes = changed.get("tier", known.tier), changed.get("memory_bytes", known.memory_bytes)
    with services.shards.use(known) as shard, shard.env.read() as txn:
        sizes = Sizes.of(read_totals(txn), known.dimension)
    check_fits(tier, memory_bytes, sizes, "/memory_bytes" if "memory_bytes" in changed else "/tier")


def delete_collection(services: Services, caller: Caller, path: tuple[str, ...], request: object) -> answers.Done:
    """Nobody finds the collection or its aliases once this answers; its files go in the background.

    Raises CollectionNotFound, Conflict (the name is an alias).
    """

    def apply(group: Group) -> CollectionDocument:
        refuse_alias(group.txn, path[0])
        document = replace(_active(group.txn, path[0]), state=DELETING)
        services.catalog.put_collection(group, document)
        services.catalog.hide_collection(group, document)
        return document

    document = services.catalog.write(apply, frees_space=True)
    services.background.submit(_sweep_later, services, document)
    return answers.Done()


def _active(txn: Transaction, name: str) -> CollectionDocument:
    """The collection of a name or alias, as earlier requests of the running commit left it; CollectionNotFound."""
    target = store.alias_target(txn, name)
    known = store.collection_by_name(txn, name) if target is None else store.collection_by_id(txn, target)
    if known is None or known.state != ACTIVE:
        raise CollectionNotFound("no such collection")
    return known


def _check_free(txn: Transaction, name: str) -> None:
    """Raise AlreadyExists where a collection, even one in the making, or an alias has the name."""
    if store.is_name_taken(txn, name):
        raise AlreadyExists.at("/name", "a collection or alias of that name exists")


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
    remove_templates(group.txn, document.id)
    if document.state == CREATING:
        group.txn.delete(name_key(Space.COLLECTION_NAME, document.name))


def _make_environment(services: Services, document: CollectionDocument) -> None:
    settings = services.settings
    create_environment(
        services.directory.collection_path(document.id),
        map_bytes=settings.map_bytes,
        max_map_bytes=settings.max_map_bytes,
        collection_id=document.id,
        indexes=document.indexed_fields,
        text=wanted_text(document),
    )


def answer_of(services: Services, caller: Caller, document: CollectionDocument) -> answers.Collection:
    """A collection; a tenant sees the number of its own points, an admin without a tenant all of them."""
    is_whole = caller.role is Role.ADMIN and caller.tenant is None
    with services.shards.use(document) as shard, shard.env.read() as txn:
        sequence = read_sequence(txn)
        indexes, text = states_of(txn, document), text_answer(txn, document)
        n_points = read_number(txn, META_N_POINTS) if is_whole else read_usage(txn, caller.tenant_id or 0).points
    answer = answers.Collection(
        name=document.name,
        id=document.id,
        dimension=document.dimension,
        metric=document.metric,
        sharing=document.sharing,
        fields=document.fields,
        indexes=indexes,
        created_at=moment_of(document.created_at_ms),
        sequence=sequence,
        n_points=n_points,
        aliases=services.catalog.names.aliases_of(document.id),
        embedding=embedding_answer(document.embedding),
        metadata=document.metadata,
        tier=document.tier,
        memory_bytes=document.memory_bytes,
        fusion=fusion_answer(document.fusion),
        text=text,
        answering=answering_answer(document.answering),
    )
    if caller.role is Role.ADMIN:
        names = [services.tenant_name(tenant_id) for tenant_id in document.tenants or ()]
        answer.tenants = None if document.tenants is None else [name for name in names if name]
    return answer
