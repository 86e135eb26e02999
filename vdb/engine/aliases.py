"""Aliases: other names of collections, in the same set of names. One request sets and removes any number at once.

A request looks its collection up once, so it sees the targets before a change or those after it, never a mix; one that
begins after the change was answered sees the new ones.
"""

from collections.abc import Sequence

from vdb.config import Limits
from vdb.engine.commit import Group
from vdb.engine.listing import name_after, page_of
from vdb.engine.services import Services
from vdb.engine.tenants import check_name
from vdb.errors import (
    AlreadyExists,
    CollectionNotFound,
    Conflict,
    EmptyBatch,
    InvalidArgument,
    LimitReached,
    NotFound,
    TooLarge,
)
from vdb.protocol import answers
from vdb.protocol.requests import ListPage, SetAliases
from vdb.protocol.strict_json import child_pointer
from vdb.storage import catalog as store
from vdb.storage.catalog import ACTIVE, CollectionDocument
from vdb.storage.env import Transaction
from vdb.storage.keyspace import Space, name_key
from vdb.tenancy.access import sees
from vdb.types import Caller


def list_aliases(services: Services, caller: Caller, path: tuple[str, ...], request: ListPage) -> answers.Aliases:
    """The aliases of the collections that the caller may use, by name."""
    after = name_after(request)
    names = services.catalog.names
    visible = (
        (alias, document)
        for alias, target in names.aliases.items()
        if alias > after and (document := names.by_id(target)) is not None and sees(document, caller)
    )
    page, cursor = page_of(visible, request, services.settings.limits, lambda found: found[0])
    found = [answers.Alias(name=alias, collection=document.name) for alias, document in page]
    return answers.Aliases(aliases=found, next_cursor=cursor)


def set_aliases(
    services: Services, caller: Caller, path: tuple[str, ...], request: SetAliases
) -> answers.AliasesChanged:
    """Set and remove aliases, all or none; raises InvalidArgument, NotFound, AlreadyExists, LimitReached."""
    limits = services.settings.limits
    _check(request, limits)

    def apply(group: Group) -> answers.AliasesChanged:
        _check_removed(group.txn, request.remove)
        targets = {alias: _target(group.txn, alias, name) for alias, name in request.set.items()}
        services.catalog.put_aliases(group, {alias: found.id for alias, found in targets.items()}, request.remove)
        if request.set and sum(1 for _ in store.iterate_aliases(group.txn)) > limits.max_aliases:
            raise LimitReached(f"a server holds up to {limits.max_aliases} aliases")
        named = {alias: found.name for alias, found in targets.items()}
        return answers.AliasesChanged(set=named, removed=list(request.remove))

    return services.catalog.write(apply, frees_space=not request.set)


def refuse_alias(txn: Transaction, name: str) -> None:
    """Raise Conflict where a name is an alias: what ends a collection must name the collection itself."""
    if store.alias_target(txn, name) is not None:
        raise Conflict("this is an alias: name the collection itself, or remove the alias")


def _check(request: SetAliases, limits: Limits) -> None:
    if not request.set and not request.remove:
        raise EmptyBatch.at("/set", "no aliases were given")
    for field, n in (("set", len(request.set)), ("remove", len(request.remove))):
        if n > limits.max_aliases:
            raise TooLarge.at(f"/{field}", f"up to {limits.max_aliases} aliases")
    for alias in request.set:
        check_name(alias, child_pointer("/set", alias))
    seen = set(request.set)
    for i, alias in enumerate(request.remove):
        check_name(alias, f"/remove/{i}")
        if alias in seen:
            raise InvalidArgument.at(f"/remove/{i}", "the alias is named twice")
        seen.add(alias)


def _check_removed(txn: Transaction, removed: Sequence[str]) -> None:
    for i, alias in enumerate(removed):
        if store.alias_target(txn, alias) is None:
            raise NotFound.at(f"/remove/{i}", "no such alias")


def _target(txn: Transaction, alias: str, name: str) -> CollectionDocument:
    """The collection that an alias is to lead to."""
    pointer = child_pointer("/set", alias)
    if txn.get(name_key(Space.COLLECTION_NAME, alias)) is not None:
        raise AlreadyExists.at(pointer, "a collection of that name exists")
    document = store.collection_by_name(txn, name)
    if document is None or document.state != ACTIVE:
        raise CollectionNotFound.at(pointer, "no such collection")
    return document
