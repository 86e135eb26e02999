"""Search by text, and learning its fusion, in every way to reach an engine."""

from typing import Any

import pytest

from tests.contract.ways import World

TEXTS = {
    "pump": "the hydraulic pump leaks oil after a cold start",
    "valve": "a valve that sticks is cleaned with oil",
    "gasket": "replace the gasket before winter",
}
VECTORS = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


@pytest.fixture
def notes(world: World) -> Any:
    world.admin.create_collection(world.name("docs"), 3, text={"fields": {"text": 1}})
    notes = world.points("docs", "acme")
    notes.upsert(list(TEXTS), VECTORS, [{"text": text, "kind": name[0]} for name, text in TEXTS.items()])
    return notes


def test_hybrid_answers_with_both_legs(world: World, notes: Any) -> None:
    hits = world.plain(notes.search([0.0, 1.0, 0.0], text="pump oil", limit=3))
    assert {hit["id"] for hit in hits} == set(TEXTS)
    by_id = {hit["id"]: hit for hit in hits}
    assert by_id["pump"]["legs"]["sparse"]["rank"] == 1 and by_id["pump"]["owner"] == "acme"
    assert by_id["valve"]["legs"]["dense"] == {"rank": 1, "score": pytest.approx(0.0)}
    assert by_id["gasket"]["legs"]["sparse"] == {"score": 0.0}
    assert by_id["valve"]["distance"] == pytest.approx(0.0)


def test_words_alone_need_no_vector(world: World, notes: Any) -> None:
    hits = world.plain(notes.search(text='oil: "valve" {\\}', mode="sparse"))
    assert [hit["id"] for hit in hits] == ["valve", "pump"]
    assert "distance" not in hits[0] and "dense" not in hits[0]["legs"]
    assert hits[0]["score"] == hits[0]["legs"]["sparse"]["score"]


def test_several_texts_answer_apart_or_together(world: World, notes: Any) -> None:
    apart = world.plain(notes.search(text=["gasket", "valve"], mode="sparse"))
    assert [[hit["id"] for hit in row] for row in apart] == [["gasket"], ["valve"]]
    together = world.plain(notes.search(text=["gasket", "valve"], mode="sparse", combine="rrf", weights=[1, 2]))
    assert [hit["id"] for hit in together] == ["valve", "gasket"]


def test_rerankers_groups_and_fusion_are_understood(world: World, notes: Any) -> None:
    given = {"fusion": {"kind": "rrf", "weight": 0.3, "rrf_k": 10.0, "depth": 5}, "group": {"field": "kind", "size": 1}}
    hits = world.plain(notes.search(VECTORS[0], text="oil", reranker={"by": "mmr", "diversity": 0.2}, **given))
    assert len(hits) == 3
    full = world.plain(notes.search(VECTORS[2], text="oil", reranker={"by": "full"}, group="kind", limit=1))
    assert [hit["id"] for hit in full] == ["gasket"]


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "invalid_argument"),
    ({"text": 7}, "invalid_argument"),
    ({"text": " "}, "invalid_argument"),
    ({"text": "a", "mode": "both"}, "invalid_argument"),
    ({"text": "a", "mode": "dense"}, "invalid_argument"),
    ({"text": "a", "fusion": {"weight": 2}}, "invalid_argument"),
    ({"text": "a", "fusion": {"depth": 2**70}}, "integer_out_of_range"),
    ({"text": "a", "fusion": {"share": 0.5}}, "unknown_field"),
    ({"text": "a", "reranker": {"by": "luck"}}, "invalid_argument"),
    ({"text": "a", "reranker": {"by": "model", "model": "nobody"}}, "invalid_argument"),
    ({"text": "a", "group": {"size": 0}}, "invalid_argument"),
    ({"text": ["a"] * 300}, "too_large"),
    ({"text": "a" * 70_000}, "too_large"),
    ({"text": "\ud800"}, "invalid_json"),
]


@pytest.mark.parametrize(("given", "code"), BAD, ids=lambda value: str(value)[:40])
def test_what_cannot_be_is_refused_alike(world: World, notes: Any, given: dict[str, Any], code: str) -> None:
    assert world.code(notes.search, **given) in (code, "invalid_argument")


def test_a_fusion_is_set_learned_and_cleared(world: World, notes: Any) -> None:
    name = world.name("docs")
    changed = world.plain(world.admin.update_collection(name, fusion={"kind": "sigma", "weight": 0.25}))
    assert changed["fusion"] == {"kind": "sigma", "weight": 0.25, "rrf_k": 60.0}
    queries = [{"text": text, "vector": VECTORS[0], "relevant": {key: 1}} for key, text in TEXTS.items()]
    teacher = world.admin.collection(name, tenant=world.name("acme"))
    told = world.plain(teacher.learn_fusion(queries, metric="mrr", at=3, dry_run=True))
    assert told["kept"] is False and told["n_queries"] == 3 and told["sparse"] == 1.0
    assert world.plain(world.admin.get_collection(name))["fusion"]["kind"] == "sigma"
    assert world.code(notes.learn_fusion, queries) == "forbidden"
    assert world.code(teacher.learn_fusion, [{"text": "a", "relevant": {}}]) == "invalid_argument"
    assert world.plain(world.admin.update_collection(name, fusion=None))["fusion"] is None
