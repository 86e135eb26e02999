"""Names, aliases, members and metadata of collections: the same in process, by the SDK and over plain HTTP."""

import json
from typing import Any

import pytest

from tests.contract.bad_input import NOBODY_KNOWS, X
from tests.contract.conftest import DE, EN, Y
from tests.contract.ways import World
from vdb.errors import VdbError
from vdb.protocol.requests import MAX_MEMORY_BYTES

MODEL = {"model": "e5-small", "version": "2"}
BAD_CAPS = (0, -1, MAX_MEMORY_BYTES + 1, 1.5, "1GiB", True)
SHOWN = {"model": "e5-small"}
"""The same as `World.plain` shows it: versions are left out."""


def _ids(found: Any) -> list[str]:
    return [item["id"] if isinstance(item, dict) else item.id for item in found]


def test_embedding_and_metadata(world: World) -> None:
    admin, name = world.admin, world.name("docs")
    made = world.plain(admin.create_collection(name, 3, embedding=MODEL, metadata={"team": "search"}))
    assert (made["embedding"], made["metadata"]) == (SHOWN, {"team": "search"})
    changed = world.plain(admin.update_collection(name, sharing="tenants"))
    assert (changed["embedding"], changed["metadata"]) == (SHOWN, {"team": "search"})
    replaced = world.plain(admin.update_collection(name, metadata={"tier": "gold"}))
    assert (replaced["embedding"], replaced["metadata"]) == (SHOWN, {"tier": "gold"})
    world.tenant("acme")
    seen = world.plain(world.tenant("acme").get_collection(name))
    assert (seen["embedding"], seen["metadata"]) == (SHOWN, {"tier": "gold"})
    cleared = world.plain(admin.update_collection(name, embedding=None, metadata=None))
    assert (cleared["embedding"], cleared["metadata"], cleared["sharing"]) == (None, {}, "tenants")


def test_text(world: World) -> None:
    admin, name = world.admin, world.name("docs")
    fields = {"title": 3, "text": 1}
    made = world.plain(admin.create_collection(name, 3, text={"fields": fields, "language": "german"}))
    assert made["text"] == {"fields": fields, "language": "german", "k1": 1.5, "b": 0.75, "state": "ready"}
    assert list(made["text"]["fields"]) == ["title", "text"], "the first one is the main one"
    assert world.plain(admin.update_collection(name, sharing="tenants"))["text"] == made["text"]
    changed = world.plain(
        admin.update_collection(name, text={"fields": fields, "language": "german", "k1": 0.9, "b": 0})
    )
    assert changed["text"] == made["text"] | {"k1": 0.9, "b": 0.0}
    assert world.plain(admin.update_collection(name, text=None))["text"] is None
    bare = world.plain(admin.create_collection(world.name("bare"), 3, text={}))["text"]
    assert bare == {"fields": {"text": 1}, "language": "english", "k1": 1.5, "b": 0.75, "state": "ready"}


@pytest.mark.parametrize(
    ("given", "code", "pointer"),
    [
        ({"language": "klingon"}, "invalid_argument", "/text/language"),
        ({"fields": {"t": 0}}, "invalid_argument", "/text/fields/t"),
        ({"fields": {"t": 1.5}}, "invalid_argument", "/text/fields"),
        ({"fields": {"t": True}}, "invalid_argument", "/text/fields"),
        ({"fields": {f"f{i}": 1 for i in range(17)}}, "too_large", "/text/fields"),
        ({"fields": ["t"]}, "invalid_argument", "/text/fields"),
        ({"b": 2}, "invalid_argument", "/text/b"),
        ({"k1": "1.5"}, "invalid_argument", "/text/k1"),
    ],
)
def test_a_bad_text_makes_no_collection(world: World, given: dict[str, Any], code: str, pointer: str) -> None:
    name = world.name("docs")
    with pytest.raises(VdbError) as caught:
        world.admin.create_collection(name, 3, text=given)
    assert (caught.value.code, caught.value.problems[0].pointer) == (code, pointer)
    assert world.code(world.admin.get_collection, name) == "collection_not_found"


def test_tier_and_memory(world: World) -> None:
    admin, name = world.admin, world.name("docs")
    made = world.plain(admin.create_collection(name, 3, tier="disk", memory_bytes=MAX_MEMORY_BYTES))
    assert (made["tier"], made["memory_bytes"]) == ("disk", MAX_MEMORY_BYTES)
    changed = world.plain(admin.update_collection(name, tier="hybrid"))
    assert (changed["tier"], changed["memory_bytes"]) == ("hybrid", MAX_MEMORY_BYTES)
    capped = world.plain(admin.update_collection(name, memory_bytes=1 << 30))
    assert (capped["tier"], capped["memory_bytes"]) == ("hybrid", 1 << 30)
    cleared = world.plain(admin.update_collection(name, tier="auto", memory_bytes=None))
    assert (cleared["tier"], cleared["memory_bytes"]) == ("auto", None)
    assert world.plain(admin.get_collection(name)) == cleared
    assert world.plain(admin.collection_stats(name))["index"]["tier"] is None


