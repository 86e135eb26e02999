"""One suite, every way to reach the engine: in process, SDK (synchronous and asynchronous), and raw HTTP with JSON.

Each test says what must come out, so that all ways agree with it and therefore with each other. Vectors are small
integers, whose sums are exact.
"""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from tests.contract import ways
from tests.contract.bad_input import BAD_INPUT, BAD_MANAGEMENT, NOBODY_KNOWS, Act, X
from tests.contract.conftest import DE, EN, MINUS_X, XY, Y
from tests.contract.ways import World
from vdb.errors import VdbError
from vdb.local import Database
from vdb.testing import RunningServer

_numbers = itertools.count(1)


def _ids(found: Any) -> list[str]:
    return [item["id"] if isinstance(item, dict) else item.id for item in found]


def _described(name: str, **changed: Any) -> dict[str, Any]:
    shape = {"name": name, "dimension": 3, "metric": "cosine", "sharing": "managed", "fields": {}, "n_points": 0}
    shape |= {"indexes": {}, "tenants": None, "aliases": [], "embedding": None, "metadata": {}}
    return shape | {"tier": "auto", "memory_bytes": None, "fusion": None, "text": None, "answering": None} | changed


def test_backups(world: World) -> None:
    world.admin.create_collection(world.name("docs"), 3, "l2")
    world.points("docs", "acme").upsert(["a"], [X])
    made = world.plain(world.admin.create_backup(world.name("kept")))
    held = [entry for entry in made["collections"] if entry["name"] == "docs"]
    assert made["name"] == "kept" and made["n_collections"] == len(made["collections"])
    assert made["bytes"] > 0 and [entry["n_points"] for entry in held] == [1]
    assert world.plain(world.admin.get_backup(world.name("kept"))) == made
    assert made in world.plain(world.admin.backups())
    assert world.code(world.admin.create_backup, world.name("kept")) == "already_exists"
    assert world.code(world.admin.create_backup, "../kept") == "invalid_argument"
    assert world.plain(world.admin.delete_backup(world.name("kept"))) == {"deleted": True}
    assert world.code(world.admin.get_backup, world.name("kept")) == "not_found"
    assert world.code(world.admin.delete_backup, world.name("kept")) == "not_found"


def test_collections(world: World) -> None:
    admin, name = world.admin, world.name("docs")
    assert world.plain(admin.create_collection(name, 3)) == _described("docs")
    assert world.code(admin.create_collection, name, 3) == "already_exists"
    typed = admin.create_collection(
        world.name("typed"), 2, "ip", fields={"year": "integer"}, sharing="tenants", indexes=["year"]
    )
    wanted = {"dimension": 2, "metric": "ip", "fields": {"year": "integer"}, "sharing": "tenants"}
    assert world.plain(typed) == _described("typed", **wanted, indexes={"year": "ready"})
    dropped = admin.update_collection(world.name("typed"), indexes=[])
    assert world.plain(dropped) == _described("typed", **wanted)
    assert world.code(admin.update_collection, world.name("typed"), indexes=["lang"]) == "invalid_argument"
    assert world.plain(admin.get_collection(name)) == _described("docs")
    listed = [found["name"] for found in world.plain(admin.collections())]
    assert {"docs", "typed"} <= set(listed)
    admin.create_tenant(world.name("acme"))
    changed = admin.update_collection(name, tenants=[world.name("acme")], sharing="tenants")
    assert world.plain(changed) == _described("docs", tenants=["acme"], sharing="tenants")
    assert world.plain(admin.delete_collection(name)) == {"deleted": True}
    assert world.code(admin.get_collection, name) == "collection_not_found"
    assert world.code(admin.delete_collection, name) == "collection_not_found"
    assert world.code(admin.update_collection, name, sharing="managed") == "collection_not_found"


