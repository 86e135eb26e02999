"""Bad input over HTTP: every fault has its own code and status, points at its place, and changes nothing."""

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import vdb.testing
from tests.api.live import Live
from vdb.config import Limits
from vdb.protocol.columns import MEDIA_TYPE, join_frame

POINT = {"id": "a", "vector": [1, 0, 0], "payload": {"lang": "en", "year": 2024}}
NAN = base64.b64encode(np.array([1, np.nan, 0], "<f4").tobytes()).decode()
LONG = "x" * (Limits().max_payload_bytes + 1)
DEEP = '{"x":' * 33 + "1" + "}" * 33
BEYOND_64_BITS = str(1 << 63)

Case = tuple[str, str, object, int, str, str | None]
"""What is wrong, the operation, its body (bytes are sent as they are), status, code, pointer (None: none)."""


def points(*given: object) -> dict[str, object]:
    return {"points": list(given)}


def raw(point: str) -> bytes:
    """An upsert of a good point and this text."""
    return b'{"points":[{"id":"good","vector":[1,1,1]},%s]}' % point.encode()


def b(**changed: object) -> dict[str, object]:
    """A second point, good but for what is changed."""
    return {"id": "b", "vector": [0, 1, 0], **changed}


GOOD = b(id="good")

UPSERTS: list[Case] = [
    ("wrong dimension", "upsert", points(GOOD, b(vector=[1, 2])), 400, "dimension_mismatch", "/points/1/vector"),
    ("empty vector", "upsert", points(GOOD, b(vector=[])), 400, "dimension_mismatch", "/points/1/vector"),
    ("NaN in text", "upsert", raw('{"id":"b","vector":[1,NaN,0]}'), 400, "invalid_json", ""),
    ("infinity in text", "upsert", raw('{"id":"b","vector":[1,Infinity,0]}'), 400, "invalid_json", ""),
    ("NaN in base64", "upsert", points(GOOD, b(vector=NAN)), 400, "non_finite_vector", "/points/1/vector"),
    ("beyond float32", "upsert", points(GOOD, b(vector=[1, 1e39, 0])), 400, "non_finite_vector", "/points/1/vector"),
    ("no base64", "upsert", points(GOOD, b(vector="%%%")), 400, "invalid_argument", "/points/1/vector"),
    ("a word in a vector", "upsert", points(GOOD, b(vector=[1, "x", 0])), 400, "invalid_argument",
     "/points/1/vector/1"),
    ("empty batch", "upsert", points(), 400, "empty_batch", "/points"),
    ("too many points", "upsert", points(*[b(id=f"{i}") for i in range(10_001)]), 413, "too_large", "/points"),
    ("duplicate ids", "upsert", points(GOOD, b(), b()), 400, "duplicate_id", "/points/2/id"),
    ("empty id", "upsert", points(GOOD, b(id="")), 400, "invalid_id", "/points/1/id"),
    ("id too long", "upsert", points(GOOD, b(id="é" * 129)), 400, "invalid_id", "/points/1/id"),
    ("control character in an id", "upsert", points(GOOD, b(id="b\x00")), 400, "invalid_id", "/points/1/id"),
    ("an id that is a number", "upsert", points(GOOD, b(id=7)), 400, "invalid_argument", "/points/1/id"),
    ("no id", "upsert", raw('{"vector":[1,0,0]}'), 400, "invalid_argument", "/points/1/id"),
    ("payload too large", "upsert", points(GOOD, b(payload={"x": LONG})), 413, "payload_too_large",
     "/points/1/payload"),
    ("payload too deep", "upsert", raw('{"id":"b","payload":' + DEEP + "}"), 400, "nested_too_deep", None),
    ("integer beyond 64 bits", "upsert", raw('{"id":"b","payload":{"n":' + BEYOND_64_BITS + "}}"), 400,
     "integer_out_of_range", "/points/1/payload/n"),
    ("duplicate key in a payload", "upsert", raw('{"id":"b","payload":{"n":1,"n":2}}'), 400, "duplicate_key",
     "/points/1/payload/n"),
    ("duplicate key in a point", "upsert", raw('{"id":"b","id":"c"}'), 400, "duplicate_key", "/points/1/id"),
    ("duplicate key at the top", "upsert", b'{"points":[],"points":[]}', 400, "duplicate_key", "/points"),
    ("payload that is a list", "upsert", points(GOOD, b(payload=[1])), 400, "invalid_argument", "/points/1/payload"),
    ("declared field of another type", "upsert", points(GOOD, b(payload={"year": "x"})), 400, "field_type_mismatch",
     "/points/1/payload/year"),
    ("unknown field in a point", "upsert", points(GOOD, b(tags=1)), 400, "unknown_field", "/points/1/tags"),
    ("unknown field at the top", "upsert", {**points(GOOD), "tenant": "globex"}, 400, "unknown_field", "/tenant"),
    ("broken JSON", "upsert", b'{"points":[{"id":"good"', 400, "invalid_json", ""),
    ("no JSON", "upsert", b"\xff\xfe", 400, "invalid_json", ""),
    ("no body", "upsert", None, 400, "invalid_json", ""),
    ("a list at the top", "upsert", [1], 400, "invalid_argument", ""),
    ("time without offset", "upsert", points(GOOD, b(expires_at="2030-01-01T00:00:00")), 400, "invalid_argument",
     "/points/1/expires_at"),
    ("time after the last year", "upsert", points(GOOD, b(expires_at="9999-12-31T23:59:59-12:00")), 400,
     "invalid_argument", "/points/1/expires_at"),
    ("time before 1970", "upsert", points(GOOD, b(expires_at="0001-01-01T00:00:00+12:00")), 400, "invalid_argument",
     "/points/1/expires_at"),
    ("another owner", "upsert", {**points(GOOD), "owner": "globex"}, 404, "point_not_found", None),
    ("version of another write", "upsert", points(GOOD, b(id="a", if_version=999)), 409, "version_conflict",
     "/points/1/if_version"),
    ("point that exists", "upsert", points(GOOD, b(id="a", if_absent=True)), 409, "version_conflict",
     "/points/1/if_absent"),
    ("two conditions", "upsert", points(GOOD, b(if_absent=True, if_version=1)), 400, "invalid_argument",
     "/points/1/if_absent"),
    ("unknown grantee", "upsert", points(GOOD, b(shared_with=["nobody"])), 400, "unknown_grantee",
     "/points/1/shared_with/0"),
]  # fmt: skip

