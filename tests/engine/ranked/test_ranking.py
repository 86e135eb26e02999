"""Fusion, rerankers, groups, several queries in one list."""

from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import UNSET

from tests.engine.ranked.conftest import DIMENSION, TEXTS, direction
from vdb.client import Collection
from vdb.engine import ranked
from vdb.engine.legs import Legs
from vdb.engine.union import Union
from vdb.errors import Forbidden, InvalidArgument, TenantNotFound, TooLarge
from vdb.local import Database


def names(hits: list[Any]) -> list[str]:
    return [hit.id for hit in hits]


def test_the_weight_is_the_share_of_the_vectors(notes: Collection) -> None:
    by_vector = notes.search(direction(2), text="valve", fusion={"weight": 1.0})
    by_words = notes.search(direction(2), text="valve", fusion={"weight": 0.0})
    assert by_vector[0].id == "gasket" and by_words[0].id == "valve"


@pytest.mark.parametrize("kind", ["coverage", "minmax", "sigma", "rrf"])
def test_each_fusion_answers_with_both_first(notes: Collection, kind: str) -> None:
    hits = notes.search(direction(2), text="valve", fusion={"kind": kind, "weight": 0.5}, explain=True)
    assert set(names(hits)[:2]) == {"gasket", "valve"}
    assert hits.explain is not None and hits.explain.fusion == kind


def test_a_collection_s_fusion_holds_where_a_search_says_nothing(database: Database, notes: Collection) -> None:
    assert database.get_collection("notes").fusion is None
    changed = database.update_collection("notes", fusion={"kind": "minmax", "weight": 0.0})
    assert changed.fusion is not None
    assert changed.fusion.kind == "minmax" and changed.fusion.weight == 0.0
    assert notes.search(direction(2), text="valve")[0].id == "valve"
    database.update_collection("notes", fusion={"kind": "minmax", "weight": 1.0})
    assert notes.search(direction(2), text="valve")[0].id == "gasket"
    assert notes.search(direction(2), text="valve", fusion={"weight": 0.0})[0].id == "valve"
    assert database.update_collection("notes", fusion=None).fusion is None
    with pytest.raises(InvalidArgument):
        database.update_collection("notes", fusion={"kind": "minmax", "weight": 2.0})


def test_full_orders_the_words_leg_by_vectors(notes: Collection) -> None:
    hits = notes.search(direction(0), text="oil", fusion={"weight": 0.0}, reranker={"by": "full"}, limit=2)
    assert hits[0].id == "pump"  # the valve's note is shorter, so the words prefer it
    assert hits[0].score == pytest.approx(0.0)


def test_mmr_puts_a_twin_behind_what_is_unlike_it(database: Database) -> None:
    database.create_collection("twins", 8, text={"fields": {"text": 1}})
    docs = database.as_tenant("acme").collection("twins")
    near, twin, other = direction(0), direction(0) + 0.01 * direction(1), direction(0) + 0.8 * direction(2)
    docs.upsert(["near", "twin", "other", "far"], [near, twin, other, direction(7)])
    assert names(docs.search(direction(0), mode="dense")) == ["near", "twin", "other", "far"]
    assert names(docs.search(direction(0), reranker={"by": "mmr", "diversity": 0.0})) == [
        "near",
        "twin",
        "other",
        "far",
    ]
    diverse = names(docs.search(direction(0), limit=2, reranker={"by": "mmr", "diversity": 0.7}))
    assert diverse[0] == "near" and diverse[1] != "twin"


class _Backwards:
    """A reranker that likes the shortest text."""

    name = "backwards"

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []

    def rerank(self, query: str, texts: list[str]) -> np.ndarray:
        self.asked.append((query, list(texts)))
        return np.array([-float(len(text)) for text in texts])