def test_tenants(world: World) -> None:
    admin, name = world.admin, world.name("acme")
    free = {"reads_per_s": None, "writes_per_s": None, "bytes_per_s": None, "burst_s": 2.0, "is_default": True}
    empty = {"name": "acme", "usage": {"points": 0, "bytes": 0}, "rate": free}
    assert world.plain(admin.create_tenant(name, 5)) == empty | {"quota": {"points": 5, "bytes": None}}
    assert world.code(admin.create_tenant, name) == "already_exists"
    assert world.plain(admin.update_tenant(name, 6, 700)) == empty | {"quota": {"points": 6, "bytes": 700}}
    assert world.plain(admin.get_tenant(name)) == empty | {"quota": {"points": 6, "bytes": 700}}
    assert "acme" in [found["name"] for found in world.plain(admin.tenants())]
    job = world.plain(admin.delete_tenant(name))
    assert (job["state"], job["error"]) == ("done", None)
    for act in (admin.get_tenant, admin.update_tenant, admin.delete_tenant):
        assert world.code(act, name) == "tenant_not_found"


def test_keys(world: World) -> None:
    admin = world.admin
    made = admin.create_key(tenant=world.name("acme"), role="read", name="reader")
    key_id = made["id"] if isinstance(made, dict) else made.id
    wanted = {"id": key_id, "name": "reader", "role": "read", "tenant": "acme", "expires_at": None}
    assert world.plain(made) == wanted
    assert world.plain(admin.get_key(key_id)) == wanted
    assert wanted in world.plain(admin.keys())
    assert world.plain(admin.rotate_key(key_id, 5.0)) == wanted
    assert world.plain(admin.delete_key(key_id)) == {"deleted": True}
    for act in (admin.get_key, admin.rotate_key, admin.delete_key):
        assert world.code(act, key_id) == "key_not_found"
    assert world.code(admin.create_key, tenant=None, role="write") in ("invalid_argument", "tenant_required")
    assert world.code(admin.create_key, tenant=world.name("acme"), role="owner") == "invalid_argument"
    assert world.code(admin.create_key, tenant="Not A Name") == "invalid_argument"


def test_search_orders_by_distance(world: World, docs: Any) -> None:
    hits = world.plain(docs.search(X))
    assert [(hit["id"], hit["owner"], hit["payload"]) for hit in hits] == [
        ("a", "acme", EN),
        ("b", "acme", DE),
        ("c", "acme", EN),
    ]
    assert [hit["distance"] ** 2 for hit in hits] == pytest.approx([0.0, 2.0, 20.0])


def test_search_options(world: World, docs: Any) -> None:
    assert _ids(docs.search(X, limit=1)) == ["a"]
    assert _ids(docs.search(X, max_distance=2.0)) == ["a", "b"]
    assert _ids(docs.search(X, filter={"field": "lang", "eq": "de"})) == ["b"]
    bare = world.plain(docs.search(X, limit=1, with_payload=False, with_vector=True))
    assert bare == [{"id": "a", "owner": "acme", "distance": 0.0, "vector": X}]
    assert [_ids(row) for row in docs.search([X, XY], limit=2)] == [["a", "b"], ["c", "b"]]
    assert _ids(docs.search(X, explain=True)) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "params",
    [
        {"exact": True},
        {"exact": False},
        {"exact": False, "recall": 0.5},
        {"recall": 0.999, "budget": 1, "rerank": 10},
        {"budget": 2**31 - 1},
        {"rerank": 10_000},
    ],
    ids=str,
)
def test_what_a_search_may_cost_changes_no_exact_answer(world: World, docs: Any, params: dict[str, Any]) -> None:
    found = docs.search(X, explain=True, **params)
    assert world.plain(found) == world.plain(docs.search(X))
    reason = "asked for" if params.get("exact") else "small collection"
    assert _explained(found) == {"path": "exact", "backend": "cpu", "reason": reason, "rows": 3, "queries": 1}
    assert [_ids(row) for row in docs.search([X, XY], limit=2, **params)] == [["a", "b"], ["c", "b"]]


def test_explain_says_what_applies(world: World, docs: Any) -> None:
    rows = docs.search(X, filter={"field": "lang", "eq": "de"}, explain=True)
    wanted = {"path": "exact", "backend": "cpu", "reason": "small collection", "rows": 3, "queries": 1}
    assert _explained(rows) == wanted | {"filter": "rounds", "candidates_tested": 3}
    assert docs.search(X).explain is None


