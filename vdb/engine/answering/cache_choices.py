"""Which cache stands in front of a question, in which category: the request's, else the collection's."""

from dataclasses import dataclass
from typing import Literal

from msgspec import UnsetType

from vdb.engine.answering.choices import answering_of
from vdb.engine.cache_questions import MAX_HASH_CHARS
from vdb.engine.services import Services
from vdb.errors import CacheNotFound, TooLarge, UnknownCategory
from vdb.protocol.answer_requests import AnswerCache
from vdb.storage.catalog import CacheDocument, CollectionDocument
from vdb.tenancy.access import check_cache_usable
from vdb.types import Caller

__all__ = ["CacheChoice", "cache_choice"]


@dataclass(frozen=True, slots=True)
class CacheChoice:
    """`refresh`: it is not asked, only filled. `category` None: by the cache's own classifier."""

    document: CacheDocument
    category: str | None
    scope: str
    use: Literal["on", "refresh"]


def cache_choice(
    services: Services,
    caller: Caller,
    collection: CollectionDocument,
    given: AnswerCache | Literal["on", "off", "refresh"] | UnsetType,
    at: str,
) -> CacheChoice | None:
    """The cache that a request wants, or its collection; None for none. `at` is the pointer of the options.

    Raises CacheNotFound, UnknownCategory, TooLarge for what the request names. What the collection names and is no more
    there, or is not for this tenant, counts as none.
    """
    wish = given if isinstance(given, AnswerCache) else AnswerCache()
    use = wish.use if isinstance(given, AnswerCache | UnsetType) else given
    if use == "off":
        return None
    if len(wish.scope) > MAX_HASH_CHARS:
        raise TooLarge.at(f"{at}/cache/scope", f"up to {MAX_HASH_CHARS} characters")
    own = answering_of(collection)
    document = _cache(services, caller, wish, own.cache, at)
    if document is None:
        return None
    with services.caches.use(document) as shard:
        policies = shard.policies
    if not isinstance(wish.category, UnsetType):
        if not policies.is_known(wish.category):
            raise UnknownCategory.at(f"{at}/cache/category", "the cache has no category of that name")
        category: str | None = wish.category
    else:
        category = own.category if own.category is not None and policies.is_known(own.category) else None
    return CacheChoice(document, category, wish.scope, use)


def _cache(
    services: Services, caller: Caller, wish: AnswerCache, of_collection: str | None, at: str
) -> CacheDocument | None:
    try:
        if not isinstance(wish.name, UnsetType):
            return check_cache_usable(services.catalog.cache(wish.name), caller)
        if of_collection is None:
            return None
        return check_cache_usable(services.catalog.cache(of_collection), caller)
    except CacheNotFound as exc:
        if isinstance(wish.name, UnsetType):
            return None
        raise CacheNotFound.at(f"{at}/cache/name", exc.detail) from exc
