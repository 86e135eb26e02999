"""Calls on caches that must fail: the code and the pointer each fails with, in every way to reach the engine.

The cache has dimension 3 and the category `faq`; `found` is the id of a look-up that missed.
"""

from collections.abc import Callable
from typing import Any

X = [1.0, 0.0, 0.0]
HEX = "0123456789abcdef"
WHO = "Who?"

ONE_MORE = "a" * 257


def _source(**changed: Any) -> dict[str, Any]:
    return {"sources": [{"collection": "no-such-thing", "id": "a", "version": 1} | changed]}


Act = Callable[[Any, str], Any]

BAD_LOOKUPS: list[tuple[str, Act, str, str]] = [
    ("no text", lambda cache, found: cache.lookup("", X), "invalid_argument", "/text"),
    ("white space", lambda cache, found: cache.lookup(" \n ", X), "invalid_argument", "/text"),
    ("a text that is a number", lambda cache, found: cache.lookup(5, X), "invalid_argument", "/text"),
    ("a long text", lambda cache, found: cache.lookup("a" * 65_537, X), "too_large", "/text"),
    ("a zero vector", lambda cache, found: cache.lookup(WHO, [0.0] * 3), "invalid_argument", "/vector"),
    ("a wrong dimension", lambda cache, found: cache.lookup(WHO, [1.0]), "dimension_mismatch", "/vector"),
    ("a number beyond float32", lambda cache, found: cache.lookup(WHO, [1e300, 0, 0]), "non_finite_vector", "/vector"),
    ("another category", lambda cache, found: cache.lookup(WHO, X, category="x"), "unknown_category", "/category"),
    ("a category no name", lambda cache, found: cache.lookup(WHO, X, category="A b"), "unknown_category", "/category"),
    (
        "a category that is a number",
        lambda cache, found: cache.lookup(WHO, category=1),
        "invalid_argument",
        "/category",
    ),
    ("a long scope", lambda cache, found: cache.lookup(WHO, scope=ONE_MORE), "too_large", "/scope"),
    ("a long model", lambda cache, found: cache.lookup(WHO, model=ONE_MORE), "too_large", "/model"),
    ("a long fingerprint", lambda cache, found: cache.lookup(WHO, fingerprint=ONE_MORE), "too_large", "/fingerprint"),
    ("long turns", lambda cache, found: cache.lookup(WHO, turns=ONE_MORE), "too_large", "/turns"),
    ("a load above 1", lambda cache, found: cache.lookup(WHO, load=1.01), "invalid_argument", "/load"),
    ("a load below 0", lambda cache, found: cache.lookup(WHO, load=-0.01), "invalid_argument", "/load"),
    ("a load that is text", lambda cache, found: cache.lookup(WHO, load="full"), "invalid_argument", "/load"),
    ("a negative wait", lambda cache, found: cache.lookup(WHO, wait_ms=-1), "invalid_argument", "/wait_ms"),
    ("a long wait", lambda cache, found: cache.lookup(WHO, wait_ms=60_001), "invalid_argument", "/wait_ms"),
    (
        "a wait beyond 64 bits",
        lambda cache, found: cache.lookup(WHO, wait_ms=2**64),
        "integer_out_of_range",
        "/wait_ms",
    ),
    (
        "a retrieval elsewhere",
        lambda cache, found: cache.lookup(WHO, retrieval={"collection": "no-such-thing", "limit": 3}),
        "collection_not_found",
        "",
    ),
    (
        "a retrieval of more fields",
        lambda cache, found: cache.lookup(WHO, retrieval={"collection": "a", "limit": 3, "k": 3}),
        "unknown_field",
        "/retrieval/k",
    ),
]