def _explained(found: Any) -> dict[str, Any]:
    """Without the times, which make up the total."""
    said: dict[str, Any] = msgspec.to_builtins(found.explain)
    stages = [said.pop(f"{stage}_us") for stage in ("plan", "scan", "recheck", "payloads")]
    assert sum(stages) == pytest.approx(said.pop("total_us"), abs=0.5)
    assert min(stages) >= 0
    assert said.pop("kernels")
    return said


@pytest.mark.parametrize(
    ("metric", "wanted"),
    [
        ("cosine", {"a": 0.0, "c": 0.4, "b": 1.0, "o": 1.0, "m": 2.0}),
        ("ip", {"c": -3, "a": -1, "b": 0, "o": 0, "m": 1}),
    ],
)
def test_distances_and_ties(world: World, metric: str, wanted: dict[str, float]) -> None:
    world.admin.create_collection(world.name("metric"), 3, metric)
    points = world.points("metric", "acme")
    points.upsert(["m", "b", "o", "c", "a"], [MINUS_X, Y, [0.0, 0.0, 0.0], XY, X])
    hits = world.plain(points.search(X))
    assert [hit["id"] for hit in hits] == list(wanted)
    assert [hit["distance"] for hit in hits] == pytest.approx(list(wanted.values()), abs=1e-6)


def test_get_count_and_scroll(world: World, docs: Any) -> None:
    assert _ids(docs.get(["c", NOBODY_KNOWS, "a"])) == ["c", "a"]
    found = world.plain(docs.get(["a"], with_vector=True))
    assert found == [{"id": "a", "owner": "acme", "payload": EN, "vector": X, "shared_with": []}]
    assert docs.count() == 3
    assert docs.count({"field": "lang", "eq": "en"}) == 2
    assert _ids(docs.scroll(page_size=2)) == ["a", "b", "c"]
    assert _ids(docs.scroll({"field": "year", "gte": 2021})) == ["b"]
    first, cursor = docs.scroll_page(page_size=2)
    last, end = docs.scroll_page(cursor=cursor, page_size=2)
    assert (_ids(first), _ids(last), end) == (["a", "b"], ["c"], None)
    assert world.points("docs", "globex").count() == 0
    assert _ids(world.points("docs", "globex").get(["a"], owner=world.name("acme"))) == []


def test_points_without_a_vector(world: World, docs: Any) -> None:
    docs.upsert(["plain"], None, [{"lang": "fr"}])
    assert docs.count() == 4
    assert _ids(docs.search(X)) == ["a", "b", "c"]
    assert _ids(docs.scroll({"field": "lang", "eq": "fr"})) == ["plain"]


def test_upsert_replaces(world: World, docs: Any) -> None:
    docs.upsert(["a"], [MINUS_X])
    found = world.plain(docs.get(["a"], with_vector=True))[0]
    assert found["vector"] == MINUS_X
    assert found.get("payload") in (None, {})
    assert docs.count() == 3


def test_a_write_that_is_not_awaited(world: World, docs: Any) -> None:
    assert docs.upsert(["d"], [X], ack="queued") == 0
    docs.upsert(["e"], [X])  # of the same client, so behind it
    assert docs.count() == 5
    assert world.code(docs.upsert, ["f"], [X], ack="soon") == "invalid_argument"
    assert world.code(docs.upsert, ["f"], [X], ack="queued", if_absent=True) == "invalid_argument"
    assert docs.count() == 5


def test_conditional_writes(world: World, docs: Any) -> None:
    assert world.code(docs.upsert, ["a"], [X], if_absent=True) == "version_conflict"
    assert world.code(docs.upsert, ["a"], [X], if_version=10**6) == "version_conflict"
    assert world.code(docs.update_payload, ["a"], {}, if_version=10**6) == "version_conflict"
    assert world.code(docs.delete, ["a"], if_version=10**6) == "version_conflict"
    docs.upsert(["d"], [X], if_absent=True)
    found = docs.get(["d"])[0]
    docs.upsert(["d"], [Y], if_version=found["version"] if isinstance(found, dict) else found.version)
    assert docs.count() == 4