YEAR = {"field": "year", "gt": 2000}

OTHERS: list[Case] = [
    ("wrong dimension", "search", {"vector": [1]}, 400, "dimension_mismatch", "/vector"),
    ("wrong dimension of the second", "search", {"vectors": [[1, 0, 0], [1]]}, 400, "dimension_mismatch", "/vectors/1"),
    ("beyond float32", "search", {"vector": [1e39, 0, 0]}, 400, "non_finite_vector", "/vector"),
    ("no queries", "search", {"vectors": []}, 400, "empty_batch", "/vectors"),
    ("neither vector nor vectors", "search", {"limit": 5}, 400, "invalid_argument", "/vector"),
    ("limit of nothing", "search", {"vector": [1, 0, 0], "limit": 0}, 400, "invalid_argument", "/limit"),
    ("limit beyond the cap", "search", {"vector": [1, 0, 0], "limit": 1001}, 400, "invalid_argument", "/limit"),
    ("limit beyond 64 bits", "search", b'{"vector":[1,0,0],"limit":%s}' % BEYOND_64_BITS.encode(), 400,
     "integer_out_of_range", "/limit"),
    ("unknown parameter", "search", {"vector": [1, 0, 0], "params": {"nprobe": 3}}, 400, "unknown_field",
     "/params/nprobe"),
    ("parameters that are a list", "search", {"vector": [1, 0, 0], "params": []}, 400, "invalid_argument", "/params"),
    ("parameters of nothing", "search", b'{"vector":[1,0,0],"params":null}', 400, "invalid_argument", "/params"),
    ("exact and more", "search", {"vector": [1, 0, 0], "params": {"exact": True, "budget": 5}}, 400,
     "invalid_argument", "/params/budget"),
    ("recall of all", "search", {"vector": [1, 0, 0], "params": {"recall": 1}}, 400, "invalid_argument",
     "/params/recall"),
    ("recall of NaN", "search", b'{"vector":[1,0,0],"params":{"recall":NaN}}', 400, "invalid_json", None),
    ("recall beyond float64", "search", b'{"vector":[1,0,0],"params":{"recall":1e999}}', 400, "invalid_json", None),
    ("rerank below the limit", "search", {"vector": [1, 0, 0], "limit": 20, "params": {"rerank": 19}}, 400,
     "invalid_argument", "/params/rerank"),
    ("rerank beyond the cap", "search", {"vector": [1, 0, 0], "params": {"rerank": 10_001}}, 400, "invalid_argument",
     "/params/rerank"),
    ("budget beyond 64 bits", "search", b'{"vector":[1,0,0],"params":{"budget":%s}}' % BEYOND_64_BITS.encode(), 400,
     "integer_out_of_range", "/params/budget"),
    ("rerank beyond 64 bits", "search", b'{"vector":[1,0,0],"params":{"rerank":%s}}' % BEYOND_64_BITS.encode(), 400,
     "integer_out_of_range", "/params/rerank"),
    ("duplicate parameter", "search", b'{"vector":[1,0,0],"params":{"recall":0.9,"recall":0.8}}', 400,
     "duplicate_key", "/params/recall"),
    ("parameters twice", "search", b'{"vector":[1,0,0],"params":{},"params":{"exact":true}}', 400, "duplicate_key",
     "/params"),
    ("unknown field", "search", {"vector": [1, 0, 0], "top_k": 3}, 400, "unknown_field", "/top_k"),
    ("duplicate key", "search", b'{"vector":[1,0,0],"limit":1,"limit":2}', 400, "duplicate_key", "/limit"),
    ("filter on a wrong type", "search", {"vector": [1, 0, 0], "filter": {"field": "year", "gt": "x"}}, 400,
     "field_type_mismatch", "/filter/gt"),
    ("filter of no operator", "count", {"filter": {"field": "lang"}}, 400, "invalid_filter", "/filter"),
    ("filter of an unknown operator", "count", {"filter": {"and": [YEAR, {"field": "a", "like": 1}]}}, 400,
     "unknown_field", "/filter/and/1/like"),
    ("operand of a wrong type", "count", {"filter": {"field": "lang", "gt": True}}, 400, "invalid_filter",
     "/filter/gt"),
    ("operand beyond 64 bits", "count", b'{"filter":{"field":"n","eq":%s}}' % BEYOND_64_BITS.encode(), 400,
     "integer_out_of_range", "/filter/eq"),
    ("a cursor made up", "scroll", {"cursor": "AAAA"}, 400, "invalid_cursor", "/cursor"),
    ("a scope of another kind", "scroll", {"scope": "all"}, 400, "invalid_argument", "/scope"),
    ("no ids", "get_points", {"ids": []}, 400, "empty_batch", "/ids"),
    ("an id twice", "get_points", {"ids": ["a", "a"]}, 400, "duplicate_id", "/ids/1"),
    ("no ids", "delete_points", {"ids": []}, 400, "empty_batch", "/ids"),
    ("neither ids nor filter", "delete_points", {}, 400, "invalid_argument", "/ids"),
    ("ids and filter", "delete_points", {"ids": ["a"], "filter": YEAR}, 400, "invalid_argument", "/ids"),
    ("a bad filter", "delete_points", {"filter": {"field": "year", "gt": "x"}}, 400, "field_type_mismatch",
     "/filter/gt"),
    ("version of another write", "delete_points", {"ids": ["a"], "if_version": 999}, 409, "version_conflict",
     "/if_version"),
    ("a point that is not there", "update_payload", points({"id": "a", "payload": {"x": 1}},
     {"id": "b", "payload": {}}), 404, "point_not_found", "/points/1/id"),
    ("a merge to a wrong type", "update_payload", points({"id": "a", "payload": {"year": "x"}}), 400,
     "field_type_mismatch", "/points/0/payload/year"),
    ("a merge that grows too large", "update_payload", points({"id": "a", "payload": {"x": LONG[:-6]}}), 413,
     "payload_too_large", "/points/0/payload"),
    ("an unknown grantee", "share", {"action": "grant", "ids": ["a"], "to": ["globex", "nobody"]}, 400,
     "unknown_grantee", "/to/1"),
    ("a point that is not there", "share", {"action": "grant", "ids": ["a", "b"], "to": ["globex"]}, 404,
     "point_not_found", "/ids/1"),
    ("no grantees", "share", {"action": "grant", "ids": ["a"], "to": []}, 400, "empty_batch", "/to"),
]  # fmt: skip


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    """A collection with one point of acme's, and a tenant globex."""
    with vdb.testing.server(compile_kernels=False) as server:
        live = Live(server)
        live.must("create_tenant", (), {"name": "globex"})
        live.must("create_collection", (), {"name": "notes", "dimension": 3, "fields": {"year": "integer"}})
        live.must("upsert", ("notes",), points(POINT), tenant="acme")
        yield live


