"""Payload indexes in the engine: made with the collection or later, kept in step by every write, used by filters."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import Raw
from pyroaring import BitMap

import vdb.engine.jobs as jobs
from tests.engine.driver import Driver, opened, wait_until
from tests.storage.damage import changing
from vdb.engine.maintenance import purge_step
from vdb.engine.read import LOOK_UPS_PER_RECORD
from vdb.engine.row_sets import RowSetCache, row_mask
from vdb.errors import InvalidArgument, QuotaExceeded, TooLarge, VersionConflict
from vdb.protocol.columns import SearchHead
from vdb.protocol.requests import (
    DeletePoints,
    Empty,
    ListPage,
    PayloadChange,
    Scroll,
    UpdateCollection,
    UpdatePayload,
)
from vdb.storage.check import check_directory
from vdb.storage.keyspace import Space, index_document_key

FIELDS: dict[str, Any] = {"lang": "string", "year": "integer", "tags": "list"}
ENGLISH = {"field": "lang", "eq": "en"}


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with opened(tmp_path / "data") as made:
        made.create("notes", fields=FIELDS, indexes=["lang", "year"])
        yield made
    assert check_directory(tmp_path / "data") == []


def fill(driver: Driver, n: int = 100, tenant: str = "acme", **columns: Any) -> None:
    payloads = [{"lang": "en" if i % 10 == 0 else "de", "year": 2000 + i % 7} for i in range(n)]
    driver.upsert(tenant, "notes", [f"{i}" for i in range(n)], [[i, 0] for i in range(n)], payloads=payloads, **columns)


def explained(driver: Driver, tenant: str = "acme", **given: Any) -> dict[str, Any]:
    head = SearchHead(limit=given.pop("limit", 5), explain=True, filter=given.pop("filter", ENGLISH), **given)
    answer = driver.run("search", tenant, ("notes",), head, np.zeros(2, np.float32))
    return {**msgspec.to_builtins(answer.explain), "ids": [hit.id for hit in answer.hits]}


def update(driver: Driver, **given: Any) -> Any:
    return driver.run("update_collection", None, ("notes",), UpdateCollection(**given))


def states(driver: Driver) -> dict[str, str]:
    return dict(driver.run("get_collection", None, ("notes",), Empty()).indexes)


def is_ready(driver: Driver, *fields: str) -> bool:
    return states(driver) == dict.fromkeys(fields, "ready")


def keys_of_indexes(driver: Driver) -> int:
    services = driver.engine.services
    with services.shards.use(services.catalog.collections()[0]) as shard, shard.env.read() as txn:
        return sum(key[0] == Space.PAYLOAD_INDEX for key, _ in txn.cursor())


def test_a_collection_made_with_indexes_uses_them_at_once(driver: Driver) -> None:
    assert states(driver) == {"lang": "ready", "year": "ready"}
    fill(driver)
    found = explained(driver)
    assert (found["filter"], found["selectivity"], found["ids"]) == ("index", 0.1, ["0", "10", "20", "30", "40"])
    assert found["candidates_tested"] == 5


def test_a_filter_without_an_index_goes_in_rounds_and_finds_the_same(driver: Driver) -> None:
    fill(driver)
    indexed = explained(driver, limit=20)["ids"]
    update(driver, indexes=[])
    found = explained(driver, limit=20)
    assert (found["filter"], found["ids"]) == ("rounds", indexed)


def test_a_filter_with_an_unindexed_part_is_verified(driver: Driver) -> None:
    fill(driver)
    condition = {"and": [ENGLISH, {"field": "other", "exists": False}, {"field": "year", "ne": 2000}]}
    found = explained(driver, filter=condition, limit=50)
    assert found["filter"] == "index" and found["ids"] == [f"{i}" for i in range(0, 100, 10) if i % 7]


def test_other_tenants_points_are_not_found_nor_counted(driver: Driver) -> None:
    fill(driver)
    fill(driver, 10, "globex")
    found = explained(driver, "globex")
    assert found["ids"] == ["0"] and found["selectivity"] == 0.1
    assert driver.count("globex", "notes", filter=ENGLISH) == 1 and driver.count("acme", "notes", filter=ENGLISH) == 10
    driver.share("acme", "notes", ["20", "21"], ["globex"])
    assert driver.count("globex", "notes", filter=ENGLISH, scope="visible") == 2
    assert explained(driver, "globex")["ids"] == ["0", "20"]


def test_every_kind_of_write_keeps_the_indexes_in_step(driver: Driver) -> None:
    fill(driver, 20)
    driver.upsert("acme", "notes", ["0", "1"], [[0, 0], [1, 0]], payloads=[{"lang": "fr"}, {"lang": "en"}])
    changed = [
        PayloadChange(id="2", payload=Raw(b'{"lang":"en"}')),
        PayloadChange(id="10", payload=Raw(b'{"lang":null}')),
    ]
    driver.run("update_payload", "acme", ("notes",), UpdatePayload(points=changed))
    assert explained(driver)["ids"] == ["1", "2"]
    driver.delete("acme", "notes", ["1"])
    assert (
        explained(driver)["ids"] == ["2"] == [hit.id for hit in driver.search("acme", "notes", [0, 0], filter=ENGLISH)]
    )
    assert driver.count("acme", "notes", filter={"field": "lang", "is_null": True}) == 0
    assert driver.count("acme", "notes", filter={"field": "lang", "exists": False}) == 1
    job = driver.run("delete_points", "acme", ("notes",), DeletePoints(filter={"field": "lang", "in": ["en", "fr"]}))
    assert driver.finish_job(job).n_done == 2
    assert explained(driver)["ids"] == [] and driver.count("acme", "notes") == 17
    driver.finish_job(driver.run("delete_tenant", None, ("acme",), Empty()))
    assert keys_of_indexes(driver) == 2


def test_a_refused_write_leaves_no_entry(driver: Driver) -> None:
    driver.create_tenant("acme", points=1)
    with pytest.raises(QuotaExceeded):
        driver.upsert("acme", "notes", ["a", "b"], payloads=[{"lang": "en"}, {"lang": "en"}])
    with pytest.raises(VersionConflict):
        driver.upsert("acme", "notes", ["a"], payloads=[{"lang": "en"}], if_version=[7])
    assert keys_of_indexes(driver) == 2


def test_expired_points_are_not_found_and_leave_the_indexes_when_purged(driver: Driver) -> None:
    expires_at = [datetime.now(UTC) + timedelta(seconds=0.2), None]
    driver.upsert("acme", "notes", ["a", "new"], [[0, 0], [1, 0]], payloads=[{"lang": "en"}] * 2, expires_at=expires_at)
    wait_until(lambda: explained(driver)["ids"] == ["new"])
    assert driver.count("acme", "notes", filter=ENGLISH) == 1
    assert purge_step(driver.engine.services, driver.engine.services.catalog.collections()[0]) == 1
    assert driver.count("acme", "notes", filter=ENGLISH) == 1


def test_an_index_added_later_is_built_in_steps_while_points_are_written(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "STEP_POINTS", 10)
    update(driver, indexes=[])
    fill(driver, 95)
    answer = update(driver, indexes=["lang"])
    assert set(answer.indexes) == {"lang"}
    driver.upsert("acme", "notes", ["5", "n"], [[5, 0], [500, 0]], payloads=[{"lang": "en"}, {"lang": "en"}])
    driver.delete("acme", "notes", ["10", "90"])
    wait_until(lambda: is_ready(driver, "lang"))
    found = explained(driver, limit=50)
    assert found["filter"] == "index"
    assert found["ids"] == ["0", "5", "20", "30", "40", "50", "60", "70", "80", "n"]


def test_the_building_of_an_index_goes_on_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data"
    step = jobs._STEPS[jobs.INDEX_FIELDS]
    steps: list[None] = []

    def few(*given: Any) -> Any:
        if len(steps) == 3:
            time.sleep(0.01)
            return given[1]
        steps.append(None)
        return step(*given)

    monkeypatch.setattr(jobs, "STEP_POINTS", 10)
    monkeypatch.setitem(jobs._STEPS, jobs.INDEX_FIELDS, few)
    with opened(path) as driver:
        driver.create("notes", fields=FIELDS)
        fill(driver, 95)
        update(driver, indexes=["lang"])
        wait_until(lambda: len(steps) == 3)
        assert states(driver) == {"lang": "building"} and explained(driver)["filter"] == "rounds"
    assert check_directory(path) == []
    monkeypatch.setitem(jobs._STEPS, jobs.INDEX_FIELDS, step)
    with opened(path) as driver:
        wait_until(lambda: is_ready(driver, "lang"))
        assert explained(driver)["filter"] == "index" and driver.count("acme", "notes", filter=ENGLISH) == 10
        job = driver.run("list_jobs", None, (), ListPage()).jobs[-1]
        wait_until(lambda: driver.run("get_job", None, (job.id,), Empty()).state == "done")
    assert check_directory(path) == []


def test_a_dropped_index_leaves_no_key_and_may_come_back(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "STEP_POINTS", 3)
    fill(driver, 50)
    update(driver, indexes=["year"])
    update(driver, indexes=["year", "lang"])
    # What is ready may be the index of before: a step of the first job, under way, can still drop it.
    wait_until(lambda: is_ready(driver, "lang", "year") and explained(driver)["filter"] == "index")
    update(driver, indexes=[])
    wait_until(lambda: keys_of_indexes(driver) == 0)
    assert states(driver) == {}


@pytest.mark.parametrize("indexes", [["nothing"], ["lang", "lang"]])
def test_an_index_is_on_a_declared_field_named_once(driver: Driver, indexes: list[str]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        driver.create("other", fields=FIELDS, indexes=indexes)
    assert refused.value.problems[0].pointer == f"/indexes/{len(indexes) - 1}"
    with pytest.raises(InvalidArgument) as refused:
        update(driver, indexes=indexes)
    assert refused.value.problems[0].pointer == f"/indexes/{len(indexes) - 1}"
    assert states(driver) == {"lang": "ready", "year": "ready"}


def test_a_collection_has_a_bounded_number_of_indexes(driver: Driver) -> None:
    fields: Any = {f"f{i}": "string" for i in range(17)}
    with pytest.raises(TooLarge):
        driver.create("other", fields=fields, indexes=list(fields))
    assert driver.run("limits", None, (), Empty()).limits["max_indexes_per_collection"] == 16


def damage_first_index(path: Path) -> None:
    with changing(path / "collections/00000001") as txn:
        for key, _ in list(txn.cursor()):
            if key[0] == Space.PAYLOAD_INDEX and key[1:3] == b"\0\1":
                txn.put(key, b"\1damaged")


def damage_document(path: Path) -> None:
    with changing(path / "collections/00000001") as txn:
        txn.put(index_document_key(1), b"damaged")


@pytest.mark.parametrize("damage", [damage_first_index, damage_document])
@pytest.mark.parametrize("is_written", [True, False])
def test_a_damaged_index_is_not_used_and_is_built_anew(
    tmp_path: Path, damage: Callable[[Path], None], is_written: bool
) -> None:
    path = tmp_path / "data"
    with opened(path) as driver:
        driver.create("notes", fields=FIELDS, indexes=["lang", "year"])
        fill(driver)
    damage(path)
    with opened(path, purge_interval_s=0.05) as driver:
        if is_written:
            driver.upsert("acme", "notes", ["0"], [[0, 0]], payloads=[{"lang": "en"}])
        expected = [f"{i}" for i in range(0, 100, 10)]
        wait_until(lambda: explained(driver, limit=50)["filter"] == "index")
        assert explained(driver, limit=50)["ids"] == expected and is_ready(driver, "lang", "year")
    assert check_directory(path) == []


def test_scroll_with_a_filter_goes_on_from_its_cursor(driver: Driver) -> None:
    fill(driver)
    ids: list[str] = []
    request = Scroll(limit=3, filter=ENGLISH)
    while True:
        page = driver.run("scroll", "acme", ("notes",), request)
        ids += [point.id for point in page.points]
        if page.next_cursor is None:
            break
        request = Scroll(limit=3, filter=ENGLISH, cursor=page.next_cursor)
    assert ids == [f"{i}" for i in range(0, 100, 10)]


def test_a_set_larger_than_what_a_tenant_sees_is_not_looked_up(driver: Driver) -> None:
    fill(driver, 200)
    fill(driver, 100 // LOOK_UPS_PER_RECORD - 45, "globex")
    everything = {"field": "lang", "exists": True}
    assert driver.count("globex", "notes", filter=everything, scope="visible") == 5
    assert driver.count("acme", "notes", filter=everything, scope="visible") == 200


def test_a_mask_has_the_rows_whose_pids_are_in_the_set(rng: np.random.Generator) -> None:
    for span, n_rows, n_allowed in (
        (100, 100, 10),
        (100, 50, 90),
        (1 << 20, 100, 500),
        (1 << 20, 1000, 10),
        (1 << 32, 50, 0),
    ):
        pids = rng.choice(span, n_rows, replace=False).astype(np.uint32)
        allowed = BitMap([*rng.integers(0, span, n_allowed).tolist(), *pids[: n_rows // 3].tolist()])
        for ordered in (pids, np.sort(pids)):
            assert row_mask(ordered, allowed).tolist() == [int(pid in allowed) for pid in ordered.tolist()]
    assert len(row_mask(np.zeros(0, np.uint32), BitMap([1]))) == 0


def test_the_cache_keeps_the_newest_sequence_of_a_filter_within_its_bytes() -> None:
    cache = RowSetCache(max_bytes=2048)
    cache.put("a", 1, "old", 10)
    cache.put("a", 2, "new", 10)
    cache.put("a", 1, "late", 10)
    assert cache.get("a", 2) == "new" and cache.get("a", 1) is None and cache.n_bytes == 522
    cache.put("huge", 1, "x", 5000)
    assert cache.get("huge", 1) is None
    for i in range(10):
        cache.put(i, 1, i, 100)
    assert cache.n_bytes <= 2048 and cache.get("a", 2) is None and cache.get(9, 1) == 9


def test_a_changed_collection_asks_its_indexes_anew(driver: Driver) -> None:
    fill(driver, 20)
    assert explained(driver)["ids"] == explained(driver)["ids"] == ["0", "10"]
    driver.delete("acme", "notes", ["0"])
    assert explained(driver)["ids"] == ["10"]
    fill(driver, 1)
    assert explained(driver)["ids"] == ["0", "10"]
