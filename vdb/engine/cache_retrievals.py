"""The search that a stored answer was made from, checked: by a vector, by words, by both, or everything there was."""

import math

import numpy as np
from msgspec import UNSET, UnsetType

from vdb.cache.identity import NO_RETRIEVAL, Identity
from vdb.engine.batch import check_ids
from vdb.engine.cache_questions import checked_text, filter_bytes, key_of
from vdb.engine.owners import named_owner
from vdb.engine.plan import plan_of
from vdb.engine.ranked_plan import wish_of
from vdb.engine.searched_again import kept_search, request_of, searched_by
from vdb.engine.services import Services
from vdb.engine.vectors import matrix_of
from vdb.errors import InvalidArgument, Problem, TooLarge, VdbError
from vdb.protocol.cache_requests import HitName, Retrieval
from vdb.storage.cache_codec import Retrieval as StoredRetrieval
from vdb.storage.catalog import CollectionDocument
from vdb.types import Caller


def stored_retrieval(
    services: Services, caller: Caller, identity: Identity, given: Retrieval | UnsetType
) -> StoredRetrieval | None:
    """The search that the answer was made from; None where it is not told, or only what has to be equal of it.

    Raises CollectionNotFound, InvalidArgument and its kinds, TooLarge.
    """
    if isinstance(given, UnsetType):
        return None
    collection, key = key_of(services, caller, given)
    if identity.retrieval not in (NO_RETRIEVAL, key):
        raise InvalidArgument.at("/retrieval", "the lookup named another collection, filter or limit")
    if isinstance(given.sequence, UnsetType) or given.sequence < 0:
        raise InvalidArgument.at("/retrieval/sequence", "a stored answer's retrieval has the sequence of its search")
    with services.shards.use(collection) as searched:
        if given.sequence > searched.readings.published_sequence:
            raise InvalidArgument.at("/retrieval/sequence", "the collection has not come so far")
    distance = math.inf if isinstance(given.distance, UnsetType) else given.distance
    if math.isnan(distance):
        raise InvalidArgument.at("/retrieval/distance", "a distance is a number")
    made = StoredRetrieval(
        collection=collection.id,
        vector=_vector_bytes(given, collection),
        filter=filter_bytes(given),
        limit=given.limit,
        distance=distance,
        sequence=given.sequence,
        hits=_hits(services, caller, given.hits),
        search=_search(services, collection, given),
    )
    _check_search(services, collection, made)
    return made


def _vector_bytes(given: Retrieval, collection: CollectionDocument) -> bytes:
    if isinstance(given.vector, UnsetType):
        is_needed = given.mode in ("dense", "hybrid") or (given.mode is UNSET and given.text is UNSET)
        if is_needed:
            raise InvalidArgument.at("/retrieval/vector", "a stored answer's retrieval has its vector")
        return b""
    vector = matrix_of([given.vector], collection.dimension, lambda _: "/retrieval/vector")[0]
    return b"" if given.mode in ("sparse", "whole") else np.ascontiguousarray(vector, "<f4").tobytes()


def _search(services: Services, collection: CollectionDocument, given: Retrieval) -> bytes:
    limits = services.settings.limits
    if not isinstance(given.text, UnsetType):
        checked_text(given.text, limits, "/retrieval/text")
    elif given.mode in ("sparse", "hybrid"):
        raise InvalidArgument.at("/retrieval/text", f"mode {given.mode} has a text")
    if not isinstance(given.depth, UnsetType) and not 1 <= given.depth <= limits.max_limit:
        raise InvalidArgument.at("/retrieval/depth", f"depth is 1 to {limits.max_limit}")
    return kept_search(given)


def _hits(services: Services, caller: Caller, given: list[HitName]) -> tuple[tuple[int, bytes], ...]:
    """(owner, id) of hits; that one does not exist, or may not be seen, makes no difference to anyone."""
    most = services.settings.limits.max_cached_sources
    if len(given) > most:
        raise TooLarge.at("/retrieval/hits", f"up to {most} hits")
    found = []
    for i, hit in enumerate(given):
        owner = named_owner(services, caller, hit.owner)
        found.append((owner or 0, check_ids([hit.id], lambda _, i=i: f"/retrieval/hits/{i}/id")[0]))  # type: ignore[misc]
    return tuple(found)


def _check_search(services: Services, collection: CollectionDocument, made: StoredRetrieval) -> None:
    """Raise what making the search again would raise, at the members of the retrieval."""
    by = searched_by(made)
    if by is None or by.mode == "whole":
        return
    request = request_of(made, by)
    try:
        wish_of(services, collection, request, None)
        plan_of(request, services.settings.limits)
    except VdbError as exc:
        problems = tuple(Problem(f"/retrieval{fault.pointer}", fault.detail) for fault in exc.problems)
        raise type(exc)(exc.detail, problems=problems) from exc
