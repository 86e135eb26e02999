"""Cached answers from searches by words, by words and a vector, or from everything: whether what is new is found."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.cache_driver import CacheDriver, source
from tests.engine.driver import Driver, opened
from vdb.errors import VdbError
from vdb.protocol.cache_requests import HitName, Retrieval
from vdb.protocol.requests import CreateCollection, Fusion, PayloadChange, Search, TextIndex, UpdatePayload
from vdb.types import Metric

QUESTION = "which pump leaks oil"
ANSWER = "the first"


def make(driver: Driver) -> CacheDriver:
    made = CreateCollection(name="docs", dimension=2, metric=Metric.L2, text=TextIndex())
    driver.run("create_collection", None, (), made)
    for tenant in ("acme", "globex"):
        driver.create_tenant(tenant)
    return CacheDriver.made(driver)


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with opened(tmp_path / "data") as found:
        yield found


def put(driver: Driver, point: str, text: str | None, vector: Any = None, tenant: str = "acme", **given: Any) -> int:
    payload = {} if text is None else {"text": text}
    return driver.upsert(tenant, "docs", [point], None if vector is None else [vector], payloads=[payload], **given)


def keep(driver: Driver, cache: CacheDriver, tenant: str = "acme", **search: Any) -> Any:
    """Answer the question from a search, from its first hit alone, and store that with the search."""
    search.setdefault("limit", 2)
    found = driver.run("search", tenant, ("docs",), Search(text=QUESTION, **search))
    hits = [HitName(id=hit.id, owner=hit.owner) for hit in found.hits]
    retrieval = Retrieval(collection="docs", text=QUESTION, sequence=found.sequence, hits=hits, **search)
    first = found.hits[0]
    cited = [source(first.id, first.version, owner=first.owner)]
    return cache.store(tenant, cache.lookup(tenant, QUESTION), ANSWER, sources=cited, retrieval=retrieval)


def is_served(cache: CacheDriver, tenant: str = "acme") -> bool:
    same, other = cache.answer(tenant, QUESTION), cache.answer(tenant, f"{QUESTION} please")
    assert same == other
    return bool(same == ANSWER)


def fill(driver: Driver) -> None:
    put(driver, "first", "the pump leaks oil", [1, 0])
    put(driver, "second", "an oil pump", [2, 0])
    put(driver, "third", "a gasket", [3, 0])


SEARCHES: list[dict[str, Any]] = [{"mode": "sparse"}, {"mode": "hybrid", "vector": [0.0, 0.0]}]


@pytest.mark.parametrize("search", SEARCHES)
def test_a_new_point_ends_the_answer_where_the_search_would_find_it_now(driver: Driver, search: dict[str, Any]) -> None:
    cache = make(driver)
    fill(driver)
    assert keep(driver, cache, **search).reason == "stored"
    assert is_served(cache)
    put(driver, "other", "valves and gaskets", [9, 0])
    put(driver, "foreign", "pump leaks oil", [0, 0], tenant="globex")
    driver.delete("acme", "docs", ["third"])
    assert is_served(cache)
    put(driver, "better", "pump: it leaks oil, oil", [0.5, 0])
    assert not is_served(cache)
    assert cache.stats("acme").stale_prevented > 0


def test_a_new_point_without_a_vector_matters_by_its_words(driver: Driver) -> None:
    cache = make(driver)
    fill(driver)
    keep(driver, cache, mode="sparse")
    put(driver, "words", "pump leaks oil oil oil")
    assert not is_served(cache)


def test_a_new_point_without_words_matters_by_its_vector(driver: Driver) -> None:
    cache = make(driver)
    fill(driver)
    keep(driver, cache, mode="hybrid", vector=[0.0, 0.0], fusion=Fusion(kind="rrf", weight=1.0))
    put(driver, "near", None, [0, 0])
    assert not is_served(cache)


@pytest.mark.parametrize("search", SEARCHES)
def test_an_edit_that_brings_a_point_among_the_hits_ends_the_answer(driver: Driver, search: dict[str, Any]) -> None:
    cache = make(driver)
    fill(driver)
    keep(driver, cache, **search)
    change = PayloadChange(id="third", payload=b'{"text":"pump leaks oil pump leaks oil"}')  # type: ignore[arg-type]
    driver.run("update_payload", "acme", ("docs",), UpdatePayload(points=[change], mode="replace"))
    assert not is_served(cache)


def test_a_new_point_that_did_not_rank_matters_once_a_hit_has_gone(driver: Driver) -> None:
    cache = make(driver)
    fill(driver)
    keep(driver, cache, mode="sparse")
    put(driver, "last", "oil, and a very long text about other things, none of them of that kind at all")
    assert is_served(cache)
    driver.delete("acme", "docs", ["second"])  # a hit, but no source
    assert not is_served(cache)


def test_a_point_granted_since_ends_the_answer_and_one_that_was_a_hit_before_does_not(driver: Driver) -> None:
    cache = make(driver)
    put(driver, "theirs", "pump leaks oil", [0, 0], tenant="globex")
    driver.share("globex", "docs", ["theirs"], ["acme"])
    fill(driver)
    keep(driver, cache, mode="sparse")
    put(driver, "other", "oil, and a very long text about other things, none of them of that kind at all")
    assert is_served(cache)
    put(driver, "hidden", "leaks leaks leaks: pump leaks oil", [0, 0], tenant="globex")
    assert is_served(cache)
    driver.share("globex", "docs", ["hidden"], ["*"])
    fresh = driver.run("search", "acme", ("docs",), Search(text=QUESTION, mode="sparse", limit=2))
    assert "hidden" in [hit.id for hit in fresh.hits]
    assert not is_served(cache)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("better", [True, False])
def test_after_a_restart_the_search_is_made_again(tmp_path: Path, search: dict[str, Any], better: bool) -> None:
    with opened(tmp_path / "kept") as driver:
        cache = make(driver)
        fill(driver)
        keep(driver, cache, **search)
        put(driver, "new", "pump leaks oil oil" if better else "a valve", [0.1, 0] if better else [9, 0])
    with opened(tmp_path / "kept") as driver:
        assert is_served(CacheDriver(driver)) is not better


def test_a_filter_keeps_new_points_from_mattering(driver: Driver) -> None:
    cache = make(driver)
    fill(driver)
    keep(driver, cache, mode="sparse", filter={"field": "text", "ne": "pump leaks oil oil"})
    put(driver, "out", "pump leaks oil oil")
    assert is_served(cache)


def test_what_a_reranker_could_have_chosen_counts(driver: Driver) -> None:
    cache = make(driver)
    fill(driver)
    found = driver.run("search", "acme", ("docs",), Search(text=QUESTION, mode="sparse", limit=1))
    common: dict[str, Any] = {"collection": "docs", "text": QUESTION, "mode": "sparse", "limit": 1}
    deep = Retrieval(sequence=found.sequence, depth=3, **common)
    cited = [source("first", found.hits[0].version)]
    cache.store("acme", cache.lookup("acme", QUESTION), ANSWER, sources=cited, retrieval=deep)
    put(driver, "third best", "oil, and a very long text about other things, none of them of that kind at all")
    assert not is_served(cache)


def _keep_whole(driver: Driver, cache: CacheDriver, sources: tuple[str, ...] = ("first", "second", "third")) -> None:
    sequence = driver.write("docs", lambda group: group.sequence)
    versions = {point.id: point.version for point in driver.get("acme", "docs", list(sources))} if sources else {}
    whole = Retrieval(collection="docs", mode="whole", limit=2, sequence=sequence)
    cited = [source(point, version) for point, version in versions.items()]
    stored = cache.store("acme", cache.lookup("acme", QUESTION), ANSWER, sources=cited, retrieval=whole)
    assert stored.reason == "stored"


def test_any_new_point_ends_an_answer_from_everything(driver: Driver) -> None:
    cache = make(driver)
    fill(driver)
    _keep_whole(driver, cache)
    put(driver, "foreign", "pump", [0, 0], tenant="globex")
    driver.share("acme", "docs", ["first"], ["globex"])
    assert is_served(cache)
    put(driver, "new", "nothing of the kind", [99, 0])
    assert not is_served(cache)


def test_an_answer_that_nothing_was_found_outlives_deletes_but_no_new_point(driver: Driver) -> None:
    cache = make(driver)
    fill(driver)
    _keep_whole(driver, cache, ())
    driver.delete("acme", "docs", ["second"])
    assert is_served(cache)
    put(driver, "theirs", "pump", tenant="globex")
    driver.share("globex", "docs", ["theirs"], ["acme"])
    assert not is_served(cache)


@pytest.mark.parametrize("changed", [False, True])
def test_after_a_restart_everything_is_read_again(tmp_path: Path, changed: bool) -> None:
    with opened(tmp_path / "kept") as driver:
        cache = make(driver)
        fill(driver)
        _keep_whole(driver, cache)
        put(driver, "new", "a valve", tenant="acme" if changed else "globex")
    with opened(tmp_path / "kept") as driver:
        assert is_served(CacheDriver(driver)) is not changed


BAD: list[tuple[dict[str, Any], str]] = [
    ({"mode": "sparse"}, "/retrieval/text"),
    ({"mode": "hybrid", "text": "pump"}, "/retrieval/vector"),
    ({"mode": "dense", "text": "pump"}, "/retrieval/vector"),
    ({"text": " "}, "/retrieval/text"),
    ({"text": "pump", "depth": 0}, "/retrieval/depth"),
    ({"text": "pump", "vector": [0.0, 0.0], "fusion": Fusion(weight=2.0)}, "/retrieval/fusion/weight"),
    ({"text": "pump", "hits": [HitName(id="")]}, "/retrieval/hits/0/id"),
    ({"mode": "hybrid", "text": "pump", "vector": [0.0]}, "/retrieval/vector"),
    ({}, "/retrieval/vector"),
]


@pytest.mark.parametrize(("given", "pointer"), BAD)
def test_what_is_wrong_with_a_retrieval_is_pointed_at(driver: Driver, given: dict[str, Any], pointer: str) -> None:
    cache = make(driver)
    retrieval = Retrieval(collection="docs", limit=2, sequence=0, **given)
    with pytest.raises(VdbError) as caught:
        cache.store("acme", cache.lookup("acme", QUESTION), ANSWER, retrieval=retrieval)
    assert [problem.pointer for problem in caught.value.problems] == [pointer]


def test_words_need_a_text_index(driver: Driver) -> None:
    driver.create("docs")
    driver.create_tenant("acme")
    cache = CacheDriver.made(driver)
    retrieval = Retrieval(collection="docs", limit=2, sequence=0, text="pump")
    with pytest.raises(VdbError, match="no text index") as caught:
        cache.store("acme", cache.lookup("acme", QUESTION), ANSWER, retrieval=retrieval)
    assert caught.value.problems[0].pointer == "/retrieval/text"
