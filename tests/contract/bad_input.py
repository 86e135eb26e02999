"""Calls that must fail, and the one code each fails with, in every way to reach the engine."""

from collections.abc import Callable
from typing import Any

X = [1.0, 0.0, 0.0]
NOBODY_KNOWS = "no-such-thing"


def _deep(n: int) -> Any:
    value: Any = {"field": "a", "eq": 1}
    for _ in range(n):
        value = {"not": value}
    return value


Act = Callable[[Any], Any]

BAD_INPUT: list[tuple[str, Act, str]] = [
    ("wrong dimension", lambda docs: docs.upsert(["a"], [[1.0]]), "dimension_mismatch"),
    ("wrong dimension in a search", lambda docs: docs.search([1.0]), "dimension_mismatch"),
    ("a number beyond float32", lambda docs: docs.upsert(["a"], [[1e300, 0, 0]]), "non_finite_vector"),
    ("a query beyond float32", lambda docs: docs.search([1e300, 0, 0]), "non_finite_vector"),
    ("no points", lambda docs: docs.upsert([], []), "empty_batch"),
    ("an id twice", lambda docs: docs.upsert(["a", "a"], [X, X]), "duplicate_id"),
    ("an empty id", lambda docs: docs.upsert([""], [X]), "invalid_id"),
    ("a long id", lambda docs: docs.upsert(["x" * 257], [X]), "invalid_id"),
    ("a control character in an id", lambda docs: docs.upsert(["a\n"], [X]), "invalid_id"),
    ("an id that is a number", lambda docs: docs.upsert([5], [X]), "invalid_argument"),
    ("a large payload", lambda docs: docs.upsert(["a"], [X], [{"x": "y" * 70_000}]), "payload_too_large"),
    ("a payload that is a list", lambda docs: docs.upsert(["a"], [X], [[1]]), "invalid_argument"),
    ("a deep payload", lambda docs: docs.upsert(["a"], [X], [_deep(40)]), "nested_too_deep"),
    ("an integer beyond 64 bits", lambda docs: docs.upsert(["a"], [X], [{"n": 2**64}]), "integer_out_of_range"),
    ("a foreign owner", lambda docs: docs.upsert(["a"], [X], owner="someone"), "point_not_found"),
    ("a limit that is text", lambda docs: docs.search(X, limit="x"), "invalid_argument"),
    ("a limit of nothing", lambda docs: docs.search(X, limit=0), "invalid_argument"),
    ("a limit beyond the cap", lambda docs: docs.search(X, limit=10**6), "invalid_argument"),
    ("a limit beyond 64 bits", lambda docs: docs.search(X, limit=2**70), "integer_out_of_range"),
    ("an exact search with a recall", lambda docs: docs.search(X, exact=True, recall=0.9), "invalid_argument"),
    ("an exact search with a budget", lambda docs: docs.search(X, exact=True, budget=9), "invalid_argument"),
    ("an exact search with a rerank", lambda docs: docs.search(X, exact=True, rerank=99), "invalid_argument"),
    ("exact that is a number", lambda docs: docs.search(X, exact=1), "invalid_argument"),
    ("a recall of 1", lambda docs: docs.search(X, recall=1), "invalid_argument"),
    ("a recall below the least", lambda docs: docs.search(X, recall=0.49), "invalid_argument"),
    ("a recall that is true", lambda docs: docs.search(X, recall=True), "invalid_argument"),
    ("a recall that is text", lambda docs: docs.search(X, recall="0.9"), "invalid_argument"),
    ("a recall of False", lambda docs: docs.search(X, recall=False), "invalid_argument"),
    ("a budget of nothing", lambda docs: docs.search(X, budget=0), "invalid_argument"),
    ("a budget beyond 31 bits", lambda docs: docs.search(X, budget=2**31), "invalid_argument"),
    ("a budget beyond 64 bits", lambda docs: docs.search(X, budget=2**64), "integer_out_of_range"),
    ("a budget that is a fraction", lambda docs: docs.search(X, budget=10.5), "invalid_argument"),
    ("a rerank below the limit", lambda docs: docs.search(X, rerank=9), "invalid_argument"),
    ("a rerank beyond the cap", lambda docs: docs.search(X, rerank=10_001), "invalid_argument"),
    ("a rerank beyond 64 bits", lambda docs: docs.search(X, rerank=-(2**64)), "integer_out_of_range"),
    ("a negative distance", lambda docs: docs.search(X, max_distance="far"), "invalid_argument"),
    ("a filter without an operator", lambda docs: docs.search(X, filter={"field": "a"}), "invalid_filter"),
    ("a filter of an unknown operator", lambda docs: docs.count({"field": "a", "like": 1}), "unknown_field"),
    ("a filter that is text", lambda docs: docs.count("a = 1"), "invalid_filter"),
    ("a deep filter", lambda docs: docs.count(_deep(40)), "nested_too_deep"),
    (
        "an integer of a filter beyond 64 bits",
        lambda docs: docs.count({"field": "a", "eq": 2**64}),
        "integer_out_of_range",
    ),
    ("a scope of another kind", lambda docs: docs.count(scope="all"), "invalid_argument"),
    ("no ids", lambda docs: docs.get([]), "empty_batch"),
    ("a page of nothing", lambda docs: list(docs.scroll(page_size=0)), "invalid_argument"),
    ("neither ids nor filter", lambda docs: docs.delete(), "invalid_argument"),
    ("ids and filter", lambda docs: docs.delete(["a"], filter={"field": "a", "eq": 1}), "invalid_argument"),
    ("a mode of another kind", lambda docs: docs.update_payload(["a"], {}, "add"), "invalid_argument"),
    ("a version that is text", lambda docs: docs.upsert(["a"], [X], if_version="x"), "invalid_argument"),
]
"""What, the call on a collection of dimension 3, the code."""

BAD_MANAGEMENT: list[tuple[Callable[[Any, str], Any], str]] = [
    (lambda admin, name: admin.create_collection("Not A Name", 3), "invalid_argument"),
    (lambda admin, name: admin.create_collection(name, 0), "invalid_argument"),
    (lambda admin, name: admin.create_collection(name, 10**6), "invalid_argument"),
    (lambda admin, name: admin.create_collection(name, "3"), "invalid_argument"),
    (lambda admin, name: admin.create_collection(name, 3, "hamming"), "invalid_argument"),
    (lambda admin, name: admin.create_collection(name, 3, sharing="all"), "invalid_argument"),
    (lambda admin, name: admin.create_collection(name, 3, fields={"a": "text"}), "invalid_argument"),
    (lambda admin, name: admin.create_tenant("Not A Name"), "invalid_argument"),
    (lambda admin, name: admin.create_tenant(name, -1), "invalid_argument"),
    (lambda admin, name: admin.get_collection(NOBODY_KNOWS), "collection_not_found"),
    (lambda admin, name: admin.collection(NOBODY_KNOWS, tenant=name).search(X), "collection_not_found"),
    (lambda admin, name: admin.get_tenant(NOBODY_KNOWS), "tenant_not_found"),
    (lambda admin, name: admin.get_key(NOBODY_KNOWS), "key_not_found"),
]
"""The call with an admin and a name that is free, and the code."""
