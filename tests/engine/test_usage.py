"""Usage per tenant and month: stored, added up, kept for two years, gone with the tenant."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.driver import Driver, opened, wait_until
from vdb.engine import usage
from vdb.engine.commit import Group
from vdb.engine.usage import save_usage
from vdb.errors import InvalidCursor, StorageFailure, TenantNotFound
from vdb.protocol.requests import Empty, UsagePage
from vdb.storage import catalog as store
from vdb.storage.catalog import UsageDocument
from vdb.storage.check import check_directory
from vdb.tenancy.usage import MONTHS_KEPT, months_before
from vdb.types import Role


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with opened(tmp_path / "data") as made:
        made.create_tenant("acme")
        made.create_tenant("globex")
        yield made


def asked(driver: Driver, tenant: str = "acme", **page: Any) -> list[Any]:
    return list(driver.run("tenant_usage", None, (tenant,), UsagePage(**page)).months)


def count(driver: Driver, n_reads: int, tenant: int = 1) -> None:
    driver.engine.services.usage.add(tenant, n_reads, 0, 10, 100, 0)


def months(driver: Driver, *numbers: int, tenant: int = 1) -> None:
    """Store usage of these months."""
    documents = [UsageDocument(tenant_id=tenant, month=month, requests=1) for month in numbers]

    def apply(group: Group) -> None:
        for document in documents:
            store.put_tenant_usage(group.txn, document)

    driver.engine.services.catalog.write(apply)


def test_counts_are_shown_at_once_and_add_up_in_the_store(driver: Driver) -> None:
    services = driver.engine.services
    for n_reads in (1, 2, 4):
        count(driver, n_reads)
        (month,) = asked(driver)
        save_usage(services)
        assert asked(driver) == [month]
    assert (month.requests, month.reads, month.writes, month.bytes_in, month.bytes_out) == (3, 7, 0, 30, 300)
    assert asked(driver, "globex") == []


def test_usage_survives_a_stop(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create_tenant("acme")
        count(driver, 5)
    assert check_directory(tmp_path / "data") == []
    with opened(tmp_path / "data") as driver:
        assert [month.reads for month in asked(driver)] == [5]


def test_what_could_not_be_stored_goes_with_the_next(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    count(driver, 5)

    def fail(*_: Any, **__: Any) -> None:
        raise StorageFailure("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(usage, "_add", fail)
        with pytest.raises(StorageFailure):
            save_usage(driver.engine.services)
    count(driver, 1)
    save_usage(driver.engine.services)
    assert [month.reads for month in asked(driver)] == [6]


def test_many_tenants_are_stored_in_steps(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "STEP_TENANTS", 1)
    for tenant in (1, 2):
        count(driver, tenant, tenant)
    before = driver.engine.services.catalog.queue.n_requests
    save_usage(driver.engine.services)
    assert driver.engine.services.catalog.queue.n_requests == before + 2
    assert [asked(driver, name)[0].reads for name in ("acme", "globex")] == [1, 2]


def test_months_come_newest_first_by_page_or_one_alone(driver: Driver) -> None:
    months(driver, 202511, 202512, 202601)
    months(driver, 202512, tenant=2)
    assert [month.month for month in asked(driver)] == ["2026-01", "2025-12", "2025-11"]
    first = driver.run("tenant_usage", None, ("acme",), UsagePage(limit=2))
    assert [month.month for month in first.months] == ["2026-01", "2025-12"]
    rest = driver.run("tenant_usage", None, ("acme",), UsagePage(limit=2, cursor=first.next_cursor))
    assert ([month.month for month in rest.months], rest.next_cursor) == (["2025-11"], None)
    assert [month.month for month in asked(driver, month="2025-12")] == ["2025-12"]
    with pytest.raises(InvalidCursor):
        asked(driver, cursor="7")


def test_two_years_are_kept(driver: Driver) -> None:
    count(driver, 1)
    (now,) = asked(driver)
    month = int(now.month.replace("-", ""))
    months(driver, *(months_before(month, n) for n in (MONTHS_KEPT + 5, MONTHS_KEPT, MONTHS_KEPT - 1, 1)))
    save_usage(driver.engine.services)
    kept = [int(found.month.replace("-", "")) for found in asked(driver)]
    assert kept == [month, months_before(month, 1), months_before(month, MONTHS_KEPT - 1)]


def test_usage_goes_with_its_tenant(driver: Driver, tmp_path: Path) -> None:
    months(driver, 202511)
    count(driver, 1)
    count(driver, 1, tenant=2)
    driver.run("delete_tenant", None, ("acme",), Empty())
    wait_until(lambda: driver.engine.services.catalog.tenant_by_id(1) is None)
    count(driver, 1)
    save_usage(driver.engine.services)
    with driver.engine.services.catalog.env.read() as txn:
        assert (store.usage_of_tenant(txn, 1), len(store.usage_of_tenant(txn, 2))) == ([], 1)
    driver.engine.close()
    assert check_directory(tmp_path / "data") == []


def test_a_tenant_sees_its_own_usage_only(driver: Driver) -> None:
    own = driver.caller("acme", Role.READ)
    assert driver.engine.run("tenant_usage", own, ("acme",), UsagePage()).tenant == "acme"
    for foreign in ("globex", "nobody"):
        with pytest.raises(TenantNotFound):
            driver.engine.run("tenant_usage", own, (foreign,), UsagePage())


def test_usage_looked_at_while_it_is_stored_was_counted_twice(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    services = driver.engine.services
    count(driver, 5)
    seen: list[Any] = []
    looking = threading.Thread(target=lambda: seen.append(asked(driver)))
    settle = services.usage.settle
    monkeypatch.setattr(usage, "_PATIENCE_S", 60.0)

    def settle_late(stored: Any) -> None:
        looking.start()  # the commit is on disk, and the counts are still pending
        looking.join(0.2)
        settle(stored)

    monkeypatch.setattr(services.usage, "settle", settle_late)
    save_usage(services)
    looking.join()
    assert [month.reads for month in seen[0]] == [5]


def test_a_look_at_usage_does_not_wait_for_a_slow_commit(driver: Driver) -> None:
    count(driver, 5)
    with driver.engine.services.usage.consistent():
        assert [month.reads for month in asked(driver)] == [5]
