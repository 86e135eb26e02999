"""Statistics are right by part, cheap, and show a tenant nothing of the others."""

from pathlib import Path
from typing import Any

import pytest

from tests.engine.driver import Driver, opened
from vdb.errors import CollectionNotFound, TenantNotFound, TenantRequired
from vdb.protocol.requests import Empty
from vdb.types import Role


def stats(driver: Driver, tenant: str | None = None, role: Role = Role.ADMIN, collection: str = "notes") -> Any:
    caller = driver.caller(tenant, role)
    return driver.engine.run("collection_stats", caller, (collection,), Empty())


def test_the_parts_are_those_of_the_points(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("notes", dimension=2)
        driver.create_tenant("globex")
        driver.upsert("acme", "notes", ["a", "bb"], [[0, 0], [1, 1]], payloads=[{}, {"n": 1}])
        driver.upsert("acme", "notes", ["none"])
        driver.share("acme", "notes", ["a", "bb"], ["globex"])
        found = stats(driver)
        assert (found.points, found.vectors, found.n_owners, found.sequence) == (3, 2, 1, 3)
        stored = found.stored
        assert (stored.id_bytes, stored.vector_bytes, stored.index_bytes) == (7, 16, 3 * 9 + 7 + 2 * 13)
        assert stored.payload_bytes == stats(driver, "acme").stored.payload_bytes
        empty = stats(driver, "globex")
        assert (empty.points, empty.stored.id_bytes, empty.stored.payload_bytes) == (0, 0, 0)


def test_deleted_points_become_free_bytes(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("notes", dimension=2)
        ids = [str(i) for i in range(500)]
        driver.upsert("acme", "notes", ids, [[i, i] for i in range(500)], payloads=[{"text": "x" * 200}] * 500)
        before = stats(driver).stored
        driver.delete("acme", "notes", ids)
        after = stats(driver).stored
        assert (after.id_bytes, after.payload_bytes, after.vector_bytes, after.index_bytes) == (0, 0, 0, 0)
        assert after.live_bytes < before.live_bytes and after.free_bytes > before.free_bytes
        assert stats(driver).n_owners == 0


def test_memory_is_that_of_the_readings_in_it(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("notes", dimension=2)
        for tenant in ("acme", "globex"):
            driver.upsert(tenant, "notes", [str(i) for i in range(100)], [[i, i] for i in range(100)])
        assert (stats(driver).memory.vector_bytes, stats(driver).memory.n_tenants) == (0, 0)
        driver.search("acme", "notes", [0, 0])
        memory = stats(driver).memory
        assert memory.vector_bytes >= 800 and memory.n_tenants == 1
        assert memory.vector_bytes + memory.row_bytes == driver.engine.services.memory.n_bytes
        assert stats(driver, "acme").memory.vector_bytes >= 800
        assert (stats(driver, "globex").memory.vector_bytes, stats(driver, "globex").memory.row_bytes) == (0, 0)


def test_a_tenant_sees_its_own_part_only(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("notes")
        for tenant in ("acme", "globex"):
            driver.upsert(tenant, "notes", ["a"], [[0, 0]])
        before = stats(driver, "acme", Role.READ)
        driver.upsert("globex", "notes", ["b", "c"], [[1, 1], [2, 2]], payloads=[{"n": 1}] * 2)
        driver.share("globex", "notes", ["b"], ["acme"])
        after = stats(driver, "acme", Role.READ)
        assert (after.points, after.vectors, after.stored) == (before.points, before.vectors, before.stored)
        assert stats(driver, "acme", Role.SERVICE).stored == after.stored == stats(driver, "acme").stored
        with pytest.raises(TenantNotFound):
            stats(driver, "nobody")
        with pytest.raises(TenantRequired):
            stats(driver, None, Role.SERVICE)
        driver.create("closed", tenants=["globex"])
        with pytest.raises(CollectionNotFound):
            stats(driver, "acme", collection="closed")


def test_no_record_is_read_and_closed_collections_stay_the_next_to_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path / "data", max_open_environments=2) as driver:
        for name in ("notes", "busy"):
            driver.create(name)
            driver.upsert("acme", name, ["a"], [[0, 0]])
        with monkeypatch.context() as patched:
            patched.setattr("vdb.storage.points.decode_record", _refuse)
            assert (stats(driver).points, stats(driver, "acme").points) == (1, 1)
        driver.create("third")
        assert {shard.collection.name for shard in driver.engine._shards.open_shards()} == {"busy", "third"}


def _refuse(value: bytes) -> None:
    raise AssertionError("a record was read")


def test_the_last_commit_is_unknown_until_there_is_one(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("notes")
        assert stats(driver).last_commit_at is None
        driver.upsert("acme", "notes", ["a"])
        assert stats(driver).last_commit_at is not None
    with opened(tmp_path / "data") as driver:
        assert stats(driver).last_commit_at is None