def stored(live: Live) -> list[Any]:
    """Everything there is, and how often the collection was written."""
    asked = {"with_vector": True, "scope": "visible"}
    pages = [live.must("scroll", ("notes",), asked, tenant=tenant) for tenant in ("acme", "globex")]
    tenants = live.must("list_tenants")["tenants"]
    return [pages, tenants, live.must("list_collections")]


def key_ids(live: Live) -> list[str]:
    return [key["id"] for key in live.must("list_keys")["keys"]]


@pytest.mark.parametrize("case", UPSERTS + OTHERS, ids=lambda case: f"{case[1]}: {case[0]}")
def test_bad_input_is_refused_and_changes_nothing(live: Live, case: Case) -> None:
    _, name, body, status, code, pointer = case
    before = stored(live)
    reply = live.run(name, ("notes",), body, tenant="acme")
    assert (reply.status, reply.code) == (status, code)
    if pointer is not None:
        assert reply.pointers == [pointer]
    assert stored(live) == before


@pytest.mark.parametrize(
    ("name", "body", "status", "code", "pointer"),
    [
        ("create_collection", {"name": "Notes", "dimension": 3}, 400, "invalid_argument", "/name"),
        ("create_collection", {"name": "other", "dimension": 0}, 400, "invalid_argument", "/dimension"),
        ("create_collection", {"name": "other", "dimension": 8193}, 400, "invalid_argument", "/dimension"),
        ("create_collection", {"name": "other", "dimension": 3, "metric": "l1"}, 400, "invalid_argument", "/metric"),
        ("create_collection", {"name": "b", "dimension": 3, "tenants": ["x"]}, 400, "invalid_argument", "/tenants/0"),
        ("create_collection", {"name": "notes", "dimension": 3}, 409, "already_exists", None),
        ("create_tenant", {"name": "*"}, 400, "invalid_argument", "/name"),
        ("create_tenant", {"name": "acme"}, 409, "already_exists", None),
        ("create_tenant", {"name": "new", "quota": {"points": -1}}, 400, "invalid_argument", "/quota/points"),
        ("create_key", {"role": "write"}, 400, "invalid_argument", "/tenant"),
        ("create_key", {"role": "admin", "tenant": "acme"}, 400, "invalid_argument", "/tenant"),
        ("create_key", {"role": "owner"}, 400, "invalid_argument", "/role"),
        ("create_key", {"role": "service", "expires_at": "tomorrow"}, 400, "invalid_argument", "/expires_at"),
        ("create_key", {"role": "service", "expires_at": "9999-12-31T23:59:59-12:00"}, 400, "invalid_argument",
         "/expires_at"),
    ],
)  # fmt: skip
def test_bad_management_is_refused_and_changes_nothing(
    live: Live, name: str, body: Any, status: int, code: str, pointer: str | None
) -> None:
    before = [stored(live), key_ids(live)]
    reply = live.run(name, (), body)
    assert (reply.status, reply.code) == (status, code)
    assert pointer is None or reply.pointers == [pointer]
    assert [stored(live), key_ids(live)] == before


