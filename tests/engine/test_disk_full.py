"""A full disk and a collection at its largest size: writes answer DiskFull, deletes go on, nothing is lost."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.engine.driver import Driver, opened
from vdb.config import MIB
from vdb.engine.commit import DELETE_ALLOWANCE_BYTES
from vdb.errors import DiskFull
from vdb.protocol.requests import DeletePoints
from vdb.storage.check import check_directory
from vdb.storage.env import Environment

BIG = np.ones((50, 1024), np.float32)


def fill(driver: Driver, tenant: str = "acme") -> int:
    """Write batches of 200 KiB until the disk or the collection is full; how many fitted."""
    for i in range(1000):
        try:
            driver.upsert(tenant, "notes", [f"{i}-{j}" for j in range(len(BIG))], BIG)
        except DiskFull:
            return i
    raise AssertionError("it never filled up")


def ids_of(batch: int) -> list[str]:
    return [f"{batch}-{j}" for j in range(len(BIG))]


def test_below_the_reserve_only_deletes_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vdb.engine.commit.ROOM_TRUSTED_S", -1.0)
    with opened(tmp_path / "data") as driver:
        driver.create("notes")
        driver.upsert("acme", "notes", ["a", "b", "c"], [[0, 0], [1, 1], [2, 2]], payloads=[{"n": i} for i in range(3)])
        driver.share("acme", "notes", ["c"], ["*"])
        monkeypatch.setattr(Environment, "free_disk_bytes", lambda _: 10 * MIB)
        with pytest.raises(DiskFull):
            driver.upsert("acme", "notes", ["d"])
        with pytest.raises(DiskFull):
            driver.create("more")
        assert driver.delete("acme", "notes", ["a"]) == 1
        driver.share("acme", "notes", ["c"], ["*"], "revoke")
        job = driver.run("delete_points", "acme", ("notes",), DeletePoints(filter={"field": "n", "eq": 1}))
        assert driver.finish_job(job).n_done == 1 and driver.ids("acme", "notes") == ["c"]
        monkeypatch.setattr(Environment, "free_disk_bytes", lambda _: 1 << 40)
        driver.upsert("acme", "notes", ["d"])


def test_a_server_opens_reads_and_closes_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("notes")
        driver.upsert("acme", "notes", ["a"], [[0, 0]])
        key = driver.create_key("write", "acme").key  # type: ignore[arg-type]
    monkeypatch.setattr("vdb.engine.commit.ROOM_TRUSTED_S", -1.0)
    monkeypatch.setattr(Environment, "free_disk_bytes", lambda _: 0)
    for _ in range(2):
        with opened(tmp_path / "data") as driver:
            driver.engine.authenticate(key, None)
            assert driver.found("acme", "notes", [0, 0]) == ["a"]


@pytest.fixture
def capped(tmp_path: Path) -> Iterator[Driver]:
    with opened(tmp_path / "data", map_bytes=MIB, max_map_bytes=20 * MIB) as driver:
        driver.create("notes", dimension=1024)
        yield driver


def test_a_collection_at_its_largest_size_refuses_writes_and_serves_the_rest(capped: Driver, tmp_path: Path) -> None:
    n = fill(capped)
    assert 20 < n < 100 and capped.count("acme", "notes") == n * len(BIG)
    assert len(capped.search("acme", "notes", BIG[0], limit=3)) == 3
    capped.engine.close()
    assert check_directory(tmp_path / "data") == []
    capped.engine = type(capped.engine).open(capped.engine.settings)


def test_deletes_at_the_largest_size_make_room_again(capped: Driver) -> None:
    n = fill(capped)
    for batch in range(n // 2):
        assert capped.delete("acme", "notes", ids_of(batch)) == len(BIG)
    for batch in range(n // 4):
        capped.upsert("acme", "notes", ids_of(batch), BIG)
    assert capped.count("acme", "notes") == len(BIG) * (n - n // 2 + n // 4)


def test_what_is_kept_for_deletes_is_not_used_up_by_writes(capped: Driver) -> None:
    n = fill(capped)
    shard = capped.engine._shards.open_shards()[0]
    assert shard.env.grow(DELETE_ALLOWANCE_BYTES), "a delete that found no page left would do this"
    assert fill(capped, "globex") <= 2
    for batch in range(1, n):
        assert capped.delete("acme", "notes", ids_of(batch)) == len(BIG)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(path)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("mounting a file system needs root and Linux")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.mark.parametrize("reserve_bytes", [4 * MIB, 0])
def test_a_disk_that_is_really_full_loses_nothing(tiny_disk: Path, reserve_bytes: int) -> None:
    with opened(tiny_disk / "data", disk_reserve_bytes=reserve_bytes) as driver:
        driver.create("notes", dimension=1024)
        n = fill(driver)
        assert n > 20 and driver.count("acme", "notes") == n * len(BIG)
        for _ in range(3 if reserve_bytes else 0):
            for batch in range(n):
                assert driver.delete("acme", "notes", ids_of(batch)) == len(BIG)
            n = fill(driver)
            assert n > 10, "what was deleted is not there to be written again"
    assert check_directory(tiny_disk / "data") == []
