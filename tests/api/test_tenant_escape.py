"""What a tenant may not see answers like what does not exist: same status, same body but for ids and sequences."""

from collections.abc import Iterator
from typing import Any

import pytest

import vdb.testing
from tests.api.live import Live

POINTS = [{"id": "secret", "vector": [1, 0, 0], "payload": {"lang": "en"}}, {"id": "other", "vector": [0, 1, 0]}]
OWN = [{"id": "mine", "vector": [1, 0, 0]}]
NOTES, SHARING, CLOSED = ("notes",), ("sharing",), ("closed",)

Who = dict[str, Any]


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    """`globex` owns points in every collection; `closed` lists globex alone; in `sharing` tenants may grant."""
    with vdb.testing.server(compile_kernels=False) as server:
        live = Live(server)
        for name in ("acme", "globex", "initech"):
            live.must("create_tenant", (), {"name": name})
        shape = {"dimension": 3, "metric": "l2"}
        live.must("create_collection", (), {"name": "notes", **shape})
        live.must("create_collection", (), {"name": "sharing", "sharing": "tenants", **shape})
        live.must("create_collection", (), {"name": "closed", "tenants": ["globex"], **shape})
        live.must("set_aliases", (), {"set": {"shut": "closed", "open": "notes"}})
        for path in (NOTES, SHARING, CLOSED):
            live.must("upsert", path, {"points": POINTS}, tenant="globex")
        for path in (NOTES, SHARING):
            live.must("upsert", path, {"points": OWN}, tenant="acme")
        yield live


@pytest.fixture(params=["write key", "service key"])
def who(live: Live, request: pytest.FixtureRequest) -> Who:
    """Two ways to act for acme."""
    if request.param == "write key":
        return {"key": live.key("write", "acme")}
    return {"key": live.key("service"), "tenant": "acme"}


def check_same(live: Live, who: Who, name: str, path: tuple[str, ...], hidden: Any, absent: Any) -> None:
    """The operation answers both bodies alike."""
    first, second = live.run(name, path, hidden, **who), live.run(name, path, absent, **who)
    assert first.said == second.said


def bodies(point_id: str, owner: str | None) -> dict[str, Any]:
    """One request per operation that names points."""
    named = {} if owner is None else {"owner": owner}
    return {
        "get_points": {"ids": [point_id], "with_vector": True, **named},
        "delete_points": {"ids": [point_id], **named},
        "update_payload": {"points": [{"id": point_id, "payload": {"x": 1}}], **named},
        "share": {"action": "grant", "ids": [point_id], "to": ["initech"], **named},
    }


@pytest.mark.parametrize("name", ["get_points", "delete_points", "update_payload", "share"])
@pytest.mark.parametrize("path", [NOTES, SHARING], ids=["managed", "tenants"])
@pytest.mark.parametrize("owner", [None, "globex"], ids=["own", "named"])
def test_a_hidden_point_answers_like_an_absent_one(
    live: Live, who: Who, name: str, path: tuple[str, ...], owner: str | None
) -> None:
    check_same(live, who, name, path, bodies("secret", owner)[name], bodies("never-was", owner)[name])


@pytest.mark.parametrize("name", ["get_points", "delete_points", "update_payload", "share"])
def test_a_hidden_owner_answers_like_an_absent_one(live: Live, who: Who, name: str) -> None:
    check_same(live, who, name, NOTES, bodies("secret", "globex")[name], bodies("secret", "nobody")[name])


def test_upsert_into_another_owner_answers_like_into_an_absent_one(live: Live, who: Who) -> None:
    def write(point_id: str, owner: str) -> dict[str, Any]:
        return {"points": [{"id": point_id, "vector": [1, 0, 0]}], "owner": owner}

    check_same(live, who, "upsert", NOTES, write("secret", "globex"), write("never-was", "globex"))
    check_same(live, who, "upsert", NOTES, write("secret", "globex"), write("secret", "nobody"))


def test_conditional_writes_tell_nothing(live: Live, who: Who) -> None:
    version = live.must("get_points", NOTES, {"ids": ["secret"]}, tenant="globex")["points"][0]["version"]
    for field, value in (("if_version", version), ("if_version", 999)):
        given = [{"points": [{"id": point, "vector": [1, 0, 0], field: value}]} for point in ("secret", "never-was")]
        check_same(live, who, "upsert", NOTES, *given)
    deletes = [{"ids": [point], "if_version": version} for point in ("secret", "never-was")]
    check_same(live, who, "delete_points", NOTES, *deletes)


def test_the_same_id_is_another_point(live: Live, who: Who) -> None:
    point = {"id": "secret", "vector": [0, 0, 9], "payload": {"whose": "acme"}, "if_absent": True}
    live.must("upsert", NOTES, {"points": [point]}, **who)
    try:
        theirs = live.must("get_points", NOTES, {"ids": ["secret"], "with_vector": True}, tenant="globex")["points"][0]
        assert (theirs["vector"], theirs["payload"]) == ([1, 0, 0], {"lang": "en"})
    finally:
        assert live.must("delete_points", NOTES, {"ids": ["secret"]}, **who)["deleted"] == 1
    assert len(live.must("get_points", NOTES, {"ids": ["secret"]}, tenant="globex")["points"]) == 1


@pytest.mark.parametrize("scope", ["own", "visible"])
def test_nothing_of_others_is_read(live: Live, who: Who, scope: str) -> None:
    for path in (NOTES, SHARING):
        hits = live.must("search", path, {"vector": [1, 0, 0], "limit": 1000, "explain": True}, **who)
        page = live.must("scroll", path, {"scope": scope}, **who)
        assert {point["owner"] for point in hits["hits"] + page["points"]} == {"acme"}
        assert hits["explain"]["rows"] == 1
        assert live.must("count", path, {"scope": scope}, **who)["count"] == 1