@pytest.mark.parametrize("name", ["get_collection", "upsert", "search", "count", "delete_collection"])
def test_an_unknown_collection_is_404(live: Live, name: str) -> None:
    body = {"upsert": points(GOOD), "search": {"vector": [1, 0, 0]}, "count": {}}.get(name)
    assert live.run(name, ("absent",), body, tenant="acme").code == "collection_not_found"


def test_a_cursor_of_another_query_is_refused(live: Live) -> None:
    live.must("upsert", ("notes",), points(b(id="second")), tenant="acme")
    try:
        cursor = live.must("scroll", ("notes",), {"limit": 1}, tenant="acme")["next_cursor"]
        for changed in ({"filter": YEAR}, {"scope": "visible"}):
            reply = live.run("scroll", ("notes",), {"cursor": cursor, **changed}, tenant="acme")
            assert (reply.status, reply.code, reply.pointers) == (400, "invalid_cursor", ["/cursor"])
    finally:
        live.must("delete_points", ("notes",), {"ids": ["second"]}, tenant="acme")


def test_a_body_over_the_cap_is_413_before_it_is_read(live: Live) -> None:
    length = {"Content-Length": str(Limits().max_body_bytes + 1)}
    reply = live.ask("POST", "/v1/collections/notes/points", b"{}", tenant="acme", headers=length)
    assert (reply.status, reply.code) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"", "invalid_json"),
        (b"VDB1", "invalid_argument"),
        (b"VDB2" + bytes(8), "invalid_argument"),
        (b"VDB1\xff\xff\xff\xff{}", "invalid_argument"),
        (join_frame({"ids": ["b"]}, np.zeros(3, np.float32)) + b"x", "invalid_argument"),
        (join_frame({"ids": ["b"]}, np.zeros(2, np.float32)), "dimension_mismatch"),
        (join_frame({"ids": ["b"]}, np.array([1, np.inf, 0], np.float32)), "non_finite_vector"),
        (join_frame({"ids": []}, np.zeros(0, np.float32)), "empty_batch"),
        (join_frame({"ids": ["b"], "payloads": []}, np.zeros(3, np.float32)), "invalid_argument"),
        (join_frame({"ids": ["b"], "what": 1}, np.zeros(3, np.float32)), "unknown_field"),
    ],
)
def test_a_bad_binary_body_is_refused_and_changes_nothing(live: Live, frame: bytes, code: str) -> None:
    before = stored(live)
    reply = live.ask("POST", "/v1/collections/notes/points", frame, tenant="acme", headers={"Content-Type": MEDIA_TYPE})
    assert (reply.status, reply.code) == (400, code)
    assert stored(live) == before


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded"])
def test_another_media_type_is_415(live: Live, media_type: str) -> None:
    reply = live.ask("POST", "/v1/collections", b"{}", headers={"Content-Type": media_type})
    assert (reply.status, reply.code) == (415, "unsupported_media_type")


