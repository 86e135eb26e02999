"""Expired points are hidden at once everywhere, and purged in the background."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.engine.driver import Driver, opened, wait_until
from vdb.engine.maintenance import purge_step
from vdb.errors import PointNotFound, VersionConflict
from vdb.protocol.requests import PayloadChange, UpdatePayload
from vdb.storage.check import check_directory, examine

PAST = datetime(2020, 1, 1, tzinfo=UTC)
FUTURE = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with opened(tmp_path / "data") as made:
        made.create("notes")
        yield made


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(milliseconds=400)


def test_a_point_is_hidden_from_every_read_the_moment_it_expires(driver: Driver) -> None:
    driver.create_tenant("globex")
    driver.upsert("acme", "notes", ["stays"], [[5, 5]])
    driver.upsert("acme", "notes", ["goes"], [[0, 0]], expires_at=[soon()], shared_with=[["globex", "*"]])
    assert driver.found("acme", "notes", [0, 0]) == ["goes", "stays"] and driver.count("acme", "notes") == 2
    wait_until(lambda: driver.found("acme", "notes", [0, 0]) == ["stays"])
    assert (driver.count("acme", "notes"), driver.ids("acme", "notes")) == (1, ["stays"])
    assert driver.get("acme", "notes", ["goes"]) == [] and driver.found("globex", "notes", [0, 0]) == []
    assert driver.count("globex", "notes", scope="visible") == 0


def test_an_expired_point_is_gone_for_writes_too(driver: Driver) -> None:
    driver.upsert("acme", "notes", ["a"], [[0, 0]], expires_at=[PAST])
    with pytest.raises(PointNotFound):
        driver.share("acme", "notes", ["a"], ["*"])
    change = PayloadChange(id="a", payload=b"{}")  # type: ignore[arg-type]
    with pytest.raises(PointNotFound):
        driver.run("update_payload", "acme", ("notes",), UpdatePayload(points=[change]))
    with pytest.raises(VersionConflict):
        driver.upsert("acme", "notes", ["a"], if_version=[1])
    assert driver.delete("acme", "notes", ["a"]) == 0


def test_a_point_written_over_an_expired_one_is_new_and_not_shared(driver: Driver) -> None:
    driver.create_tenant("globex")
    driver.upsert("acme", "notes", ["a"], [[0, 0]], expires_at=[PAST], shared_with=[["globex"]])
    driver.upsert("acme", "notes", ["b"], [[1, 1]])
    driver.upsert("acme", "notes", ["a"], [[2, 2]], if_absent=[True])
    assert driver.ids("acme", "notes") == ["b", "a"] and driver.found("globex", "notes", [0, 0]) == []
    assert driver.get("acme", "notes", ["a"])[0].shared_with == []


def test_an_expiry_is_moved_by_an_upsert_and_removed_by_one_without(driver: Driver) -> None:
    driver.upsert("acme", "notes", ["a", "b"], [[0, 0], [1, 1]], expires_at=[soon(), soon()])
    driver.upsert("acme", "notes", ["a"], [[0, 0]], expires_at=[FUTURE])
    driver.upsert("acme", "notes", ["b"], [[1, 1]])
    time.sleep(0.5)
    assert driver.found("acme", "notes", [0, 0]) == ["a", "b"]
    assert [point.expires_at for point in driver.get("acme", "notes", ["a", "b"])] == [FUTURE, None]


def test_purging_removes_expired_points_of_all_owners_and_their_traces(driver: Driver, tmp_path: Path) -> None:
    for tenant in ("acme", "globex"):
        driver.upsert(tenant, "notes", ["x", "y"], [[0, 0], [1, 1]], expires_at=[PAST, FUTURE], shared_with=[["*"]] * 2)
    collection = driver.engine.services.catalog.collections()[0]
    assert [purge_step(driver.engine.services, collection) for _ in range(2)] == [2, 0]
    assert [driver.tenant(tenant).usage.points for tenant in ("acme", "globex")] == [1, 1]
    assert driver.found("acme", "notes", [0, 0]) == ["y", "y"]
    driver.engine.close()
    assert examine(tmp_path / "data").n_points == 2 and check_directory(tmp_path / "data") == []
    driver.engine = type(driver.engine).open(driver.engine.settings)


def test_purging_goes_on_in_the_background_in_bounded_steps(tmp_path: Path) -> None:
    with opened(tmp_path / "data", purge_interval_s=0.05) as driver:
        driver.create("notes")
        driver.upsert("acme", "notes", [f"p{i}" for i in range(2500)], expires_at=[PAST] * 2500)
        driver.upsert("acme", "notes", ["stays"])
        wait_until(lambda: driver.engine._maintenance.n_purged == 2500)
        assert driver.tenant("acme").usage.points == 1