BAD_STORES: list[tuple[str, Act, str, str]] = [
    ("no answer", lambda cache, found: cache.store(found), "invalid_argument", "/answer"),
    ("a large answer", lambda cache, found: cache.store(found, "a" * 1_048_576), "answer_too_large", "/answer"),
    (
        "an integer beyond 64 bits",
        lambda cache, found: cache.store(found, {"n": 2**64}),
        "integer_out_of_range",
        "/answer/n",
    ),
    ("a lookup that never was", lambda cache, found: cache.store(HEX, "I."), "lookup_not_found", ""),
    ("a lookup id of another form", lambda cache, found: cache.store("x", "I."), "lookup_not_found", ""),
    ("what the lookup knows", lambda cache, found: cache.store(found, "I.", text=WHO), "invalid_argument", "/text"),
    (
        "a category beside it",
        lambda cache, found: cache.store(found, "I.", category="faq"),
        "invalid_argument",
        "/category",
    ),
    ("a scope beside it", lambda cache, found: cache.store(found, "I.", scope="me"), "invalid_argument", "/scope"),
    ("neither lookup nor text", lambda cache, found: cache.store(None, "I."), "invalid_argument", "/text"),
    ("a lease that never was", lambda cache, found: cache.store(found, "I.", lease=HEX), "lease_expired", "/lease"),
    (
        "an outcome of another kind",
        lambda cache, found: cache.store(found, "I.", outcome="x"),
        "invalid_argument",
        "/outcome",
    ),
    (
        "a verdict of another kind",
        lambda cache, found: cache.store(found, "I.", verdict="x"),
        "invalid_argument",
        "/verdict",
    ),
    ("no time to live", lambda cache, found: cache.store(found, "I.", ttl_s=0), "invalid_argument", "/ttl_s"),
    ("sources elsewhere", lambda cache, found: cache.store(found, "I.", **_source()), "collection_not_found", ""),
    (
        "a source without a version",
        lambda cache, found: cache.store(found, "I.", sources=[{"collection": "a", "id": "a"}]),
        "invalid_argument",
        "/sources/0/version",
    ),
    (
        "too many sources",
        lambda cache, found: cache.store(found, "I.", sources=[_source()["sources"][0]] * 257),
        "too_large",
        "/sources",
    ),
    (
        "another category of a new text",
        lambda cache, found: cache.store(None, "I.", text=WHO, category="x"),
        "unknown_category",
        "/category",
    ),
    (
        "a zero vector stored",
        lambda cache, found: cache.store(None, "I.", text=WHO, vector=[0.0] * 3),
        "invalid_argument",
        "/vector",
    ),
    (
        "a wrong dimension stored",
        lambda cache, found: cache.store(None, "I.", text=WHO, vector=[1.0]),
        "dimension_mismatch",
        "/vector",
    ),
    ("feedback on nothing", lambda cache, found: cache.feedback(), "invalid_argument", "/lookup_id"),
    (
        "feedback on two things",
        lambda cache, found: cache.feedback(found, entry_id=HEX),
        "invalid_argument",
        "/lookup_id",
    ),
    ("feedback on what was not served", lambda cache, found: cache.feedback(found), "invalid_argument", "/lookup_id"),
    ("feedback on a lookup that never was", lambda cache, found: cache.feedback(HEX), "lookup_not_found", ""),
    ("feedback on no entry id", lambda cache, found: cache.feedback(entry_id="x"), "invalid_argument", "/entry_id"),
    (
        "feedback of another kind",
        lambda cache, found: cache.feedback(entry_id=HEX, verdict="x"),
        "invalid_argument",
        "/verdict",
    ),
    ("an entry that never was", lambda cache, found: cache.get_entry(HEX), "entry_not_found", ""),
    ("an entry id of another form", lambda cache, found: cache.get_entry("x"), "entry_not_found", ""),
    ("nothing to invalidate", lambda cache, found: cache.invalidate(), "empty_batch", ""),
    ("an id of another form", lambda cache, found: cache.invalidate(["x"]), "invalid_argument", "/entry_ids/0"),
    ("too many ids", lambda cache, found: cache.invalidate([HEX] * 1_001), "too_large", "/entry_ids"),
    ("another's entries", lambda cache, found: cache.invalidate(tenant="no-such-thing"), "forbidden", ""),
    (
        "a source elsewhere",
        lambda cache, found: cache.invalidate(source={"collection": "no-such-thing"}),
        "collection_not_found",
        "",
    ),
    ("a page of nothing", lambda cache, found: list(cache.entries(page_size=0)), "invalid_argument", "/limit"),
    ("a page too long", lambda cache, found: list(cache.entries(page_size=1_001)), "invalid_argument", "/limit"),
]
"""What, the call on a tenant's cache with the id of a look-up that missed, the code, the pointer."""

