"""Which requests the thread that takes them answers at once: the event loop, where a server does.

All others go to a pool of threads: what may wait for a disk, and what would hold up everybody else.
"""

from msgspec import UNSET, UnsetType

from vdb.engine.answering.choices import answering_of
from vdb.engine.search import cost_s
from vdb.engine.services import Services
from vdb.protocol.answer_requests import Answer, AnswerCache, AnswerOptions
from vdb.protocol.chat_requests import Chat
from vdb.protocol.columns import SearchHead, UpsertHead
from vdb.protocol.requests import Request, Search, Upsert
from vdb.types import Caller

__all__ = ["INLINE_POINTS", "INLINE_S", "is_quick"]

INLINE_S = 300e-6
"""Searches estimated to take less, hits included, run on the caller's thread."""

INLINE_POINTS = 64
"""Upserts of more points are checked on a thread of the pool."""


def is_quick(services: Services, name: str, caller: Caller, path: tuple[str, ...], request: Request) -> bool:
    """Whether an operation returns, or its answer is begun, within some hundred microseconds, and waits for no disk."""
    if name == "search" and isinstance(request, Search | SearchHead):
        if request.filter is not None:
            return False
        return cost_s(services, caller, path[0], request, _n_queries(request)) < INLINE_S
    if name == "cache_lookup":
        cache = services.catalog.cache(path[0])
        return cache is None or (caller.tenant_id is not None and _is_cache_at_hand(services, cache.id))
    if isinstance(request, Answer):
        return _is_question_at_hand(services, request.collection, request)
    if isinstance(request, Chat):
        options = request.rag if isinstance(request.rag, AnswerOptions) else AnswerOptions()
        return _is_question_at_hand(services, request.model.partition("/")[0], options)
    if name != "upsert" or caller.tenant_id is None or not _is_open(services, path[0]):
        return False
    return _n_points(request) <= INLINE_POINTS and not _names_tenants(request)


def _is_question_at_hand(services: Services, name: str, options: AnswerOptions) -> bool:
    """Whether a question is checked without waiting; it is answered on a thread of its own, whoever has checked it."""
    collection = services.catalog.collection(name)
    if collection is None:
        return True
    shard = services.shards.peek(collection.id)
    is_held = services.catalog.env.is_held  # templates lie there
    if shard is None or shard.env.is_held or is_held or options.filter is not None:
        return False
    wish = options.cache
    if wish == "off":
        return True
    named = wish.name if isinstance(wish, AnswerCache) else UNSET
    cache_name = answering_of(collection).cache if isinstance(named, UnsetType) else named
    cache = None if cache_name is None else services.catalog.cache(cache_name)
    return cache is None or _is_cache_at_hand(services, cache.id)


def _is_cache_at_hand(services: Services, cache_id: int) -> bool:
    """Whether a look-up waits for nothing: while the map has to grow, new transactions wait for those inside."""
    shard = services.caches.peek(cache_id)
    return shard is not None and not shard.env.is_held


def _is_open(services: Services, name: str) -> bool:
    collection = services.catalog.collection(name)
    return collection is None or services.shards.peek(collection.id) is not None


def _n_points(request: Request) -> int:
    return (
        len(request.points)
        if isinstance(request, Upsert)
        else len(request.ids)
        if isinstance(request, UpsertHead)
        else 0
    )


def _names_tenants(request: Request) -> bool:
    """Whether an upsert names an owner or grantees: each is looked up, up to a thousand per point."""
    if isinstance(request, Upsert):
        return request.owner is not UNSET or any(point.shared_with is not UNSET for point in request.points)
    return isinstance(request, UpsertHead) and not (request.owner is UNSET and request.shared_with is UNSET)


def _n_queries(request: Search | SearchHead) -> int:
    if isinstance(request, SearchHead):
        return 1 if request.n_queries is UNSET else int(request.n_queries)
    return len(request.vectors) if isinstance(request.vectors, list) else 1
