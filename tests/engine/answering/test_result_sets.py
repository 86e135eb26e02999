"""Result sets: kept while a fresh search would find the same, never longer; and never at another tenant's cost."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.engine.driver import Driver, opened, wait_until
from vdb.engine.answering.result_sets import ENTRY_BYTES, HIT_BYTES, LEAST_FREED, ResultSets
from vdb.engine.answering.searched import searched
from vdb.engine.search import search
from vdb.engine.touched import Touched
from vdb.errors import CollectionNotFound, PointNotFound, SequenceTimeout
from vdb.protocol.answers import Hit, SearchAnswer
from vdb.protocol.requests import (
    CreateCollection,
    Empty,
    FusionChoice,
    PayloadChange,
    Search,
    TextIndex,
    UpdateCollection,
    UpdatePayload,
)
from vdb.types import Metric

WORDS = ("pump", "oil", "leak", "valve", "gasket", "bolt")


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with opened(tmp_path / "data") as made:
        shape = CreateCollection(name="docs", dimension=2, metric=Metric.L2, text=TextIndex())
        made.run("create_collection", None, (), shape)
        for tenant in ("acme", "globex"):
            made.create_tenant(tenant)
        made.upsert("acme", "docs", ["a", "b"], [[1, 0], [2, 0]], payloads=[{"text": "oil pump"}, {"text": "valve"}])
        yield made


def ask(driver: Driver, tenant: str = "acme", collection: str = "docs", **given: Any) -> SearchAnswer:
    document = driver.engine.services.catalog.collection(collection)
    assert document is not None
    fields: dict[str, Any] = {"text": "oil", "vector": [0.0, 0.0], "limit": 3}
    request = Search(**fields | given)
    return searched(driver.engine.services, driver.caller(tenant), document, request)


def ids(answer: SearchAnswer) -> list[str]:
    return [hit.id for hit in answer.hits] if isinstance(answer.hits, list) else []


def plain(answer: SearchAnswer) -> Any:
    """The hits as a caller gets them."""
    return msgspec.json.decode(msgspec.json.encode(answer.hits))


def is_kept(driver: Driver, tenant: str = "acme", **given: Any) -> bool:
    """Whether the same search is answered from what is kept; it is kept afterwards."""
    before = driver.engine.services.result_sets.n_hits
    ask(driver, tenant, **given)
    return driver.engine.services.result_sets.n_hits > before


def test_the_same_search_is_made_once(driver: Driver) -> None:
    first = ask(driver)
    assert ask(driver) is first and ids(first) == ["a", "b"]
    sets = driver.engine.services.result_sets
    assert (sets.n_hits, sets.n_misses, sets.n_kept) == (1, 1, 1)
    assert sets.n_bytes >= ENTRY_BYTES + 2 * HIT_BYTES


@pytest.mark.parametrize(
    "changed",
    [{"text": "pump"}, {"vector": [0.0, 1.0]}, {"limit": 2}, {"mode": "sparse"}, {"filter": {"field": "x", "eq": 1}},
     {"tenant": "globex"}],
)  # fmt: skip
def test_another_search_is_another_set(driver: Driver, changed: dict[str, Any]) -> None:
    ask(driver)
    assert not is_kept(driver, **changed) and is_kept(driver, **changed) and is_kept(driver)


def test_a_vector_is_the_same_however_it_is_given(driver: Driver) -> None:
    ask(driver)
    assert is_kept(driver, vector=np.zeros(2, np.float32)) and is_kept(driver, min_sequence=1, timeout_s=1.0)


def _edit(driver: Driver) -> None:
    point = PayloadChange(id="a", payload=b'{"text":"new"}')  # type: ignore[arg-type]
    driver.run("update_payload", "acme", ("docs",), UpdatePayload(points=[point]))


def _own(driver: Driver, **changed: Any) -> None:
    driver.run("update_collection", None, ("docs",), UpdateCollection(**changed))


def _grant(driver: Driver, to: str) -> None:
    driver.upsert("globex", "docs", ["g"], [[0, 0]])
    driver.share("globex", "docs", ["g"], [to])


def _speak(driver: Driver) -> None:
    _own(driver, text=TextIndex(language="none"))
    _ready(driver)


def _add(driver: Driver) -> None:
    driver.upsert("acme", "docs", ["c"], [[9, 9]])


def _delete(driver: Driver) -> None:
    driver.delete("acme", "docs", ["b"])


ENDS: dict[str, Callable[[Driver], None]] = {
    "a new point": _add,
    "an edit": _edit,
    "a delete": _delete,
    "a point granted": partial(_grant, to="acme"),
    "a point for all": partial(_grant, to="*"),
    "another fusion": partial(_own, fusion=FusionChoice(kind="rrf", weight=0.5)),
    "another language": _speak,
    "other numbers": partial(_own, text=TextIndex(k1=2.0)),
    "a restriction": partial(_own, tenants=["acme"]),
}


def _ready(driver: Driver) -> None:
    wait_until(lambda: driver.run("get_collection", None, ("docs",), Empty()).text.state == "ready")


@pytest.mark.parametrize("what", ENDS)
def test_whatever_may_change_the_hits_ends_it(driver: Driver, what: str) -> None:
    ask(driver)
    assert is_kept(driver)
    ENDS[what](driver)
    assert not is_kept(driver) and is_kept(driver)


def test_a_revoked_point_is_found_no_more(driver: Driver) -> None:
    driver.share("acme", "docs", ["a"], ["globex"])
    assert ids(ask(driver, "globex")) == ["a"] and is_kept(driver, "globex")
    driver.share("acme", "docs", ["a"], ["globex"], "revoke")
    assert ids(ask(driver, "globex")) == []


def test_others_writes_end_nothing(driver: Driver) -> None:
    ask(driver)
    driver.upsert("globex", "docs", ["g"], [[0, 0]], payloads=[{"text": "oil"}])
    assert is_kept(driver)


def test_a_hit_that_expires_ends_it_at_once(driver: Driver) -> None:
    soon = datetime.now(UTC) + timedelta(milliseconds=400)
    driver.upsert("acme", "docs", ["soon"], [[0, 0]], payloads=[{"text": "oil"}], expires_at=[soon])
    assert "soon" in ids(ask(driver)) and is_kept(driver)
    wait_until(lambda: datetime.now(UTC) > soon)
    assert "soon" not in ids(ask(driver))


def test_a_newer_sequence_than_the_set_has_is_searched_for(driver: Driver) -> None:
    ask(driver)
    sequence = driver.upsert("globex", "docs", ["g"], [[0, 0]])
    assert is_kept(driver) and not is_kept(driver, min_sequence=sequence)
    assert is_kept(driver, min_sequence=sequence)
    with pytest.raises(SequenceTimeout):
        ask(driver, min_sequence=sequence + 1)


def test_whoever_may_not_use_the_collection_any_more_gets_nothing(driver: Driver) -> None:
    ask(driver, "globex")
    document = driver.engine.services.catalog.collection("docs")
    _own(driver, tenants=["acme"])
    assert document is not None
    with pytest.raises(CollectionNotFound):
        searched(driver.engine.services, driver.caller("globex"), document, Search(text="oil", limit=3))


def test_explained_searches_are_not_kept(driver: Driver) -> None:
    for _ in range(2):
        assert not is_kept(driver, explain=True)


def test_nothing_is_kept_where_the_setting_says_so(tmp_path: Path) -> None:
    with opened(tmp_path / "off", result_set_bytes=0) as driver:
        driver.create("docs")
        driver.upsert("acme", "docs", ["a"], [[0, 0]])
        for _ in range(2):
            assert not is_kept(driver, text="oil", mode="dense")
        assert driver.engine.services.result_sets.n_kept == 0


# The cap


def _fill(sets: ResultSets, tenant: int, n: int, n_hits: int = 0) -> list[Any]:
    hits = [Hit(id=str(i), owner="acme", version=1) for i in range(n_hits)]
    keys = [(1, f"{tenant} {i}".encode()) for i in range(n)]
    for key in keys:
        sets.keep(tenant, key, None, SearchAnswer(sequence=1, hits=hits), 0)  # type: ignore[arg-type]
    return keys


def _found(sets: ResultSets, tenant: int, keys: list[Any]) -> int:
    touched = Touched(1)
    return sum(sets.find(tenant, key, None, touched, 0) is not None for key in keys)  # type: ignore[arg-type]


def test_whoever_holds_most_gives_way_and_nobody_else(driver: Driver) -> None:
    sets = ResultSets(100 * ENTRY_BYTES)
    small = {tenant: _fill(sets, tenant, 5) for tenant in range(1, 7)}
    hog = _fill(sets, 99, 1_000)
    assert all(_found(sets, tenant, keys) == 5 for tenant, keys in small.items())
    assert 60 <= _found(sets, 99, hog) <= 70 and sets.n_bytes <= 100 * ENTRY_BYTES
    assert sets.n_evicted >= 900 and sets.n_kept * ENTRY_BYTES == sets.n_bytes


def test_the_least_recently_used_of_a_tenant_go_first() -> None:
    sets = ResultSets(20 * ENTRY_BYTES)
    keys = _fill(sets, 1, 20)
    assert _found(sets, 1, keys[:1]) == 1
    _fill(sets, 1, 0)
    sets.keep(1, (1, b"new"), None, SearchAnswer(sequence=1, hits=[]), 0)  # type: ignore[arg-type]
    assert _found(sets, 1, keys[:1]) == 1 and _found(sets, 1, keys[1:2]) == 0


def test_a_set_as_large_as_many_is_not_kept() -> None:
    sets = ResultSets(LEAST_FREED * (ENTRY_BYTES + 3 * HIT_BYTES))
    assert _found(sets, 1, _fill(sets, 1, 1, n_hits=3)) == 1
    assert _found(sets, 2, _fill(sets, 2, 1, n_hits=4)) == 0
    replaced = _fill(sets, 1, 1, n_hits=1)
    assert _found(sets, 1, replaced) == 1 and sets.n_bytes == ENTRY_BYTES + HIT_BYTES


# Against fresh searches, whatever happens


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_kept_is_what_a_fresh_search_finds(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    with opened(tmp_path / "data") as driver:
        shape = CreateCollection(name="docs", dimension=2, metric=Metric.L2, text=TextIndex())
        driver.run("create_collection", None, (), shape)
        for tenant in ("acme", "globex"):
            driver.create_tenant(tenant)
        for _ in range(200):
            with suppress(PointNotFound):  # it has expired just now
                _write(driver, rng)
            for _ in range(4):
                asked: dict[str, Any] = {"text": rng.choice(("pump oil", "valve leak")), "limit": rng.choice((2, 5))}
                asked |= {"vector": [0.5, 0.5]} | rng.choice(({}, {"mode": "sparse"}))
                tenant = rng.choice(("acme", "globex"))
                before = _fresh(driver, tenant, asked)
                kept = plain(ask(driver, tenant, **asked))
                assert kept in (before, _fresh(driver, tenant, asked))  # a point may expire between them
        assert driver.engine.services.result_sets.n_hits > 20


def _fresh(driver: Driver, tenant: str, asked: dict[str, Any]) -> Any:
    found = search(driver.engine.services, driver.caller(tenant), ("docs",), Search(**asked), None)
    assert isinstance(found, SearchAnswer)
    return plain(found)


def _write(driver: Driver, rng: random.Random) -> None:
    owner, other = rng.sample(("acme", "globex"), 2)
    point = f"p{rng.randrange(6)}"
    kind = rng.choice(("upsert", "upsert", "expiring", "delete", "edit", "grant", "revoke", "nothing", "nothing"))
    known = driver.get(owner, "docs", [point])
    if kind in ("upsert", "expiring"):
        payload = {"text": " ".join(rng.choices(WORDS, k=3))}
        expires_at = [datetime.now(UTC) + timedelta(milliseconds=30)] if kind == "expiring" else None
        given = {} if expires_at is None else {"expires_at": expires_at}
        vector = [[rng.random(), rng.random()]]
        driver.upsert(owner, "docs", [point], vector, payloads=[payload], **given)
    elif kind == "nothing":
        time.sleep(rng.random() * 0.01)
    elif known and kind == "delete":
        driver.delete(owner, "docs", [point])
    elif known and kind == "edit":
        change = PayloadChange(id=point, payload=b'{"text":"oil pump leak"}')  # type: ignore[arg-type]
        driver.run("update_payload", owner, ("docs",), UpdatePayload(points=[change]))
    elif known:
        driver.share(owner, "docs", [point], [rng.choice((other, "*"))], kind)
