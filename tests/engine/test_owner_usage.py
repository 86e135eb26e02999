"""What owners have is counted with each write, kind by kind; the totals of a collection are their sum."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from tests.engine.driver import Driver, opened
from tests.storage.damage import changing, drop
from vdb.engine.maintenance import purge_step
from vdb.errors import CorruptData
from vdb.protocol.requests import DeletePoints, Empty, PayloadChange, UpdatePayload
from vdb.storage.check import check_directory
from vdb.storage.codec import NOTHING, Usage
from vdb.storage.keyspace import ALL_OWNERS, usage_key
from vdb.storage.points import iterate_owners, read_totals
from vdb.storage.usages import count_usages
from vdb.types import Caller, Role

ACME, GLOBEX = 1, 2


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with opened(tmp_path / "data") as made:
        made.create("notes")
        for tenant in ("acme", "globex"):
            made.create_tenant(tenant)
        yield made


def usages(driver: Driver) -> dict[int, Usage]:
    """The stored usages, after a comparison with the records and the totals."""
    collection = driver.engine.services.catalog.collections()[0]
    with driver.engine.services.shards.use(collection) as shard, shard.env.read() as txn:
        stored = dict(iterate_owners(txn))
        assert stored == {owner: usage for owner, usage, _ in count_usages(txn)}
        total = NOTHING
        for usage in stored.values():
            total = total.plus(usage)
        assert read_totals(txn) == total
    return stored


def test_an_upsert_counts_points_vectors_and_bytes(driver: Driver) -> None:
    driver.upsert("acme", "notes", ["a", "bb"], [[0, 0], [1, 1]], payloads=[{"n": 1}, {}])
    driver.upsert("acme", "notes", ["ccc"])
    driver.upsert("globex", "notes", ["a"], [[0, 0]])
    assert usages(driver) == {ACME: Usage(3, 2, 6, 7 + 2), GLOBEX: Usage(1, 1, 1)}
    assert usages(driver)[ACME].n_bytes(2) == 6 + 9 + 2 * 8


def test_a_replacement_counts_what_changes(driver: Driver) -> None:
    driver.upsert("acme", "notes", ["a"], [[0, 0]], payloads=[{"n": 1}], shared_with=[["globex"]])
    assert usages(driver)[ACME] == Usage(1, 1, 1, 7, 1)
    driver.upsert("acme", "notes", ["a"], payloads=[{"long": 1}])
    assert usages(driver)[ACME] == Usage(1, 0, 1, 10, 1)
    driver.upsert("acme", "notes", ["a"], [[1, 1]], shared_with=[["globex", "*"]])
    assert usages(driver)[ACME] == Usage(1, 1, 1, 0, 2)


def test_grants_and_revokes_are_counted_once_each(driver: Driver) -> None:
    driver.upsert("acme", "notes", ["a", "b"], [[0, 0], [1, 1]])
    for _ in range(2):
        driver.share("acme", "notes", ["a", "b"], ["globex", "*"])
    assert usages(driver)[ACME].grants == 4
    for _ in range(2):
        driver.share("acme", "notes", ["a", "gone"], ["*"], "revoke")
    assert usages(driver)[ACME].grants == 3
    driver.delete("acme", "notes", ["b"])
    assert usages(driver)[ACME] == Usage(1, 1, 1, 0, 1)


def test_a_change_of_payload_counts_its_bytes(driver: Driver) -> None:
    driver.upsert("acme", "notes", ["a"], payloads=[{"n": 1}])
    change = PayloadChange(id="a", payload=msgspec.Raw(b'{"m":22}'))
    driver.run("update_payload", "acme", ("notes",), UpdatePayload(points=[change]))
    assert usages(driver)[ACME].payload_bytes == len('{"n":1,"m":22}')


def test_what_a_purge_a_job_or_the_end_of_a_tenant_removes_is_not_counted(driver: Driver) -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    driver.upsert("acme", "notes", ["a"], [[0, 0]], expires_at=[past], shared_with=[["*"]])
    driver.upsert("acme", "notes", ["b", "c"], [[0, 0], [1, 1]], payloads=[{"n": 1}, {"n": 2}])
    driver.share("acme", "notes", ["b", "c"], ["globex", "*"])
    driver.upsert("globex", "notes", ["d"], [[2, 2]], shared_with=[["acme"]])
    services = driver.engine.services
    assert purge_step(services, services.catalog.collections()[0]) == 1
    assert usages(driver)[ACME] == Usage(2, 2, 2, 14, 4)
    driver.finish_job(driver.run("delete_points", "acme", ("notes",), DeletePoints(filter={"field": "n", "eq": 1})))
    assert usages(driver)[ACME] == Usage(1, 1, 1, 7, 2)
    driver.finish_job(driver.run("delete_tenant", None, ("globex",), Empty()))
    assert usages(driver) == {ACME: Usage(1, 1, 1, 7, 1)}
    driver.finish_job(driver.run("delete_tenant", None, ("acme",), Empty()))
    assert usages(driver) == {}


def test_a_refused_write_counts_nothing(driver: Driver) -> None:
    driver.upsert("acme", "notes", ["a"], [[0, 0]])
    before = usages(driver)
    futures = [
        driver.queue_upsert("acme", "notes", ["b", "a"], [[1, 1]] * 2, if_absent=[False, True]),
        driver.queue_upsert("globex", "notes", ["b"], [[1, 1]]),
    ]
    assert [future.exception(20) is None for future in futures] == [False, True]
    assert usages(driver) == before | {GLOBEX: Usage(1, 1, 1)}


def test_a_tenant_that_does_not_exist_is_not_shown_the_totals(driver: Driver) -> None:
    driver.upsert("acme", "notes", ["a"], [[0, 0]])
    for caller in (Caller("", Role.SERVICE, "nobody"), Caller("", Role.ADMIN, "nobody")):
        assert driver.engine.run("get_collection", caller, ("notes",), Empty()).n_points == 0


@pytest.mark.parametrize("owner", [ACME, ALL_OWNERS])
def test_a_wrong_usage_fails_the_deletes_that_show_it_and_no_other_write(tmp_path: Path, owner: int) -> None:
    path = tmp_path / "data"
    with opened(path) as driver:
        driver.create("notes")
        driver.upsert("acme", "notes", ["a"], [[0, 0]])
    with changing(path / "collections" / "00000001") as txn:
        drop(usage_key(owner))(txn)
    with opened(path) as driver:
        with pytest.raises(CorruptData, match="vdb check --repair"):
            driver.delete("acme", "notes", ["a"])
        driver.upsert("globex", "notes", ["a"], [[0, 0]])
        assert driver.ids("acme", "notes") == ["a"]
    assert len(check_directory(path)) in (1, 2)


def test_a_damaged_usage_does_not_keep_a_server_with_quotas_from_starting(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with opened(path) as driver:
        driver.create_tenant("acme", points=10)
        for name in ("bad", "good"):
            driver.create(name)
            driver.upsert("acme", name, ["a"], [[0, 0]])
    with changing(path / "collections" / "00000001") as txn:
        txn.put(usage_key(ACME), b"short")
    with opened(path) as driver:
        driver.upsert("acme", "good", ["b"], [[0, 0]])
        with pytest.raises(CorruptData):
            driver.upsert("acme", "bad", ["b"], [[0, 0]])