def test_a_cap_below_what_the_points_need_is_refused(world: World, docs: Any) -> None:
    admin, name = world.admin, world.name("docs")
    for given, pointer in (({"memory_bytes": 1}, "/memory_bytes"), ({"tier": "memory"}, "/tier")):
        with pytest.raises(VdbError, match=r"the 3 vectors there are needs [0-9]+ bytes") as caught:
            admin.update_collection(name, **given)
        assert (caught.value.code, caught.value.problems[0].pointer) == ("invalid_argument", pointer)
        admin.update_collection(name, memory_bytes=150)  # enough for `disk`


@pytest.mark.parametrize("given", [{"tier": "ram"}, *({"memory_bytes": cap} for cap in BAD_CAPS)])
def test_a_bad_tier_or_cap_makes_no_collection(world: World, given: dict[str, Any]) -> None:
    name = world.name("docs")
    with pytest.raises(VdbError) as caught:
        world.admin.create_collection(name, 3, **given)
    assert (caught.value.code, [problem.pointer for problem in caught.value.problems]) == (
        "invalid_argument",
        [f"/{field}" for field in given],
    )
    assert world.code(world.admin.get_collection, name) == "collection_not_found"


def test_rename(world: World, docs: Any) -> None:
    admin, old, new = world.admin, world.name("docs"), world.name("renamed")
    admin.set_aliases(set={world.name("current"): old})
    admin.create_collection(world.name("taken"), 3)
    renamed = world.plain(admin.rename_collection(old, new))
    assert (renamed["name"], renamed["aliases"], renamed["n_points"]) == ("renamed", ["current"], 3)
    assert world.code(docs.count) == "collection_not_found"
    assert world.code(admin.get_collection, old) == "collection_not_found"
    assert _ids(world.points("renamed", "acme").search(X)) == _ids(world.points("current", "acme").search(X))
    for name in ("taken", "current"):
        assert world.code(admin.rename_collection, new, world.name(name)) == "already_exists"
    assert world.code(admin.rename_collection, new, "Not A Name") == "invalid_argument"
    assert world.code(admin.rename_collection, old, world.name("other")) == "collection_not_found"
    assert world.plain(admin.rename_collection(new, new))["name"] == "renamed"
    assert world.plain(admin.create_collection(old, 3))["n_points"] == 0
    assert world.plain(admin.rename_collection(world.name("current"), world.name("again")))["name"] == "again"


def test_aliases_stand_for_their_collection(world: World, docs: Any) -> None:
    admin, current = world.admin, world.name("current")
    assert world.plain(admin.set_aliases(set={current: world.name("docs")})) == {
        "set": {"current": "docs"},
        "removed": [],
    }
    points = world.points("current", "acme")
    points.upsert(["d"], [X], [{"lang": "fr"}])
    points.update_payload(["d"], {"n": 1})
    assert (points.count(), docs.count()) == (4, 4)
    assert _ids(points.search(X)) == _ids(docs.search(X))
    assert world.plain(points.get(["d"])) == world.plain(docs.get(["d"]))
    assert _ids(points.scroll()) == _ids(docs.scroll())
    assert world.plain(points.delete(["d"])) == {"deleted": 1}
    job = world.plain(points.delete(filter={"field": "lang", "eq": "de"}))
    assert (job["state"], job["n_done"], job["collection"]) == ("done", 1, "docs")
    assert world.plain(admin.get_collection(current)) == world.plain(admin.get_collection(world.name("docs")))
    assert world.plain(admin.update_collection(current, sharing="tenants"))["sharing"] == "tenants"
    assert {"name": "current", "collection": "docs"} in world.plain(admin.aliases())
    assert {"name": "current", "collection": "docs"} in world.plain(world.tenant("acme").aliases())
    assert world.code(admin.delete_collection, current) == "conflict"
    assert world.plain(admin.delete_collection(world.name("docs"))) == {"deleted": True}
    for act in (admin.get_collection, admin.delete_collection, admin.update_collection):
        assert world.code(act, current) == "collection_not_found"
    assert "current" not in [alias["name"] for alias in world.plain(admin.aliases())]