def test_a_model_ranks_by_what_it_reads(notes: Collection, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _Backwards()
    monkeypatch.setattr(database._engine.services.models, "reranker", lambda name: model if name == "m" else None)
    hits = notes.search(direction(0), text="oil cold", reranker={"by": "model", "model": "m"}, limit=2)
    assert names(hits) == ["manual", "engine"] or len(hits[0].payload["text"]) <= len(hits[1].payload["text"])
    assert hits[0].score == -len(hits[0].payload["text"])
    query, texts = model.asked[0]
    assert query == "oil cold" and hits[0].payload["text"] in texts
    notes.search(direction(0), reranker={"by": "model", "model": "m", "query": "other words"})
    assert model.asked[-1][0] == "other words"


def _chunks(database: Database, n_documents: int, n_chunks: int) -> Collection:
    database.create_collection("chunks", 8, text={"fields": {"text": 1}})
    docs = database.as_tenant("acme").collection("chunks")
    ids, payloads, vectors = [], [], []
    for d in range(n_documents):
        for c in range(n_chunks):
            ids.append(f"d{d}#{c}")
            payloads.append({"text": "pump " * (n_documents - d), "document": f"d{d}"})
            vectors.append(direction(0) * (n_documents - d) + 0.01 * direction(1 + c % 7))
    docs.upsert(ids, vectors, payloads)
    return docs


@pytest.mark.parametrize("mode", ["sparse", "dense", "hybrid"])
def test_a_group_answers_with_its_best(database: Database, mode: str) -> None:
    """The legs look deeper until there are as many groups as were asked for."""
    docs = _chunks(database, 5, 40)
    vector = None if mode == "sparse" else direction(0)
    hits = docs.search(vector, text="pump", mode=mode, group="document", limit=5, fusion={"depth": 5})
    assert sorted(hit.payload["document"] for hit in hits) == ["d0", "d1", "d2", "d3", "d4"]
    two = docs.search(vector, text="pump", mode=mode, group={"field": "document", "size": 2}, limit=4)
    assert len({hit.payload["document"] for hit in two}) == 2


def test_many_queries_look_no_deeper_than_one(database: Database) -> None:
    """A request of many queries, each of whose candidates are one document's, would read the store for minutes."""
    docs = _chunks(database, 2, 300)
    depths: list[int] = []
    real = Legs.unions

    def noted(legs: Legs, depth: int) -> list[Union]:
        depths.append(depth)
        return real(legs, depth)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Legs, "unions", noted)
        docs.search(text=["pump"] * 100, mode="sparse", group="document", limit=5)
        docs.search(text="pump", mode="sparse", group="document", limit=5)
    assert depths == [50, 100, 50, 200, 800]


def test_a_point_without_the_field_is_a_group_of_its_own(notes: Collection) -> None:
    assert len(notes.search(direction(0), text="oil", group="document")) == len(notes.search(direction(0), text="oil"))


def test_queries_are_combined_into_one_list(notes: Collection) -> None:
    texts = ["valve oil", "gasket winter"]
    apart = notes.search(text=texts, mode="sparse")
    for how in ("rrf", "sum", "max"):
        hits = notes.search(text=texts, mode="sparse", combine=how)
        assert sorted(names(hits)) == sorted({name for row in apart for name in names(row)}), how
        assert hits[0].score >= hits[-1].score
    only_second = notes.search(text=texts, mode="sparse", combine="rrf", weights=[0.0, 1.0])
    assert only_second[0].id == "gasket"


def test_fusion_is_learned_from_judged_queries(database: Database, notes: Collection) -> None:
    """The words know, the vectors point elsewhere: the weight of the vectors falls."""
    queries = [
        {"text": text, "vector": direction((i + 1) % 4), "relevant": {name: 1}}
        for i, (name, text) in enumerate(
            [("pump", "hydraulic pump"), ("valve", "sticking valve"), ("gasket", "gasket"), ("engine", "engine")]
        )
    ] * 10
    admin = database.as_tenant("acme", "admin").collection("notes")
    told = admin.learn_fusion(queries, metric="mrr", at=5, dry_run=True)
    assert not told.kept and database.get_collection("notes").fusion is None
    found = admin.learn_fusion(queries, metric="mrr", at=5)
    assert found.n_queries == 40 and found.metric == "mrr@5"
    assert found.sparse > found.dense and found.learned >= found.default
    stored = database.get_collection("notes").fusion
    assert (stored is not None) == found.kept
    if found.kept:
        assert stored == found.fusion and stored.weight < 0.5
    with pytest.raises(Forbidden):
        notes.learn_fusion(queries)