def test_unknown_routes_methods_and_parameters(live: Live) -> None:
    assert live.ask("GET", "/v1/nothing").code == "route_not_found"
    wrong = live.ask("PUT", "/v1/collections")
    assert (wrong.status, wrong.code, wrong.headers["allow"]) == (405, "method_not_allowed", "GET, POST")
    reply = live.ask("GET", "/v1/collections?limits=3")
    assert (reply.status, reply.code, reply.pointers) == (400, "unknown_field", ["/limits"])
    assert live.ask("GET", "/v1/tenants?cursor=x").code == "invalid_cursor"


def test_a_malformed_tenant_header_is_400(live: Live) -> None:
    assert live.run("count", ("notes",), {}, tenant="No Name").code == "invalid_argument"
    assert live.run("count", ("notes",), {}, tenant="*").code == "invalid_argument"


def test_over_quota_is_409_and_writes_nothing(live: Live) -> None:
    live.must("update_tenant", ("globex",), {"quota": {"points": 1}})
    try:
        reply = live.run("upsert", ("notes",), points(b(id="one"), b(id="two")), tenant="globex")
        assert (reply.status, reply.code) == (409, "quota_exceeded")
        assert live.must("count", ("notes",), {}, tenant="globex")["count"] == 0
    finally:
        live.must("update_tenant", ("globex",), {"quota": {"points": None}})


def test_the_last_times_that_have_a_name_are_shown_to_the_millisecond(live: Live) -> None:
    """Found here: a time whose year in UTC is 10000 was stored, and no answer could show the point any more."""
    for given, shown in (("9999-12-31T23:59:59.999999Z", ".999"), ("2030-01-01T00:00:00.001Z", ".001")):
        live.must("upsert", ("notes",), points(b(id="late", expires_at=given)), tenant="acme")
        (point,) = live.must("get_points", ("notes",), {"ids": ["late"]}, tenant="acme")["points"]
        assert point["expires_at"].startswith(given[:19] + shown)
    live.must("delete_points", ("notes",), {"ids": ["late"]}, tenant="acme")