def test_aliases_are_swapped_together_or_not_at_all(world: World, docs: Any) -> None:
    admin, name = world.admin, world.name
    admin.create_collection(name("new"), 3)
    admin.set_aliases(set={name("current"): name("docs"), name("next"): name("new")})

    def targets() -> dict[str, str]:
        return {alias["name"]: alias["collection"] for alias in world.plain(admin.aliases())}

    swapped = admin.set_aliases(
        set={name("current"): name("new"), name("previous"): name("docs")}, remove=[name("next")]
    )
    assert world.plain(swapped) == {"set": {"current": "new", "previous": "docs"}, "removed": ["next"]}
    kept = {"current": "new", "previous": "docs"}
    assert {alias: found for alias, found in targets().items() if alias in (*kept, "next")} == kept
    for set_, remove, code in (
        ({name("current"): name("docs"), name("x"): NOBODY_KNOWS}, [], "collection_not_found"),
        ({name("current"): name("previous")}, [], "collection_not_found"),
        ({name("current"): name("docs"), name("new"): name("docs")}, [], "already_exists"),
        ({name("current"): name("docs")}, [NOBODY_KNOWS], "not_found"),
        ({name("current"): name("docs")}, [name("current")], "invalid_argument"),
        ({name("current"): name("docs"), "Not A Name": name("docs")}, [], "invalid_argument"),
        ({}, [name("current"), name("current")], "invalid_argument"),
        ({}, ["not/a/name"], "invalid_argument"),
        ({}, [], "empty_batch"),
        ({f"a{i}": name("docs") for i in range(1001)}, [], "too_large"),
    ):
        assert world.code(admin.set_aliases, set=set_, remove=remove) == code
        assert {alias: found for alias, found in targets().items() if alias in (*kept, "next")} == kept
    assert world.code(admin.create_collection, name("current"), 3) == "already_exists"
    assert world.code(world.tenant("acme").set_aliases, remove=[name("current")]) == "forbidden"


def test_an_alias_of_a_hidden_collection_is_like_an_absent_name(world: World) -> None:
    admin = world.admin
    admin.create_tenant(world.name("globex"))
    admin.create_collection(world.name("closed"), 3, tenants=[world.name("globex")])
    admin.set_aliases(set={world.name("current"): world.name("closed")})
    inside, outside = world.points("current", "globex"), world.points("current", "acme")
    assert inside.upsert(["a"], [X]) == 1
    for act, *args in ((outside.count,), (outside.search, X), (outside.upsert, ["a"], [X]), (outside.scroll,)):
        assert world.code(act, *args) == "collection_not_found"
    assert world.code(world.tenant("acme").get_collection, world.name("current")) == "collection_not_found"
    assert "current" not in [alias["name"] for alias in world.plain(world.tenant("acme").aliases())]
    assert "current" in [alias["name"] for alias in world.plain(world.tenant("globex").aliases())]


def test_members(world: World, docs: Any) -> None:
    admin, name = world.admin, world.name("docs")
    world.points("docs", "globex").upsert(["x"], [Y])
    members = world.plain(admin.members(name))
    assert [(found["tenant"], found["points"], found["listed"]) for found in members] == [
        ("acme", 3, False),
        ("globex", 1, False),
    ]
    assert members[1]["bytes"] == 1 + 12
    assert world.code(admin.update_collection, name, add_tenants=[world.name("acme")]) == "conflict"
    assert world.code(admin.update_collection, name, remove_tenants=[world.name("acme")]) == "conflict"
    admin.create_tenant(world.name("initech"))
    admin.update_collection(name, tenants=[world.name("acme")])
    changed = admin.update_collection(
        name, add_tenants=[world.name("initech"), world.name("acme")], remove_tenants=[world.name("globex")]
    )
    assert world.plain(changed)["tenants"] == ["acme", "initech"]
    assert [(found["tenant"], found["points"], found["listed"]) for found in world.plain(admin.members(name))] == [
        ("acme", 3, True),
        ("globex", 1, False),
        ("initech", 0, True),
    ]
    assert world.code(world.points("docs", "globex").count) == "collection_not_found"
    assert world.plain(admin.update_collection(name, remove_tenants=[world.name("initech")]))["tenants"] == ["acme"]
    assert world.code(world.tenant("acme").members, name) == "forbidden"
    assert world.code(admin.members, NOBODY_KNOWS) == "collection_not_found"


def _payload_bytes(world: World, payload: dict[str, Any]) -> int:
    """The bytes of a payload as this way sends it, which is how it is stored."""
    return len(json.dumps(payload, separators=None if world.way == "raw" else (",", ":")))