def test_payloads(world: World, docs: Any) -> None:
    docs.update_payload(["a", "b"], {"year": None, "tag": "new"})
    assert [point["payload"] for point in world.plain(docs.get(["a", "b"]))] == [
        {"lang": "en", "tag": "new"},
        {"lang": "de", "tag": "new"},
    ]
    docs.update_payload(["a"], {"n": 1}, "replace")
    assert world.plain(docs.get(["a"]))[0]["payload"] == {"n": 1}
    assert world.code(docs.update_payload, [NOBODY_KNOWS], {"n": 1}) == "point_not_found"


def test_deletes(world: World, docs: Any) -> None:
    assert world.plain(docs.delete(["a", NOBODY_KNOWS])) == {"deleted": 1}
    job = world.plain(docs.delete(filter={"field": "lang", "eq": "en"}))
    assert (job["state"], job["n_done"], job["collection"]) == ("done", 1, "docs")
    assert _ids(docs.scroll()) == ["b"]
    assert world.plain(world.tenant("acme").get_job(job["id"])) == job
    assert world.code(world.tenant("globex").get_job, job["id"]) == "job_not_found"


def test_expiry(world: World, docs: Any) -> None:
    later = datetime(2099, 1, 1, tzinfo=UTC)
    docs.upsert(["later"], [X], expires_at=later if world.way != "raw" else later.isoformat())
    assert datetime.fromisoformat(world.plain(docs.get(["later"]))[0]["expires_at"]) == later
    past = datetime.now(UTC) - timedelta(seconds=5)
    docs.upsert(["past"], [X], expires_at=past if world.way != "raw" else past.isoformat())
    assert _ids(docs.get(["past"])) == []
    assert docs.count() == 4


def test_sharing(world: World, docs: Any) -> None:
    other = world.points("docs", "globex")
    managed = world.admin.collection(world.name("docs"), tenant=world.name("acme"))
    assert world.code(docs.grant, ["a"], [world.name("globex")]) == "sharing_forbidden"
    managed.grant(["a", "b"], [world.name("globex")])
    assert world.plain(other.search(X, limit=1, with_vector=True))[0] == {
        "id": "a",
        "owner": "acme",
        "distance": 0.0,
        "payload": EN,
        "vector": X,
    }
    assert (other.count(), other.count(scope="visible")) == (0, 2)
    assert "shared_with" not in world.plain(other.get(["a"], owner=world.name("acme")))[0]
    assert world.plain(docs.get(["a"]))[0]["shared_with"] == ["globex"]
    assert world.code(other.delete, ["a"], owner=world.name("acme")) == "not_owner"
    managed.revoke(["a"], [world.name("globex")])
    assert _ids(other.search(X)) == ["b"]
    managed.grant(["c"], ["*"])
    assert sorted(_ids(other.search(X))) == ["b", "c"]
    assert world.code(managed.grant, ["a"], [NOBODY_KNOWS]) == "unknown_grantee"
    assert world.code(managed.grant, [NOBODY_KNOWS], [world.name("globex")]) == "point_not_found"


def test_roles(world: World, docs: Any) -> None:
    reader = world.points("docs", "acme", "read")
    assert reader.count() == 3
    for act, *args in (
        (reader.upsert, ["z"], [X]),
        (reader.delete, ["a"]),
        (reader.update_payload, ["a"], {}),
        (world.tenant("acme").create_tenant, world.name("mine")),
        (world.tenant("acme").create_collection, world.name("mine"), 3),
        (world.tenant("acme").delete_collection, world.name("docs")),
        (world.tenant("acme").keys,),
        (world.tenant("acme", "service").tenants,),
    ):
        assert world.code(act, *args) == "forbidden"
    foreign = world.tenant("acme").collection(world.name("docs"), tenant=world.name("globex"))
    assert world.code(foreign.count) == "forbidden"
    assert world.points("docs", "acme", "service").count() == 3
    assert world.code(world.admin.collection(world.name("docs")).count) == "tenant_required"


def test_membership_hides_the_collection(world: World) -> None:
    world.admin.create_tenant(world.name("acme"))
    world.admin.create_collection(world.name("closed"), 3, tenants=[world.name("acme")])
    outside = world.points("closed", "globex")
    assert world.code(outside.count) == "collection_not_found"
    assert world.code(outside.upsert, ["a"], [X]) == "collection_not_found"
    assert world.code(world.tenant("globex").get_collection, world.name("closed")) == "collection_not_found"
    assert world.points("closed", "acme").count() == 0


