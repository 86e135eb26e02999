"""The operations on semantic caches; part of the table in `vdb.protocol.operations`."""

from vdb.protocol import answers, cache_answers, cache_requests, requests
from vdb.protocol.operation import Operation

_CACHE = "/v1/caches/{cache}"
_POLICY = f"{_CACHE}/policies/{{category}}"

CACHE_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "create_cache",
        "POST",
        "/v1/caches",
        cache_requests.CreateCache,
        cache_answers.Cache,
        "admin",
        "Create a semantic cache",
        created=True,
    ),
    Operation(
        "list_caches", "GET", "/v1/caches", requests.ListPage, cache_answers.Caches, "any", "Caches the key may use"
    ),
    Operation("get_cache", "GET", _CACHE, requests.Empty, cache_answers.Cache, "any", "Describe a cache"),
    Operation(
        "update_cache",
        "PATCH",
        _CACHE,
        cache_requests.UpdateCache,
        cache_answers.Cache,
        "admin",
        "Change members, bounds, embedding version, metadata",
    ),
    Operation("delete_cache", "DELETE", _CACHE, requests.Empty, answers.Done, "admin", "Delete a cache"),
    Operation(
        "cache_lookup",
        "POST",
        f"{_CACHE}/lookup",
        cache_requests.CacheLookup,
        cache_answers.LookupAnswer,
        "read",
        "Is there an answer to this question?",
    ),
    Operation(
        "cache_store",
        "POST",
        f"{_CACHE}/entries",
        cache_requests.CacheStore,
        cache_answers.Stored,
        "write",
        "Store an answer, and say whether the candidate was right",
    ),
    Operation(
        "scroll_entries",
        "POST",
        f"{_CACHE}/entries/scroll",
        cache_requests.ScrollEntries,
        cache_answers.Entries,
        "read",
        "Page through the tenant's entries",
    ),
    Operation(
        "get_entry",
        "GET",
        f"{_CACHE}/entries/{{entry}}",
        requests.Empty,
        cache_answers.CachedEntry,
        "read",
        "One of the tenant's entries",
    ),
    Operation(
        "cache_feedback",
        "POST",
        f"{_CACHE}/feedback",
        cache_requests.CacheFeedback,
        cache_answers.FeedbackAnswer,
        "write",
        "Report that a served answer was wrong, or right",
    ),
    Operation(
        "cache_invalidate",
        "POST",
        f"{_CACHE}/invalidate",
        cache_requests.CacheInvalidate,
        cache_answers.Invalidated,
        "remove",
        "Remove entries by id, source, tenant, category or embedding version",
    ),
    Operation(
        "cache_stats", "GET", f"{_CACHE}/stats", requests.Empty, cache_answers.CacheStats, "any", "Figures by category"
    ),
    Operation(
        "list_policies", "GET", f"{_CACHE}/policies", requests.Empty, cache_answers.Policies, "any", "All policies"
    ),
    Operation("get_policy", "GET", _POLICY, requests.Empty, cache_answers.Policy, "any", "A category's policy"),
    Operation(
        "put_policy",
        "PUT",
        _POLICY,
        cache_requests.PutPolicy,
        cache_answers.Policy,
        "admin",
        "Put a category's policy, whole",
    ),
    Operation("delete_policy", "DELETE", _POLICY, requests.Empty, answers.Done, "admin", "Remove a category"),
)