def test_statistics(world: World, docs: Any) -> None:
    name = world.name("docs")
    world.points("docs", "globex").upsert(["long-id"], None, [{"lang": "fr"}])
    docs.search(X)
    own = world.plain(world.tenant("acme").collection_stats(name))
    payloads = sum(_payload_bytes(world, payload) for payload in (EN, DE, EN))
    assert (own["points"], own["vectors"], sorted(own)) == (3, 3, ["memory", "points", "stored", "vectors"])
    assert own["stored"] == {"id_bytes": 3, "payload_bytes": payloads, "vector_bytes": 36}
    assert own["memory"]["vector_bytes"] >= 36 and own["memory"]["row_bytes"] > 0
    whole = world.plain(world.admin.collection_stats(name))
    assert (whole["points"], whole["vectors"], whole["n_owners"], whole["waiting_writes"]) == (4, 3, 2, 0)
    stored = whole["stored"]
    assert stored["id_bytes"] == 10 and stored["payload_bytes"] == payloads + _payload_bytes(world, {"lang": "fr"})
    parts = [stored[f"{part}_bytes"] for part in ("id", "payload", "vector", "index", "overhead")]
    assert sum(parts) == stored["live_bytes"] <= stored["file_bytes"] == stored["live_bytes"] + stored["free_bytes"]
    assert whole["memory"]["n_tenants"] == 1 and whole["memory"]["map_bytes"] >= stored["file_bytes"]
    assert whole["last_commit_at"] is not None
    world.admin.set_aliases(set={world.name("live"): name})
    assert world.plain(world.admin.collection_stats(world.name("live")))["points"] == 4
    assert world.code(world.admin.collection_stats, NOBODY_KNOWS) == "collection_not_found"


@pytest.mark.parametrize(
    ("given", "code", "pointer"),
    [
        ({"embedding": {"model": "m"}}, "invalid_argument", "/embedding/version"),
        ({"embedding": {"model": "", "version": ""}}, "invalid_argument", "/embedding/model"),
        ({"embedding": {"model": "m", "version": "x" * 1025}}, "too_large", "/embedding/version"),
        ({"embedding": {"model": "m", "version": "1", "size": "s"}}, "unknown_field", "/embedding/size"),
        ({"embedding": "m"}, "invalid_argument", "/embedding"),
        ({"embedding": {"model": "lexical", "version": "2"}}, "model_mismatch", "/embedding"),
        ({"embedding": {"model": "lexical", "version": "1"}}, "model_mismatch", "/embedding"),
        ({"metadata": {"Team": "x"}}, "invalid_argument", "/metadata/Team"),
        ({"metadata": {"a/b": "x"}}, "invalid_argument", "/metadata/a~1b"),
        ({"metadata": {"x" * 65: "x"}}, "invalid_argument", "/metadata/" + "x" * 65),
        ({"metadata": {"team": "ü" * 513}}, "too_large", "/metadata/team"),
        ({"metadata": {"team": 5}}, "invalid_argument", "/metadata"),
        ({"metadata": {f"n{i}": "" for i in range(65)}}, "too_large", "/metadata"),
        ({"tier": "ram"}, "invalid_argument", "/tier"),
        ({"tier": None}, "invalid_argument", "/tier"),
        *(({"memory_bytes": cap}, "invalid_argument", "/memory_bytes") for cap in BAD_CAPS),
        ({"tenants": [], "add_tenants": []}, "invalid_argument", "/add_tenants"),
        ({"tenants": [], "remove_tenants": []}, "invalid_argument", "/remove_tenants"),
        ({"add_tenants": ["no-such-thing"]}, "invalid_argument", "/add_tenants/0"),
        ({"remove_tenants": ["*"]}, "invalid_argument", "/remove_tenants/0"),
        ({"tenants": ["no-such-thing"]}, "invalid_argument", "/tenants/0"),
    ],
)
def test_bad_changes_point_at_the_fault_and_change_nothing(
    world: World, given: dict[str, Any], code: str, pointer: str
) -> None:
    name = world.name("docs")
    before = world.plain(world.admin.create_collection(name, 3, embedding=MODEL, metadata={"team": "search"}))
    with pytest.raises(VdbError) as caught:
        world.admin.update_collection(name, **given)
    assert (caught.value.code, [problem.pointer for problem in caught.value.problems]) == (code, [pointer])
    assert world.plain(world.admin.get_collection(name)) == before


def test_both_added_and_removed_is_refused(world: World) -> None:
    name, acme = world.name("docs"), world.name("acme")
    world.admin.create_tenant(acme)
    world.admin.create_collection(name, 3, tenants=[acme])
    assert world.code(world.admin.update_collection, name, add_tenants=[acme], remove_tenants=[acme]) == (
        "invalid_argument"
    )
