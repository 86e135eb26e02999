"""Damaged values: the request that needs one fails with CorruptData, everything else is served."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.engine.driver import Driver, opened
from tests.storage.damage import changing, drop, flip
from vdb.engine.maintenance import purge_step
from vdb.errors import CollectionNotFound, CorruptData, Unauthenticated
from vdb.protocol.requests import DeletePoints
from vdb.storage.catalog import KeyDocument, iterate_documents
from vdb.storage.check import check_directory
from vdb.storage.keyspace import Space, name_key, number_key, record_key, vector_key
from vdb.types import Role, Tier

ACME = 1
BAD_RECORD, BAD_VECTOR, NO_VECTOR = 1, 3, 4


@pytest.fixture(params=[Tier.AUTO, Tier.DISK])
def driver(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Driver]:
    """acme's points 0 to 5 on a line: record 1 is damaged, vector 3 is damaged, vector 4 is gone.

    Searched in memory, and as they are read from the store.
    """
    path = tmp_path / "data"
    with opened(path) as made:
        made.create("notes", tier=request.param)
        made.upsert("acme", "notes", [f"p{i}" for i in range(6)], [[10 * i, 0] for i in range(6)])
        made.share("acme", "notes", [f"p{i}" for i in range(6)], ["*"])
        made.create_tenant("globex")
    with changing(path / "collections" / "00000001") as txn:
        flip(record_key(ACME, BAD_RECORD), 20)(txn)
        flip(vector_key(ACME, BAD_VECTOR), 2)(txn)
        drop(vector_key(ACME, NO_VECTOR))(txn)
    assert len(check_directory(path)) >= 3
    with opened(path) as made:
        yield made


def test_a_get_fails_for_the_damaged_record_only(driver: Driver) -> None:
    assert [point.id for point in driver.get("acme", "notes", ["p0", "p2", "p3", "p5"])] == ["p0", "p2", "p3", "p5"]
    with pytest.raises(CorruptData):
        driver.get("acme", "notes", ["p1"])


@pytest.mark.parametrize("point", ["p3", "p4"])
def test_a_damaged_vector_is_not_handed_out(driver: Driver, point: str) -> None:
    assert driver.get("acme", "notes", [point])[0].id == point
    with pytest.raises(CorruptData):
        driver.get("acme", "notes", [point], with_vector=True)


@pytest.mark.parametrize("tenant", ["acme", "globex"])
def test_a_search_fails_only_where_the_damaged_record_is_among_the_hits(driver: Driver, tenant: str) -> None:
    assert driver.found(tenant, "notes", [50, 0], limit=2) == ["p5", "p2"]
    with pytest.raises(CorruptData):
        driver.found(tenant, "notes", [10, 0], limit=2)


def test_writes_go_on_and_touch_no_damaged_record(driver: Driver) -> None:
    driver.upsert("acme", "notes", ["p0", "new"], [[1, 1], [2, 2]])
    with pytest.raises(CorruptData):
        driver.upsert("acme", "notes", ["p2", "p1"], [[1, 1], [2, 2]])
    assert driver.get("acme", "notes", ["p2"])[0].version == 1
    assert driver.delete("acme", "notes", ["p5"]) == 1


def test_an_upsert_mends_a_damaged_vector(driver: Driver) -> None:
    driver.upsert("acme", "notes", ["p3"], [[30, 0]])
    assert driver.get("acme", "notes", ["p3"], with_vector=True)[0].vector.tolist() == [30, 0]


def test_a_damaged_record_does_not_keep_others_from_being_purged(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with opened(path) as driver:
        driver.create("notes")
        driver.upsert("acme", "notes", ["a", "b"], expires_at=[datetime(2020, 1, 1, tzinfo=UTC)] * 2)
    with changing(path / "collections" / "00000001") as txn:
        flip(record_key(ACME, 0), 20)(txn)
    with opened(path) as driver:
        collection = driver.engine.services.catalog.collections()[0]
        assert purge_step(driver.engine.services, collection) == 1
        assert driver.get("acme", "notes", ["b"]) == []


def test_a_damaged_key_is_refused_and_the_others_work(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with opened(path) as driver:
        bad, good = (str(driver.create_key(Role.WRITE, "acme", name=name).key) for name in ("bad", "good"))
    with changing(path / "catalog") as txn:
        # Without a configured key, the start itself looks for an admin key among all.
        key_id = next(key.id for key in iterate_documents(txn, Space.KEY, KeyDocument) if key.name == "bad")
        flip(name_key(Space.KEY, key_id), 8)(txn)
    with opened(path) as driver:
        assert driver.engine.authenticate(good, None).tenant == "acme"
        with pytest.raises((CorruptData, Unauthenticated)):
            driver.engine.authenticate(bad, None)


def test_a_damaged_tenant_fails_for_that_tenant_only(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with opened(path) as driver:
        driver.create("notes")
        for tenant in ("acme", "globex"):
            driver.upsert(tenant, "notes", ["a"])
    with changing(path / "catalog") as txn:
        flip(number_key(Space.TENANT, ACME), 8)(txn)
    with opened(path) as driver:
        assert driver.ids("globex", "notes") == ["a"]
        with pytest.raises(CorruptData):
            driver.ids("acme", "notes")


def test_a_damaged_collection_or_job_does_not_keep_the_server_from_starting(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with opened(path) as driver:
        for name in ("bad", "good"):
            driver.create(name)
        driver.upsert("acme", "good", ["a"])
        driver.finish_job(driver.run("delete_points", "acme", ("good",), DeletePoints(filter={"field": "x", "eq": 1})))
    with changing(path / "catalog") as txn:
        flip(number_key(Space.COLLECTION, 1), 8)(txn)
        flip(number_key(Space.JOB, 1), 8)(txn)
    with opened(path) as driver:
        assert driver.ids("acme", "good") == ["a"]
        with pytest.raises(CollectionNotFound):
            driver.ids("acme", "bad")
    assert (path / "collections" / "00000001" / "data.mdb").exists()
