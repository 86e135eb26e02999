"""Collections whose lists lie on disk: writes of every kind, folds, restarts, and searches are right."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.driver import opened
from tests.engine.indexed.books import FROM, TENANTS, Books, D, indexed_books, opened_books
from vdb.engine import build_stages, disk_kind, shard
from vdb.engine.pace import Cancelled
from vdb.errors import NoIndex, QueueFull
from vdb.index.spann import index as spann_index
from vdb.index.spann.index import SpannIndex
from vdb.protocol.columns import SearchHead
from vdb.protocol.requests import MAX_BUDGET, Empty, SearchParams, Tune
from vdb.storage.check import check_directory
from vdb.types import FieldType, Metric, Tier

DISK = Tier.DISK


def work_off(books: Books) -> None:
    while books.work():
        pass


def on_disk(books: Books) -> SpannIndex:
    index = books.index.current
    assert isinstance(index, SpannIndex) and books.index.tier is DISK
    return index


def test_a_collection_starts_exact_and_becomes_indexed(
    tmp_path: Path, rng: np.random.Generator, small_folds: None
) -> None:
    with opened_books(tmp_path / "data", rng, tier=DISK) as books:
        books.add(FROM - 1)
        assert not books.work() and books.path_of() == "exact"
        books.add(1)
        assert books.work() and books.path_of() == "index" and books.index.state == "ready"
        assert on_disk(books).n_rows == FROM and books.index.n_builds == 1 and not books.work()
        names = {path.name for path in (books.shard.env.path / "index" / "disk").iterdir()}
        assert names == {"layout.vdb", "vectors.vdb", "lists"}
        books.check()


def test_writes_of_every_kind_are_found_between_folds(
    tmp_path: Path, rng: np.random.Generator, small_folds: None
) -> None:
    with indexed_books(tmp_path / "data", rng, tier=DISK) as books:
        for _ in range(120):
            books.change()
            books.work()
            books.check()
        folds = books.index.folds
        assert folds.n == books.index.n_layouts > 2 and folds.n_rows > 0 and books.index.n_builds == 1
        on_disk(books)


def test_restarts_and_drops_take_up_what_was_written_since(
    tmp_path: Path, rng: np.random.Generator, small_folds: None
) -> None:
    with indexed_books(tmp_path / "data", rng, tier=DISK) as books:
        points = books.points
    for _ in range(4):
        with opened_books(tmp_path / "data", rng, points) as books:
            books.check()
            assert books.path_of() == "index" and books.index.n_builds == 0
            for step in range(40):
                books.change()
                if step % 3:
                    books.work()
                books.check()
                if step % 17 == 16:
                    books.index.drop()
            points = books.points
    assert check_directory(tmp_path / "data") == []


def test_slots_and_generations_of_what_is_gone_are_given_back(
    tmp_path: Path, rng: np.random.Generator, small_folds: None
) -> None:
    with indexed_books(tmp_path / "data", rng, tier=DISK) as books:
        mine = [point_id for owner, point_id in books.points if owner == "acme"]
        for _ in range(8):
            books.put("acme", mine)
            work_off(books)
            books.check()
        assert books.index.folds.n >= 8
        assert on_disk(books).n_slots <= len(books.points) + 3 * len(mine)
        lists: Any = books.index._kinds.disk.files.lists
        books.work()
        assert lists.generations() == [on_disk(books).state.laid.pages.generation]


def test_writers_and_searches_beside_folds_are_right(
    tmp_path: Path, rng: np.random.Generator, small_folds: None
) -> None:
    with indexed_books(tmp_path / "data", rng, tier=DISK) as books:
        faults: list[BaseException] = []
        ends = threading.Event()

        def fold() -> None:
            try:
                while not ends.is_set():
                    books.work()
            except BaseException as exc:
                faults.append(exc)

        thread = threading.Thread(target=fold)
        thread.start()
        try:
            for _ in range(80):
                books.change()
                books.check()
        finally:
            ends.set()
            thread.join()
        assert not faults and books.index.folds.n > 0
        books.check(100)


@pytest.mark.parametrize("metric", list(Metric))
def test_every_metric_and_its_distances(
    tmp_path: Path, rng: np.random.Generator, small_folds: None, metric: Metric
) -> None:
    with opened(tmp_path / "data", index_from_points=FROM) as driver:
        driver.create("notes", D, metric, tier=DISK)
        vectors = rng.standard_normal((100, D)).astype(np.float32)
        driver.upsert("acme", "notes", [str(i) for i in range(80)], vectors[:80])
        document = driver.engine.services.usable(driver.caller(None), "notes")
        with driver.engine.services.shards.use(document) as one:
            assert one.index.work()
            driver.upsert("acme", "notes", [str(i) for i in range(80, 100)], vectors[80:])
            query = rng.standard_normal(D).astype(np.float32)
            found = driver.search("acme", "notes", query, 100)
            exact = driver.search("acme", "notes", query, 100, params=SearchParams(exact=True))
            assert one.index.tier is DISK
        assert [hit.id for hit in found] == [hit.id for hit in exact]
        np.testing.assert_allclose([hit.distance for hit in found], [hit.distance for hit in exact], atol=1e-4)


def test_filters_leave_out_what_does_not_match(tmp_path: Path, rng: np.random.Generator, small_folds: None) -> None:
    with opened(tmp_path / "data", index_from_points=FROM) as driver:
        fields = {"lang": FieldType.STRING}
        driver.create("notes", D, Metric.L2, tier=DISK, fields=fields, indexes=["lang"])
        vectors = rng.standard_normal((300, D)).astype(np.float32)
        ids, langs = [str(i) for i in range(300)], [("en", "de", "fr")[i % 3] for i in range(300)]
        payloads = [{"lang": lang, "n": i} for i, lang in enumerate(langs)]
        driver.upsert("acme", "notes", ids[:200], vectors[:200], payloads=payloads[:200])
        document = driver.engine.services.usable(driver.caller(None), "notes")
        with driver.engine.services.shards.use(document) as one:
            assert one.index.work()
            driver.upsert("acme", "notes", ids[200:], vectors[200:], payloads=payloads[200:])
            query = rng.standard_normal(D).astype(np.float32)
            order = np.argsort(((vectors - query) ** 2).sum(axis=1)).tolist()
            for is_folded in (False, True):
                for by, kept in (("lang", lambda i: langs[i] == "de"), ("n", lambda i: i < 40)):
                    given = {"field": "lang", "eq": "de"} if by == "lang" else {"field": "n", "lt": 40}
                    head = SearchHead(limit=12, filter=given, explain=True)
                    answer = driver.run("search", "acme", ("notes",), head, query)
                    assert [hit.id for hit in answer.hits] == [str(i) for i in order if kept(i)][:12]
                    assert answer.explain.tier is DISK
                    assert answer.explain.filter == ("index" if by == "lang" else "rounds")
                assert is_folded or one.index.work()


def test_points_expire_in_lists_and_behind_them(
    tmp_path: Path, rng: np.random.Generator, small_folds: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    until_ms = int(until.timestamp() * 1000)
    with opened_books(tmp_path / "data", rng, tier=DISK) as books:
        books.add(FROM)
        first = books.add(5, expires_at=[until] * 5)
        assert books.work()
        late = books.add(5, expires_at=[until] * 5)
        for later_ms, is_there in ((-10, True), (2_000, False)):
            monkeypatch.setattr(shard, "epoch_ms", lambda now=until_ms + later_ms: now)
            found = set(books.driver.found("acme", "books", np.zeros(D), 200))
            assert ({*first, *late} <= found) == is_there
            assert is_there or not {*first, *late} & found
            assert len(found) == FROM + (10 if is_there else 0)


def test_explain_tells_of_lists_pages_and_late_rows(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng, n=400, tier=DISK) as books:
        books.add(7)
        told = books.explained("acme")
        assert told.tier is DISK and told.path == "index" and told.encoding == f"lvq4, {D} dimensions"
        assert told.list_pages > 0 and told.vector_pages > 0
        assert told.bytes_read == 4096 * (told.list_pages + told.vector_pages)
        assert told.late_rows == 7 and told.reranked <= told.codes_scored
        assert (told.recall, told.reached, told.extrapolated, told.budget) == (0.95, True, True, 1_700)
        block, params = np.zeros(D, np.float32), SearchParams(budget=MAX_BUDGET, rerank=500)
        head = SearchHead(limit=3, explain=True, params=params)
        told = books.driver.run("search", "acme", ("books",), head, block).explain
        assert told.budget == MAX_BUDGET and told.candidates == 500 and told.lists_read == told.lists_scored


def test_explain_counts_the_rows_that_the_tenant_sees(
    tmp_path: Path, rng: np.random.Generator, small_folds: None
) -> None:
    with indexed_books(tmp_path / "data", rng, tier=DISK) as books:
        for _ in range(60):
            books.change()
            books.work()
        for tenant in TENANTS:
            assert books.explained(tenant).rows == len(books.seen_by(tenant))


def test_a_full_backlog_refuses_rows_and_takes_deletes(
    tmp_path: Path, rng: np.random.Generator, small_folds: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spann_index, "FULL_FOLDS", 1)
    with indexed_books(tmp_path / "data", rng, tier=DISK) as books:
        mine = books.add(30)
        assert on_disk(books).is_full
        with pytest.raises(QueueFull) as caught:
            books.driver.upsert("acme", "books", ["more"], np.zeros((1, D)))
        assert caught.value.retry_after_s == 1.0
        with pytest.raises(QueueFull):
            books.driver.share("acme", "books", mine[:1], ["globex"])
        books.share("acme", mine[:1], "globex", "revoke")
        books.driver.upsert("acme", "books", ["words only"])
        books.delete("acme", mine[:3])
        books.check()
        work_off(books)
        books.add(5)
        books.check()


def test_metrics_and_statistics_tell_of_lists(tmp_path: Path, rng: np.random.Generator, small_folds: None) -> None:
    with indexed_books(tmp_path / "data", rng, tier=DISK) as books:
        books.add(30)

        def figures() -> dict[str, float]:
            return {name: samples[0][1] for name, _, _, samples in books.driver.engine.metrics() if samples}

        assert figures()["vdb_lists_backlog_rows"] == 30
        assert books.driver.run("collection_stats", None, ("books",), Empty()).index.late_rows == 30
        work_off(books)
        before = figures()
        books.check()
        after = figures()
        assert after["vdb_lists_queries_total"] == before["vdb_lists_queries_total"] + len(TENANTS)
        n_pages = after["vdb_lists_pages_read_total"] - before["vdb_lists_pages_read_total"]
        assert n_pages > 0
        assert after["vdb_lists_bytes_read_total"] - before["vdb_lists_bytes_read_total"] == 4096 * n_pages
        assert (after["vdb_lists_folds_total"], after["vdb_lists_fold_rows_total"]) == (1, 30)
        assert after["vdb_lists_backlog_rows"] == after["vdb_lists_splits_total"] == 0
        assert after["vdb_lists_moved_total"] == 0
        told = books.driver.run("collection_stats", None, ("books",), Empty()).index
        assert told.tier is DISK and told.encoding == f"lvq4, {D} dimensions" and told.layouts == 1
        assert (told.chosen_by, told.profile_levels, told.late_rows, told.stage) == ("default", 0, 0, None)
        assert books.driver.run("collection_stats", "acme", ("books",), Empty()).memory.row_bytes > 0


def test_an_index_on_disk_is_not_tuned(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng, tier=DISK) as books, pytest.raises(NoIndex, match="disk"):
        books.driver.run("tune", None, ("books",), Tune(queries="rows"))


def test_a_collection_that_shrinks_gives_its_index_up(
    tmp_path: Path, rng: np.random.Generator, small_folds: None
) -> None:
    with indexed_books(tmp_path / "data", rng, tier=DISK) as books:
        for tenant in TENANTS:
            mine = [point_id for owner, point_id in books.points if owner == tenant]
            books.delete(tenant, mine[5:])
        work_off(books)
        assert books.path_of() == "exact" and list((books.shard.env.path / "index").iterdir()) == []
        books.check()
        books.add(FROM)
        assert books.work() and books.path_of() == "index"
        books.check()


@pytest.mark.parametrize("stage", ["deepened", "build", "write_lists"])
def test_a_build_that_was_given_up_goes_on_after_a_restart(
    tmp_path: Path, rng: np.random.Generator, small_folds: None, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    n_read: list[int] = []
    read_points = build_stages.read_points  # type: ignore[attr-defined]

    def noted(*given: Any) -> Any:
        n_read.append(1)
        return read_points(*given)

    monkeypatch.setattr(build_stages, "read_points", noted)

    def stopped(*given: Any, **named: Any) -> Any:
        told = books.driver.run("collection_stats", None, ("books",), Empty()).index
        assert told.state == "building" and told.stage == ("clustering" if stage == "deepened" else "writing lists")
        books.driver.engine.services.is_stopping.set()
        books.index._check()

    with opened_books(tmp_path / "data", rng, tier=DISK) as books:
        books.add(100, shared=("globex",))
        with monkeypatch.context() as patched:
            patched.setattr(SpannIndex if stage == "build" else disk_kind, stage, stopped)
            assert not books.work()
        for _ in range(20):
            books.change()
        books.check()
        points = books.points
    with opened_books(tmp_path / "data", rng, points) as books:
        books.check()
        assert books.path_of() == "exact"
        for _ in range(10):
            books.change()
        assert books.work() and books.path_of() == "index" and len(n_read) == 1
        books.check(100)
        assert {path.name for path in (books.shard.env.path / "index" / "disk").iterdir()} == {
            "layout.vdb",
            "vectors.vdb",
            "lists",
        }
        points = books.points
    with opened_books(tmp_path / "data", rng, points) as books:
        books.check(100)
        assert books.path_of() == "index"


def test_statistics_tell_how_far_a_build_is(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened_books(tmp_path / "data", rng, tier=Tier.DISK) as books:
        books.add(60)
        told: list[Any] = []

        def look(*_: Any, **__: Any) -> Any:
            told.append(books.driver.run("collection_stats", None, ("books",), Empty()).index)
            raise Cancelled

        with monkeypatch.context() as patched:
            patched.setattr("vdb.engine.disk_kind.deepened", look)
            assert not books.work()
        assert (told[0].state, told[0].stage, told[0].stage_share) == ("building", "clustering", None)
        assert books.work()
        books.add(3)
        after = books.driver.run("collection_stats", None, ("books",), Empty()).index
        assert (after.state, after.stage, after.late_rows) == ("ready", None, 3)
