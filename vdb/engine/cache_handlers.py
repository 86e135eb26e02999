"""Which use case answers which operation on caches."""

from collections.abc import Callable
from typing import Any

from vdb.engine import caches
from vdb.engine.cache_entries import cache_feedback, cache_invalidate, get_entry, scroll_entries
from vdb.engine.cache_lookup import cache_lookup
from vdb.engine.cache_policies import delete_policy, get_policy, list_policies, put_policy
from vdb.engine.cache_stats import cache_stats
from vdb.engine.cache_store import cache_store
from vdb.engine.services import Services
from vdb.types import Caller

CACHE_HANDLERS: dict[str, Callable[[Services, Caller, tuple[str, ...], Any], Any]] = {
    "create_cache": caches.create_cache,
    "list_caches": caches.list_caches,
    "get_cache": caches.get_cache,
    "update_cache": caches.update_cache,
    "delete_cache": caches.delete_cache,
    "cache_lookup": cache_lookup,
    "cache_store": cache_store,
    "cache_feedback": cache_feedback,
    "cache_invalidate": cache_invalidate,
    "cache_stats": cache_stats,
    "get_entry": get_entry,
    "scroll_entries": scroll_entries,
    "list_policies": list_policies,
    "get_policy": get_policy,
    "put_policy": put_policy,
    "delete_policy": delete_policy,
}