def test_quota(world: World, docs: Any) -> None:
    world.admin.update_tenant(world.name("acme"), 3)
    assert world.code(docs.upsert, ["d"], [X]) == "quota_exceeded"
    docs.upsert(["a"], [Y])
    usage = world.plain(world.tenant("acme").get_tenant(world.name("acme")))["usage"]
    assert usage["points"] == 3


def test_min_sequence(world: World, docs: Any) -> None:
    sequence = docs.upsert(["d"], [X])
    assert docs.count(min_sequence=sequence) == 4
    for act, *args in ((docs.count,), (docs.search, X), (docs.get, ["a"]), (docs.scroll,)):
        assert world.code(act, *args, min_sequence=sequence + 10**6, timeout_s=0.05) == "sequence_timeout"


def test_limits_and_jobs(world: World) -> None:
    limits = world.admin.limits()
    assert limits["max_limit"] == 1000
    assert isinstance(world.admin.jobs(), list)
    assert world.code(world.admin.get_job, NOBODY_KNOWS) == "job_not_found"


@pytest.mark.parametrize(("act", "code"), [row[1:] for row in BAD_INPUT], ids=[row[0] for row in BAD_INPUT])
def test_bad_input_has_one_code_and_changes_nothing(world: World, docs: Any, act: Act, code: str) -> None:
    assert world.code(act, docs) == code
    assert docs.count() == 3
    assert world.plain(docs.get(["a"], with_vector=True))[0]["vector"] == X


@pytest.mark.parametrize(("act", "code"), BAD_MANAGEMENT)
def test_bad_management_has_one_code(world: World, act: Callable[[Any, str], Any], code: str) -> None:
    assert world.code(act, world.admin, world.name("thing")) == code


def _told(world: World, act: Act) -> tuple[Any, ...]:
    """All that the error of an act says."""
    world.admin.create_collection(world.name("docs"), 3, "l2")
    points = world.points("docs", "acme")
    points.upsert(["a"], [X])
    with pytest.raises(VdbError) as caught:
        act(points)
    problems = [(entry.pointer, entry.detail) for entry in caught.value.problems]
    return type(caught.value), caught.value.detail, problems


@pytest.mark.parametrize("act", [row[1] for row in BAD_INPUT], ids=[row[0] for row in BAD_INPUT])
def test_errors_say_the_same_in_process_as_over_http(server: RunningServer, database: Database, act: Act) -> None:
    prefix = f"e{next(_numbers)}"
    told = _told(ways.local_world(prefix, database), act)
    assert told == _told(ways.sdk_world(prefix, server), act)


def _history(world: World) -> list[Any]:
    """Sequences and versions of one collection's writes."""
    world.admin.create_collection(world.name("docs"), 3)
    points = world.points("docs", "acme")
    sequences = [points.upsert(["a", "b"], [X, Y]), points.upsert(["b"], [X]), points.update_payload(["a"], {"n": 1})]
    sequences += [points.delete(["a"]).sequence, points.search(X).sequence]
    versions = [(point.id, point.version) for point in points.scroll()]
    return [*sequences, versions, world.admin.get_collection(world.name("docs")).sequence]


def test_sequences_and_versions_count_alike(server: RunningServer, database: Database) -> None:
    prefix = f"e{next(_numbers)}"
    history = _history(ways.local_world(prefix, database))
    assert history == _history(ways.sdk_world(prefix, server))
    assert history[:4] == sorted(set(history[:4]))


def test_declared_fields_are_checked(world: World) -> None:
    world.admin.create_collection(world.name("typed"), 3, fields={"year": "integer"})
    points = world.points("typed", "acme")
    assert world.code(points.upsert, ["a"], [X], [{"year": "old"}]) == "field_type_mismatch"
    assert world.code(points.count, {"field": "year", "eq": "old"}) == "field_type_mismatch"
    points.upsert(["a"], [X], [{"year": 2020}])
    assert points.count({"field": "year", "eq": 2020}) == 1