def test_queries_are_judged_by_what_their_tenant_sees(database: Database, notes: Collection) -> None:
    """Two tenants have a point of one id; the words of only one of them are asked for."""
    database.as_tenant("globex").collection("notes").upsert(["pump"], direction(0)[None], [{"text": "something else"}])
    database.create_tenant("idle")
    admin = database.as_tenant("acme", "admin").collection("notes")
    query = {"text": "hydraulic pump", "relevant": {"pump": 1}, "vector": direction(4)}
    own, other = (admin.learn_fusion([query | more], dry_run=True, at=1) for more in ({}, {"tenant": "globex"}))
    assert (own.sparse, own.n_queries) == (1.0, 1)
    assert other.dense == 1.0  # the only point that it has
    found = admin.learn_fusion([query, query | {"tenant": "idle"}], dry_run=True, at=1)
    assert (found.sparse, found.n_queries) == (0.5, 2)
    for tenant in ("nobody", "*", ""):
        with pytest.raises(TenantNotFound) as refused:
            admin.learn_fusion([query, query | {"tenant": tenant}], dry_run=True)
        assert refused.value.problems[0].pointer == "/queries/1/tenant"


def test_a_tenant_that_may_not_use_the_collection_teaches_it_nothing(database: Database) -> None:
    for tenant in ("acme", "globex"):
        database.create_tenant(tenant)
    database.create_collection("closed", DIMENSION, text={"fields": {"text": 1}}, tenants=["acme"])
    admin = database.as_tenant("acme", "admin").collection("closed")
    query = {"text": "pump", "relevant": {"pump": 1}, "vector": direction(0)}
    admin.learn_fusion([query], dry_run=True)
    with pytest.raises(TenantNotFound):
        admin.learn_fusion([query | {"tenant": "globex"}], dry_run=True)


def test_what_is_learned_has_to_beat_the_fusion_so_far(database: Database, notes: Collection) -> None:
    database.update_collection("notes", fusion={"kind": "rrf", "weight": 1.0})
    admin = database.as_tenant("acme", "admin").collection("notes")
    few = [{"text": "hydraulic pump", "vector": direction(1), "relevant": {"pump": 1}}]
    told = admin.learn_fusion(few, metric="mrr")
    assert (told.kept, told.fusion.kind, told.default) == (False, "rrf", told.dense)
    found = admin.learn_fusion(few * 40, metric="mrr")
    assert found.kept and found.learned > found.default
    fusion = database.get_collection("notes").fusion
    assert fusion == found.fusion and fusion.kind == "coverage"


@pytest.mark.parametrize(
    ("queries", "pointer"),
    [
        ([], "/queries"),
        ([{"text": "a", "relevant": {}}], "/queries/0/relevant"),
        ([{"text": "a", "relevant": {"x": -1}}], "/queries/0/relevant"),
        ([{"text": "a", "relevant": {"x": 1}}, {"text": "b", "vector": [0.0] * 8, "relevant": {"x": 1}}], "/queries"),
    ],
)
def test_judgements_that_cannot_be_are_refused(
    database: Database, notes: Collection, queries: list[Any], pointer: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        database.as_tenant("acme", "admin").collection("notes").learn_fusion(queries)
    assert refused.value.problems[0].pointer == pointer


def test_explain_says_what_ran(notes: Collection) -> None:
    told = notes.search(text="oil valve", mode="sparse", explain=True).explain
    assert told is not None
    assert (told.path, told.mode, told.queries, told.terms) == ("text", "sparse", 1, 2)
    assert told.rows == 5 and told.postings == 3 and told.fusion is UNSET


def test_candidates_that_fill_the_memory_are_refused(notes: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups and combined queries hold the records of all candidates: with large payloads that was gigabytes."""
    asked: dict[str, Any] = {"text": "oil cold winter page", "mode": "sparse", "group": "kind"}
    n_bytes = sum(len(msgspec.json.encode(point.payload)) for point in notes.get(list(TEXTS)))
    monkeypatch.setattr(ranked, "MAX_HELD_BYTES", n_bytes)
    assert len(notes.search(**asked)) == 2
    monkeypatch.setattr(ranked, "MAX_HELD_BYTES", n_bytes // 3)
    with pytest.raises(TooLarge, match="less deep"):
        notes.search(**asked)
    assert len(notes.search(text="oil", limit=1)) == 1