def test_a_filter_deletes_own_points_only(live: Live, who: Who) -> None:
    live.must("upsert", NOTES, {"points": [{"id": "english", "payload": {"lang": "en"}}]}, **who)
    job = live.must("delete_points", NOTES, {"filter": {"field": "lang", "eq": "en"}}, **who)
    while job["state"] in ("queued", "running"):
        job = live.must("get_job", (job["id"],), **who)
    assert (job["state"], job["n_done"]) == ("done", 1)
    assert live.must("count", NOTES, {}, tenant="globex")["count"] == len(POINTS)


def test_a_cursor_of_another_tenant_is_like_a_made_up_one(live: Live, who: Who) -> None:
    cursor = live.must("scroll", NOTES, {"limit": 1}, tenant="globex")["next_cursor"]
    assert cursor is not None
    check_same(live, who, "scroll", NOTES, {"limit": 1, "cursor": cursor}, {"limit": 1, "cursor": "A" * len(cursor)})


@pytest.mark.parametrize("path", [CLOSED, ("shut",)], ids=["name", "alias"])
def test_a_hidden_collection_is_like_an_absent_one(live: Live, who: Who, path: tuple[str, ...]) -> None:
    asked: dict[str, Any] = {**bodies("secret", None), "upsert": {"points": OWN}, "scroll": {}, "count": {}}
    for name, body in asked.items():
        hidden, absent = live.run(name, path, body, **who), live.run(name, ("absent",), body, **who)
        assert hidden.said == absent.said
        assert hidden.code == "collection_not_found"
    for name in ("get_collection", "search"):
        body = {"vector": [1, 0, 0]} if name == "search" else None
        assert live.run(name, path, body, **who).said == live.run(name, ("absent",), body, **who).said
    listed = live.must("list_collections", **who)["collections"]
    assert [found["name"] for found in listed] == ["notes", "sharing"]
    assert all("tenants" not in found and found["n_points"] == 1 for found in listed)


def test_aliases_of_hidden_collections_are_not_listed(live: Live, who: Who) -> None:
    assert live.must("list_aliases", **who)["aliases"] == [{"name": "open", "collection": "notes"}]
    everything = live.must("list_aliases")["aliases"]
    assert [found["name"] for found in everything] == ["open", "shut"]
    assert live.must("get_collection", ("open",), **who)["aliases"] == ["open"]


def test_a_hidden_tenant_is_like_an_absent_one(live: Live, who: Who) -> None:
    assert live.run("get_tenant", ("globex",), **who).said == live.run("get_tenant", ("nobody",), **who).said


def test_a_job_of_another_tenant_is_like_an_absent_one(live: Live, who: Who) -> None:
    job = live.must("delete_points", NOTES, {"filter": {"field": "lang", "eq": "xx"}}, tenant="globex")["id"]
    assert live.run("get_job", (job,), **who).said == live.run("get_job", ("job-4000000000",), **who).said
    listed = live.must("list_jobs", **who)["jobs"]
    assert {found["tenant"] for found in listed} <= {"acme"}
    after = live.must("list_jobs", **who)["next_cursor"]
    assert after is None


def test_a_bound_key_that_names_another_tenant_learns_nothing(live: Live) -> None:
    key = live.key("read", "acme")
    answers = [live.run("count", NOTES, {}, key=key, tenant=name) for name in ("globex", "nobody", "NO NAME", "*")]
    assert all(answer.said == answers[0].said for answer in answers)
    assert answers[0].code == "forbidden"


def test_a_grantee_outside_the_collection_is_like_an_absent_one(live: Live, who: Who) -> None:
    live.must("create_collection", (), {"name": "pair", "dimension": 3, "sharing": "tenants", "tenants": ["acme"]})
    try:
        live.must("upsert", ("pair",), {"points": OWN}, tenant="acme")
        given = [{"action": "grant", "ids": ["mine"], "to": [name]} for name in ("globex", "nobody")]
        check_same(live, who, "share", ("pair",), *given)
        shared = [{"points": [{**OWN[0], "shared_with": [name]}]} for name in ("globex", "nobody")]
        check_same(live, who, "upsert", ("pair",), *shared)
    finally:
        live.must("delete_collection", ("pair",))


def test_a_write_key_cannot_probe_grantees_where_sharing_is_managed(live: Live) -> None:
    key = live.key("write", "acme")
    for name, body_of in (
        ("share", lambda to: {"action": "grant", "ids": ["mine"], "to": [to]}),
        ("upsert", lambda to: {"points": [{**OWN[0], "shared_with": [to]}]}),
    ):
        said = [live.run(name, NOTES, body_of(to), key=key) for to in ("globex", "nobody", "*")]
        assert all(answer.said == said[0].said for answer in said), name
        assert said[0].code == "sharing_forbidden"


def test_a_recipient_reads_but_neither_writes_nor_sees_with_whom(live: Live, who: Who) -> None:
    live.must("share", NOTES, {"action": "grant", "ids": ["other"], "to": ["acme", "initech"]}, tenant="globex")
    try:
        (point,) = live.must("get_points", NOTES, {"ids": ["other"], "owner": "globex"}, **who)["points"]
        assert "shared_with" not in point
        for name in ("delete_points", "update_payload", "share"):
            assert live.run(name, NOTES, bodies("other", "globex")[name], **who).code == "not_owner"
    finally:
        live.must("share", NOTES, {"action": "revoke", "ids": ["other"], "to": ["acme", "initech"]}, tenant="globex")
    assert live.must("get_points", NOTES, {"ids": ["other"], "owner": "globex"}, **who)["points"] == []
