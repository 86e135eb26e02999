"""Collections on tier `disk` without an index: vectors are read from the store a block at a time, and the same is found
as where they are kept in memory."""

import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import UNSET

import vdb.engine.shard as shard_module
from tests.engine.driver import Driver, opened
from vdb.engine import streamed
from vdb.index.flat import FlatSegment
from vdb.protocol.columns import SearchHead
from vdb.protocol.requests import SearchParams, UpdateCollection
from vdb.types import Metric, Tier

D = 4
TENANTS = ("acme", "globex", "initech")
FIELDS: dict[str, Any] = {"lang": "string", "year": "integer"}
ENGLISH = {"field": "lang", "eq": "en"}
FILTERS: tuple[Any, ...] = (
    None,
    ENGLISH,
    {"field": "lang", "eq": "xx"},
    {"field": "year", "gte": 2003},
    {"field": "free", "eq": 1},
    {"and": [ENGLISH, {"field": "free", "eq": 1}]},
)


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    """Blocks of seven rows, so that few points are many blocks."""
    monkeypatch.setattr(streamed, "BLOCK_ROWS", 7)
    monkeypatch.setattr(streamed, "LOOKED_UP", 5)
    with opened(tmp_path / "data") as made:
        yield made


class Pair:
    """Two collections with the same points, one read into memory, one streamed."""

    def __init__(self, driver: Driver, metric: Metric = Metric.L2, **given: Any) -> None:
        self.driver, self.metric = driver, metric
        for tenant in TENANTS:
            driver.create_tenant(tenant)
        for name, tier in (("kept", Tier.AUTO), ("streamed", Tier.DISK)):
            driver.create(name, dimension=D, metric=metric, tier=tier, **given)

    def each(self, method: str, tenant: str, *given: Any, **columns: Any) -> None:
        """The same call on both."""
        for name in ("kept", "streamed"):
            getattr(self.driver, method)(tenant, name, *given, **columns)

    def vectors(self, rng: np.random.Generator, n: int) -> Any:
        """Small integers, and for cosine of the norm 2, so that distances are exact however they are summed up."""
        choice = [-1, 1] if self.metric is Metric.COSINE else [-3, -2, -1, 0, 1, 2, 3]
        return rng.choice(choice, (n, D)).astype(np.float32)

    def fill(self, rng: np.random.Generator, n: int = 60) -> None:
        """Every tenant owns points; some are granted, to one, to two, to everyone, some expire, some are gone again."""
        soon = datetime.now(UTC) + timedelta(hours=1)
        for tenant in TENANTS:
            ids = [f"{tenant}-{i}" for i in range(n)]
            vectors = self.vectors(rng, n)
            payloads = [
                {"lang": str(rng.choice(["en", "de"])), "year": 2000 + i % 7, "free": int(rng.integers(0, 3))}
                for i in range(n)
            ]
            expiries = [soon if i % 9 == 0 else None for i in range(n)]
            self.each("upsert", tenant, ids, vectors, payloads=payloads, expires_at=expiries)
            for to in (*TENANTS, "*"):
                chosen = [str(point) for point in rng.choice(ids, n // 3, replace=False)]
                if to != tenant:
                    self.each("share", tenant, chosen, [to])
            self.each("delete", tenant, [str(point) for point in rng.choice(ids, n // 10, replace=False)])
            self.each("upsert", tenant, [f"{tenant}-text"], None, payloads=[{"lang": "en"}], shared_with=[["*"]])
        for tenant in TENANTS:
            left = self.driver.ids(tenant, "kept")
            self.each("share", tenant, left[::4], ["*"], "revoke")

    def asked(self, name: str, tenant: str, queries: Any, **given: Any) -> dict[str, Any]:
        block = np.asarray(queries, np.float32)
        head = SearchHead(explain=True, n_queries=len(block) if block.ndim == 2 else UNSET, **given)
        answer = self.driver.run("search", tenant, (name,), head, block.ravel())
        return dict(msgspec.json.decode(msgspec.json.encode(answer)))


def hits(answer: dict[str, Any]) -> Any:
    return answer["hits"] if "hits" in answer else answer["results"]


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("indexes", [[], ["lang", "year"]])
def test_what_is_found_is_what_is_found_in_memory(
    driver: Driver, rng: np.random.Generator, metric: Metric, indexes: list[str]
) -> None:
    pair = Pair(driver, metric, fields=FIELDS, indexes=indexes)
    pair.fill(rng)
    for tenant in TENANTS:
        for wanted in FILTERS:
            one, many = pair.vectors(rng, 1)[0], pair.vectors(rng, 3)
            for queries, limit in ((one, 1), (one, 10), (one, 1000), (many, 10)):
                kept, read = (
                    pair.asked(name, tenant, queries, limit=limit, filter=wanted) for name in ("kept", "streamed")
                )
                assert hits(read) == hits(kept), (tenant, wanted, limit)
                assert read["sequence"] == kept["sequence"]
                if wanted is None:
                    assert read["explain"]["rows"] == kept["explain"]["rows"]
    furthest = hits(pair.asked("kept", "acme", one, limit=9))[-1]["distance"]
    near = [pair.asked(name, "acme", one, limit=50, max_distance=furthest) for name in ("streamed", "kept")]
    assert hits(near[0]) == hits(near[1]) and len(hits(near[0])) >= 9


def test_explain_says_that_vectors_were_read_and_how_the_filter_was_tested(
    driver: Driver, rng: np.random.Generator
) -> None:
    pair = Pair(driver, fields=FIELDS, indexes=["lang"])
    pair.fill(rng)
    plain = pair.asked("streamed", "acme", np.zeros(D))["explain"]
    assert (plain["path"], plain["streamed"], plain["reason"]) == ("exact", True, "small collection")
    assert "streamed" not in pair.asked("kept", "acme", np.zeros(D))["explain"]
    while_read = pair.asked("streamed", "acme", np.zeros(D), filter={"field": "free", "eq": 1})["explain"]
    assert while_read["filter"] == "mask" and "selectivity" not in while_read
    by_index, in_memory = (
        pair.asked(name, "acme", np.zeros(D), filter=ENGLISH)["explain"] for name in ("streamed", "kept")
    )
    assert by_index["rows"] - in_memory["rows"] in range(3)  # what has no vector but was granted
    assert by_index["filter"] == "index" and abs(by_index["selectivity"] - in_memory["selectivity"]) < 0.1
    exact = pair.asked("streamed", "acme", np.zeros(D), params=SearchParams(exact=True))["explain"]
    assert (exact["streamed"], exact["reason"]) == (True, "asked for")


def test_few_points_that_a_filter_leaves_are_looked_up(
    driver: Driver, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair(driver, fields=FIELDS, indexes=["lang"])
    vectors = rng.integers(-3, 4, (100, D)).astype(np.float32)
    payloads = [{"lang": "en" if i % 20 == 0 else "de"} for i in range(100)]
    pair.each("upsert", "acme", [str(i) for i in range(100)], vectors, payloads=payloads)
    expected = driver.found("acme", "kept", np.zeros(D), filter=ENGLISH)

    def refused(*_: Any) -> Any:
        raise AssertionError("all points were read")

    monkeypatch.setattr(streamed, "iterate_vectored", refused)
    assert driver.found("acme", "streamed", np.zeros(D), filter=ENGLISH) == expected
    assert len(expected) == 5


def test_no_reading_is_loaded_and_no_more_than_a_block_is_held(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    n, dimension = 3_000, 256
    n_block = 64 * 4 * dimension
    monkeypatch.setattr(streamed, "BLOCK_BYTES", n_block)
    sizes: list[int] = []
    bulk = FlatSegment.bulk

    def noted(*given: Any) -> Any:
        segment = bulk(*given)
        sizes.append(segment.state.vectors.nbytes)
        return segment

    with opened(tmp_path / "data") as driver:
        driver.create("notes", dimension=dimension, tier=Tier.DISK)
        driver.create_tenant("globex")
        for first in range(0, n, 500):
            ids = [str(first + i) for i in range(500)]
            driver.upsert("acme", "notes", ids, rng.standard_normal((500, dimension)))
            driver.share("acme", "notes", ids, ["globex"])
        monkeypatch.setattr(FlatSegment, "bulk", noted)
        monkeypatch.setattr(shard_module.Shard, "reading", None)
        shard = driver.engine.services.shards.peek(1)
        assert shard is not None
        for tenant in ("acme", "globex"):
            sizes.clear()
            tracemalloc.start()
            try:
                assert len(driver.found(tenant, "notes", np.zeros(dimension), limit=10)) == 10
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert sum(sizes) == n * 4 * dimension and max(sizes) <= n_block
            assert peak < n * 4 * dimension / 4, peak
            assert shard.readings.n_residents == 0 and driver.engine.services.memory.n_bytes == 0


@pytest.mark.parametrize("tier", [Tier.DISK, Tier.HYBRID])
def test_a_search_that_reads_the_store_does_not_run_on_the_loop(driver: Driver, tier: Tier) -> None:
    driver.create("notes", dimension=D, tier=tier)
    driver.upsert("acme", "notes", ["a"], [[0] * D])
    driver.found("acme", "notes", [0] * D)
    is_quick = driver.engine.is_quick("search", driver.caller("acme"), ("notes",), SearchHead())
    assert is_quick == (tier is Tier.HYBRID)


def test_a_change_of_tier_holds_from_the_next_search_on(driver: Driver) -> None:
    driver.create("notes", dimension=D)
    driver.upsert("acme", "notes", ["a", "b"], [[0] * D, [1] * D])
    for tier in (Tier.AUTO, Tier.DISK, Tier.MEMORY, Tier.DISK):
        driver.run("update_collection", None, ("notes",), UpdateCollection(tier=tier))
        head = SearchHead(explain=True)
        answer = driver.run("search", "acme", ("notes",), head, np.zeros(D, np.float32))
        assert [hit.id for hit in answer.hits] == ["a", "b"]
        assert (answer.explain.streamed is True) == (tier is Tier.DISK)
        assert (driver.engine.services.memory.n_bytes == 0) == (tier is Tier.DISK), "what was loaded goes"
        driver.upsert("acme", "notes", ["b"], [[2] * D])
