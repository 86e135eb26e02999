"""What the OpenAPI document says of semantic caches beyond their shapes: examples of requests, bounds of fields."""

from typing import Any

from vdb.config import Limits

Schema = dict[str, Any]

CACHE_EXAMPLES: dict[str, Any] = {
    "create_cache": {"name": "answers", "dimension": 3, "embedding_version": "e5-small-2", "max_entries": 50000},
    "update_cache": {"max_entries": 100000, "tenants": ["acme", "globex"]},
    "cache_lookup": {
        "text": "How do I return a parcel?",
        "vector": [1, 0, 0],
        "category": "shipping",
        "model": "large-2",
        "wait_ms": 2000,
    },
    "cache_store": {
        "lookup_id": "9f86d081884c7d65",
        "answer": {"text": "Print the label, then hand it in."},
        "verdict": "right",
        "sources": [{"collection": "notes", "id": "a", "version": 4}],
    },
    "scroll_entries": {"category": "shipping", "limit": 100},
    "cache_feedback": {"lookup_id": "9f86d081884c7d65", "verdict": "wrong"},
    "cache_invalidate": {"source": {"collection": "notes", "id": "a", "owner": "acme"}, "dry_run": True},
    "put_policy": {"mode": "semantic", "max_false_per_request": 0.01, "max_false_per_hit": 0.05, "ttl_s": 3600},
}

_NAME_PATTERN = "^[a-z0-9][a-z0-9_-]{0,63}$"
_SHARES = ("max_false_per_request", "max_false_per_hit", "explore", "ttl_jitter")
_COSINE = {"minimum": -1, "maximum": 1}
_SHARE = {"minimum": 0, "maximum": 1}


def refine_caches(asked: dict[str, Schema], limits: Limits) -> None:
    """Lay the bounds of fields over the request schemas of caches."""
    for name in ("category", "collection", "owner"):
        _bound(
            asked,
            name,
            {"pattern": _NAME_PATTERN},
            ("CacheLookup", "CacheStore", "HitName", "Retrieval", "Source", "SourceName"),
        )
    questions = ("CacheLookup", "CacheStore")
    _bound(
        asked, "text", {"minLength": 1, "maxLength": limits.max_question_bytes}, (*questions, "Example", "Retrieval")
    )
    for name in ("scope", "model", "fingerprint", "turns"):
        _bound(asked, name, {"maxLength": 256}, questions)
    _bound(asked, "load", _SHARE, ("CacheLookup",))
    _bound(asked, "wait_ms", {"minimum": 0, "maximum": 60_000}, ("CacheLookup",))
    _bound(asked, "sources", {"maxItems": limits.max_cached_sources}, ("CacheStore",))
    _bound(asked, "version", {"minimum": 0}, ("Source",))
    _bound(asked, "sequence", {"minimum": 0}, ("Retrieval",))
    _bound(asked, "depth", {"minimum": 1, "maximum": limits.max_limit}, ("Retrieval",))
    _bound(asked, "hits", {"maxItems": limits.max_cached_sources}, ("Retrieval",))
    for name in ("threshold", "example_threshold"):
        _bound(asked, name, _COSINE, ("PutPolicy",))
    for name in _SHARES:
        _bound(asked, name, _SHARE, ("PutPolicy",))
    _bound(asked, "examples", {"maxItems": limits.max_examples_per_category}, ("PutPolicy",))
    _bound(asked, "name", {"pattern": _NAME_PATTERN}, ("CreateCache",))


def _bound(schemas: dict[str, Schema], name: str, bounds: Schema, shapes: tuple[str, ...]) -> None:
    for shape in shapes:
        found = schemas[shape]["properties"].get(name)
        if found is not None:
            choices = [choice for choice in found.get("anyOf", ()) if choice.get("type") != "null"]
            (choices[0] if len(choices) == 1 else found).update(bounds)
