"""What each leg brings, and what a hit says of it."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from msgspec import UNSET

from tests.engine.ranked.conftest import TEXTS, direction
from vdb.client import Collection
from vdb.engine import legs
from vdb.engine.nearest import Listed
from vdb.errors import InvalidArgument, TooLarge
from vdb.local import Database


def names(hits: list[Any]) -> list[str]:
    return [hit.id for hit in hits]


def test_words_alone_find_what_has_them_best_first(notes: Collection) -> None:
    hits = notes.search(text="oil for the valve", mode="sparse")
    assert names(hits) == ["valve", "pump"]
    assert hits[0].score > hits[1].score > 0
    assert hits[0].legs.sparse.rank == 1 and hits[0].legs.sparse.score == hits[0].score
    assert hits[0].legs.dense is UNSET and hits[0].distance is UNSET


def test_a_point_without_a_vector_is_found_by_its_words(notes: Collection) -> None:
    hits = notes.search(direction(0), text="page of the manual")
    (found,) = [hit for hit in hits if hit.id == "manual"]
    assert found.distance is UNSET
    assert found.legs.sparse.rank == 1 and found.legs.dense.rank is UNSET and found.legs.dense.score is UNSET


def test_hybrid_is_what_a_text_and_a_vector_ask_for(notes: Collection) -> None:
    hits = notes.search(direction(2), text="cold engine", fusion={"kind": "minmax", "weight": 0.5}, explain=True)
    assert hits.explain is not None
    assert hits.explain.mode == "hybrid" and hits.explain.terms == 2
    assert set(names(hits)[:2]) == {"engine", "gasket"}
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_every_candidate_is_scored_by_both_legs(notes: Collection) -> None:
    """With a depth of 1 each leg lists one point, and the other's score of it is there all the same."""
    hits = notes.search(direction(2), text="engine", limit=1, fusion={"depth": 1})
    assert len(hits) == 1
    both = {hit.id: hit for hit in notes.search(direction(2), text="engine", limit=2, fusion={"depth": 2})}
    assert both["engine"].legs.sparse.rank == 1
    assert both["engine"].legs.dense.score == pytest.approx(-1.0)
    assert both["gasket"].legs.dense.rank == 1 and both["gasket"].legs.dense.score == pytest.approx(0.0)
    assert both["gasket"].legs.sparse.score == 0.0 and both["gasket"].legs.sparse.rank is UNSET


def test_mode_dense_orders_as_a_search_by_vector(notes: Collection) -> None:
    by_vector = notes.search(direction(1) + 0.1 * direction(3))
    ranked = notes.search(direction(1) + 0.1 * direction(3), mode="dense")
    assert names(ranked) == names(by_vector)
    assert [hit.distance for hit in ranked] == pytest.approx([hit.distance for hit in by_vector])
    assert ranked[0].score == -ranked[0].distance


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_distances_that_are_looked_up_are_those_of_a_search(database: Database, metric: str) -> None:
    database.create_collection("m", 8, metric=metric, text={"fields": {"text": 1}})
    docs = database.as_tenant("acme").collection("m")
    vectors = [3 * direction(0), direction(1) + direction(2), 0 * direction(0)]
    docs.upsert(["a", "b", "c"], vectors, [{"text": word} for word in ("one", "two", "three")])
    query = direction(0) + 2 * direction(1)
    stated = {hit.id: hit.distance for hit in docs.search(query)}
    found = docs.search(query, text="one two three", limit=3, fusion={"depth": 3})
    assert {hit.id: hit.distance for hit in found} == pytest.approx(stated)
    for word, name in (("one", "a"), ("two", "b"), ("three", "c")):
        (hit,) = docs.search(query, text=word, limit=1, fusion={"depth": 1, "weight": 0.0})
        assert hit.id == name and hit.distance == pytest.approx(stated[name])


def test_what_expired_leaves_no_gap_in_the_ranks(notes: Collection) -> None:
    soon = datetime.now(UTC) + timedelta(milliseconds=300)
    notes.upsert(["gone"], [direction(5)], [{"text": "oil oil oil valve"}], expires_at=soon)
    assert names(notes.search(text="oil valve", mode="sparse"))[0] == "gone"
    time.sleep(0.35)
    hits = notes.search(text="oil valve", mode="sparse")
    assert names(hits) == ["valve", "pump"]
    assert [hit.legs.sparse.rank for hit in hits] == [1, 2]


@pytest.mark.parametrize("indexes", [[], ["kind"]])
def test_a_filter_holds_for_both_legs(database: Database, indexes: list[str]) -> None:
    database.create_collection(
        "f", 8, text={"fields": {"text": 1}}, fields={"kind": "string", "n": "integer"}, indexes=indexes
    )
    docs = database.as_tenant("acme").collection("f")
    ids = [f"p{i}" for i in range(300)]
    payloads = [{"text": f"word{i % 3} common", "kind": "x" if i % 50 == 7 else "y", "n": i} for i in range(300)]
    docs.upsert(ids, [direction(i % 8) for i in range(300)], payloads)
    for mode in ("sparse", "hybrid", "dense"):
        vector = None if mode == "sparse" else direction(3)
        hits = docs.search(vector, text="common word1", mode=mode, filter={"field": "kind", "eq": "x"}, limit=10)
        assert sorted(names(hits)) == sorted(f"p{i}" for i in range(300) if i % 50 == 7), mode
        few = docs.search(
            vector,
            text="common word1",
            mode=mode,
            filter={"and": [{"field": "kind", "eq": "x"}, {"field": "n", "gt": 200}]},
            limit=10,
        )
        assert sorted(names(few)) == ["p207", "p257"], mode


def test_max_distance_cuts_the_vectors_leg_only(notes: Collection) -> None:
    hits = notes.search(direction(0), text="manual", max_distance=0.5)
    assert set(names(hits)) == {"pump", "manual"}