BAD_POLICIES: list[tuple[dict[str, Any], str, str]] = [
    ({"threshold": 1.01}, "invalid_argument", "/threshold"),
    ({"threshold": -1.01}, "invalid_argument", "/threshold"),
    ({"example_threshold": 1.5}, "invalid_argument", "/example_threshold"),
    ({"mode": "always"}, "invalid_argument", "/mode"),
    ({"max_false_per_request": -0.1}, "invalid_argument", "/max_false_per_request"),
    ({"max_false_per_hit": 1.1}, "invalid_argument", "/max_false_per_hit"),
    ({"explore": 2}, "invalid_argument", "/explore"),
    ({"ttl_s": 0}, "invalid_argument", "/ttl_s"),
    ({"ttl_s": 1e9}, "invalid_argument", "/ttl_s"),
    ({"ttl_jitter": 1.5}, "invalid_argument", "/ttl_jitter"),
    ({"reserve_entries": -1}, "invalid_argument", "/reserve_entries"),
    ({"reserve_entries": 2, "max_entries": 1}, "invalid_argument", "/reserve_entries"),
    ({"max_bytes": 2**64}, "integer_out_of_range", "/max_bytes"),
    ({"relax_similarity": 3}, "invalid_argument", "/relax_similarity"),
    ({"relax_ttl": -1}, "invalid_argument", "/relax_ttl"),
    ({"compare": "judge"}, "invalid_argument", "/judge_url"),
    ({"judge_url": "http://127.0.0.1/"}, "invalid_argument", "/judge_url"),
    ({"compare": "judge", "judge_url": "file:///etc/passwd"}, "invalid_argument", "/judge_url"),
    ({"compare": "judge", "judge_url": "http://a:b@127.0.0.1/"}, "invalid_argument", "/judge_url"),
    ({"compare": "judge", "judge_url": "http://["}, "invalid_argument", "/judge_url"),
    ({"compare": "judge", "judge_url": "http://127.0.0.1:99999/"}, "invalid_argument", "/judge_url"),
    ({"compare": "judge", "judge_url": "http://a\n.com/"}, "invalid_argument", "/judge_url"),
    ({"examples": [{"text": "", "vector": X}]}, "invalid_argument", "/examples/0/text"),
    ({"examples": [{"text": WHO, "vector": [0.0] * 3}]}, "invalid_argument", "/examples/0/vector"),
    ({"examples": [{"text": WHO, "vector": [1.0]}]}, "dimension_mismatch", "/examples/0/vector"),
    ({"treshold": 0.9}, "unknown_field", "/treshold"),
]
"""A policy, the code, the pointer."""

BAD_CACHES: list[tuple[Callable[[Any, str], Any], str]] = [
    (lambda admin, name: admin.create_cache("Not A Name", 3), "invalid_argument"),
    (lambda admin, name: admin.create_cache(name, 0), "invalid_argument"),
    (lambda admin, name: admin.create_cache(name, 10**6), "invalid_argument"),
    (lambda admin, name: admin.create_cache(name, 3, max_entries=0), "invalid_argument"),
    (lambda admin, name: admin.create_cache(name, 3, max_bytes=2**60), "invalid_argument"),
    (lambda admin, name: admin.create_cache(name, 3, reject_margin=-1), "invalid_argument"),
    (lambda admin, name: admin.create_cache(name, 3, embedding_version=ONE_MORE), "too_large"),
    (lambda admin, name: admin.create_cache(name, 3, tenants=["no-such-thing"]), "invalid_argument"),
    (lambda admin, name: admin.create_cache(name, 3, metadata={"a": 1}), "invalid_argument"),
    (lambda admin, name: admin.get_cache("no-such-thing"), "cache_not_found"),
    (lambda admin, name: admin.update_cache("no-such-thing", max_entries=5), "cache_not_found"),
    (lambda admin, name: admin.delete_cache("no-such-thing"), "cache_not_found"),
    (lambda admin, name: admin.cache("no-such-thing", tenant=name).lookup(WHO), "cache_not_found"),
    (lambda admin, name: admin.cache("no-such-thing").stats(), "cache_not_found"),
]
"""The call with an admin and a name that is free, and the code."""
