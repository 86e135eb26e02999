"""Quotas are exact: over collections, after refusals, after a restart, under concurrency."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.driver import Driver, opened
from vdb.errors import InvalidArgument, QuotaExceeded, VersionConflict
from vdb.protocol.requests import PayloadChange, TenantQuota, UpdatePayload, UpdateTenant
from vdb.types import Role


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with opened(tmp_path / "data") as made:
        made.create("notes")
        made.create("shapes", dimension=3)
        yield made


def usage(driver: Driver, tenant: str) -> tuple[int, int]:
    found = driver.tenant(tenant).usage
    return found.points, found.bytes


def set_quota(driver: Driver, tenant: str, points: int | None = None, n_bytes: int | None = None) -> None:
    driver.run("update_tenant", None, (tenant,), UpdateTenant(quota=TenantQuota(points=points, bytes=n_bytes)))


def test_a_quota_of_points_counts_over_collections(driver: Driver) -> None:
    driver.create_tenant("acme", points=3)
    driver.upsert("acme", "notes", ["a", "b"], [[1, 1], [2, 2]])
    driver.upsert("acme", "shapes", ["a"], [[1, 1, 1]])
    for collection in ("notes", "shapes"):
        with pytest.raises(QuotaExceeded):
            driver.upsert("acme", collection, ["c"])
    assert usage(driver, "acme") == (3, 3 + 2 * 8 + 12)


def test_a_refused_request_leaves_nothing_behind(driver: Driver) -> None:
    driver.create_tenant("acme", points=3)
    with pytest.raises(QuotaExceeded):
        driver.upsert("acme", "notes", ["a", "b", "c", "d"])
    assert (driver.ids("acme", "notes"), usage(driver, "acme")) == ([], (0, 0))
    assert driver.upsert("acme", "notes", ["a", "b", "c"]) == 1


def test_replacing_a_point_costs_no_point_and_deleting_gives_it_back(driver: Driver) -> None:
    driver.create_tenant("acme", points=2)
    driver.upsert("acme", "notes", ["a", "b"])
    driver.upsert("acme", "notes", ["a", "b"], [[1, 1], [2, 2]])
    driver.delete("acme", "notes", ["a", "never there"])
    driver.upsert("acme", "notes", ["c"])
    with pytest.raises(QuotaExceeded):
        driver.upsert("acme", "notes", ["d"])
    assert usage(driver, "acme") == (2, 2 + 8)


def test_a_quota_of_bytes_counts_ids_payloads_and_vectors(driver: Driver) -> None:
    payload = {"n": 1}  # 7 bytes
    driver.create_tenant("acme", n_bytes=2 + 7 + 8)
    driver.upsert("acme", "notes", ["ab"], [[1, 1]], payloads=[payload])
    change = UpdatePayload(points=[PayloadChange(id="ab", payload=b'{"n":22}')], mode="replace")  # type: ignore[arg-type]
    with pytest.raises(QuotaExceeded):
        driver.run("update_payload", "acme", ("notes",), change)
    with pytest.raises(QuotaExceeded):
        driver.upsert("acme", "notes", ["ab"], [[1, 1]], payloads=[{"n": 22}])
    driver.upsert("acme", "notes", ["ab"], payloads=[{"n": 22}])
    assert usage(driver, "acme") == (1, 2 + 8)


def test_granted_points_count_on_their_owner_only(driver: Driver) -> None:
    driver.create_tenant("globex", points=0)
    driver.upsert("acme", "notes", ["a"], [[1, 1]])
    driver.share("acme", "notes", ["a"], ["globex"])
    assert usage(driver, "globex") == (0, 0) and driver.found("globex", "notes", [1, 1]) == ["a"]


def test_usage_is_the_same_after_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("notes")
        driver.create_tenant("acme", points=3)
        driver.upsert("acme", "notes", ["a", "b"])
    with opened(tmp_path / "data") as driver:
        with pytest.raises(QuotaExceeded):
            driver.upsert("acme", "notes", ["c", "d"])
        driver.upsert("acme", "notes", ["c"])
        with pytest.raises(QuotaExceeded):
            driver.upsert("acme", "notes", ["d"])


def test_a_quota_below_what_is_there_refuses_growth_only(driver: Driver) -> None:
    driver.upsert("acme", "notes", ["a", "b", "c"])
    set_quota(driver, "acme", points=1)
    with pytest.raises(QuotaExceeded):
        driver.upsert("acme", "notes", ["d"])
    driver.upsert("acme", "notes", ["a"], [[1, 1]])
    driver.delete("acme", "notes", ["a"])
    set_quota(driver, "acme")
    driver.upsert("acme", "notes", ["d"])


def test_a_deleted_collection_gives_its_points_back(driver: Driver) -> None:
    driver.create_tenant("acme", points=2)
    driver.upsert("acme", "notes", ["a", "b"])
    driver.run("delete_collection", None, ("notes",), None)
    driver.engine.services.background.submit(lambda: None).result(10)
    driver.upsert("acme", "shapes", ["a", "b"])
    with pytest.raises(QuotaExceeded):
        driver.upsert("acme", "shapes", ["c"])


def test_expired_points_count_until_they_are_purged_or_replaced(driver: Driver) -> None:
    from datetime import UTC, datetime

    driver.create_tenant("acme", points=1)
    driver.upsert("acme", "notes", ["a"], expires_at=[datetime(2020, 1, 1, tzinfo=UTC)])
    with pytest.raises(QuotaExceeded):
        driver.upsert("acme", "notes", ["b"])
    driver.upsert("acme", "notes", ["a"])
    assert usage(driver, "acme") == (1, 1)


def test_writers_of_two_collections_at_once_fill_a_quota_exactly(driver: Driver) -> None:
    driver.create_tenant("acme", points=40)
    n_written: list[int] = []

    def write(collection: str, w: int) -> None:
        for i in range(30):
            version: list[Any] = [7] if i % 4 == 3 else [None]
            try:
                driver.upsert("acme", collection, [f"{w}-{i}"], if_version=version)
                n_written.append(1)
            except (QuotaExceeded, VersionConflict):
                continue

    threads = [threading.Thread(target=write, args=(c, w)) for w, c in enumerate(("notes", "shapes") * 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(n_written) == 40 and usage(driver, "acme")[0] == 40


def test_a_refusal_does_not_hide_what_its_neighbours_are_about_to_commit(driver: Driver) -> None:
    driver.create_tenant("acme", points=10)
    document = driver.engine.services.catalog.collection("notes")
    assert document is not None
    gate = threading.Event()
    with driver.engine._shards.use(document) as shard:
        shard.queue.submit(lambda _: gate.wait())
        first = driver.queue_upsert("acme", "notes", [f"a{i}" for i in range(8)])
        refused = driver.queue_upsert("acme", "notes", [f"b{i}" for i in range(5)])
        elsewhere = shard.queue.submit(
            lambda _: driver.queue_upsert("acme", "shapes", ["c0", "c1", "c2"]).exception(10)
        )
        gate.set()
        assert isinstance(elsewhere.exception(10), QuotaExceeded), "the eight points were forgotten"
    assert isinstance(refused.exception(10), QuotaExceeded) and first.result(10).sequence
    assert usage(driver, "acme")[0] == 8


@pytest.mark.parametrize("quota", [TenantQuota(points=-1), TenantQuota(bytes=1 << 63)])
def test_a_quota_is_zero_or_more_and_fits(driver: Driver, quota: TenantQuota) -> None:
    driver.create_tenant("acme")
    with pytest.raises(InvalidArgument):
        driver.run("update_tenant", None, ("acme",), UpdateTenant(quota=quota))


def test_only_the_tenant_itself_and_admins_see_a_usage(driver: Driver) -> None:
    from vdb.errors import TenantNotFound
    from vdb.protocol.requests import Empty

    driver.create_tenant("acme")
    driver.create_tenant("globex")
    own = driver.caller("acme", Role.READ)
    assert driver.engine.run("get_tenant", own, ("acme",), Empty()).name == "acme"
    with pytest.raises(TenantNotFound):
        driver.engine.run("get_tenant", own, ("globex",), Empty())