def test_several_queries_answer_as_one_by_one(notes: Collection) -> None:
    texts = list(TEXTS.values()) * 2
    vectors = [direction(i % 4) for i in range(len(texts))]
    together = notes.search(vectors, text=texts, limit=3)
    for text, vector, hits in zip(texts, vectors, together, strict=True):
        alone = notes.search(vector, text=text, limit=3)
        assert [(hit.id, hit.score) for hit in hits] == [(hit.id, hit.score) for hit in alone]


def test_a_text_without_a_known_word_leaves_the_other_leg(notes: Collection) -> None:
    assert notes.search(text="zebra", mode="sparse") == []
    assert names(notes.search(direction(1), text="zebra"))[0] == "valve"


def test_an_empty_collection_answers_nothing(database: Database) -> None:
    database.create_collection("empty", 8, text={"fields": {"text": 1}})
    docs = database.as_tenant("acme").collection("empty")
    docs.upsert(["a"], [direction(0)], [{}])
    docs.delete(["a"])
    for mode in ("sparse", "hybrid"):
        assert docs.search(None if mode == "sparse" else direction(0), text="any", mode=mode) == []


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({}, "/vector"),
        ({"text": ""}, "/text"),
        ({"text": " \n"}, "/text"),
        ({"text": "x", "mode": "dense"}, "/text"),
        ({"text": "x", "mode": "hybrid"}, "/text"),
        ({"vector": direction(0), "mode": "sparse"}, "/text"),
        ({"vector": direction(0), "mode": "hybrid"}, "/text"),
        ({"text": []}, "/texts"),
        ({"text": ["a", " "]}, "/texts/1"),
        ({"vector": [direction(0)], "text": ["a", "b"]}, "/texts"),
        ({"vector": direction(0), "text": "x", "fusion": {"weight": 1.5}}, "/fusion/weight"),
        ({"vector": direction(0), "text": "x", "fusion": {"kind": "minmax", "rrf_k": 3.0}}, "/fusion/rrf_k"),
        ({"vector": direction(0), "text": "x", "fusion": {"kind": "rrf", "rrf_k": 0.0}}, "/fusion/rrf_k"),
        ({"vector": direction(0), "text": "x", "fusion": {"depth": 0}}, "/fusion/depth"),
        ({"text": "x", "reranker": {"by": "full"}}, "/reranker/by"),
        ({"text": "x", "reranker": {"by": "mmr", "diversity": 2.0}}, "/reranker/diversity"),
        ({"text": "x", "reranker": {"by": "mmr", "model": "m"}}, "/reranker/model"),
        ({"text": "x", "reranker": {"by": "model"}}, "/reranker/model"),
        ({"text": "x", "reranker": {"by": "model", "model": "nobody"}}, "/reranker/model"),
        ({"text": "x", "group": {"field": ""}}, "/group/field"),
        ({"text": "x", "group": {"size": 0}}, "/group/size"),
        ({"text": "x", "weights": [1.0]}, "/weights"),
        ({"text": ["x"], "combine": "sum", "weights": [1.0, 2.0]}, "/weights"),
        ({"text": ["x"], "combine": "sum", "weights": [-1.0]}, "/weights/0"),
    ],
)
def test_what_cannot_be_is_refused_where_it_stands(notes: Collection, given: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        notes.search(**given)
    assert refused.value.problems[0].pointer == pointer


def test_a_model_is_not_asked_for_each_of_many_lists(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    database.create_collection("many", 8, text={"fields": {"text": 1}})
    docs = database.as_tenant("acme").collection("many")
    docs.upsert(["a"], [direction(0)], [{"text": "words"}])
    monkeypatch.setattr(database._engine.services.models, "reranker", lambda name: object())
    with pytest.raises(TooLarge) as refused:
        docs.search(text=["words"] * 17, mode="sparse", reranker={"by": "model", "model": "m"})
    assert refused.value.problems[0].pointer == "/reranker"


def test_without_a_text_index_only_vectors_search(database: Database) -> None:
    database.create_collection("plain", 8)
    docs = database.as_tenant("acme").collection("plain")
    docs.upsert(["a"], [direction(0)], [{"text": "words"}])
    for given in ({"text": "words"}, {"text": "words", "vector": direction(0), "mode": "hybrid"}):
        with pytest.raises(InvalidArgument):
            docs.search(**given)
    assert names(docs.search(direction(0), text="words")) == ["a"]  # dense: the text has nothing to add


def test_texts_whose_postings_fill_the_memory_are_refused(notes: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of all texts of a request are held at once: hundreds of long ones took gigabytes."""
    monkeypatch.setattr(legs, "MAX_POSTINGS", 5)
    assert len(notes.search(text=["oil", "cold"], mode="sparse")) == 2
    with pytest.raises(TooLarge, match="fewer"):
        notes.search(text=["oil", "cold", "winter oil"], mode="sparse")


def test_the_largest_distance_is_not_rounded_to_that_of_a_point() -> None:
    distance = np.array([0.1, 0.3], np.float32)
    listed = Listed(distance, np.array([7, 8], np.uint32), np.array([1, 1], np.uint32))
    assert float(distance[0]) > 0.1
    assert listed.within(0.1).pids.tolist() == []
    assert listed.within(float(distance[0])).pids.tolist() == [7]
    assert listed.within(1.0).pids.tolist() == [7, 8]


def test_places_are_the_same_as_arrays() -> None:
    listed = Listed.of([(0.25, 7, 1), (0.5, 8, 2)])
    assert [column.tolist() for column in listed] == [[0.25, 0.5], [7, 8], [1, 2]]
    assert [len(column) for column in Listed.of([])] == [0, 0, 0]
