"""A write queue that stopped for good, or did not know what its failed commit had left behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.engine.driver import opened
from vdb.errors import StorageFailure, VdbError
from vdb.storage.env import Environment


def test_a_queue_goes_on_after_the_file_system_failed_to_tell_its_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Environment) -> int:
        raise OSError("stale handle")

    with opened(tmp_path / "data") as driver:
        driver.create("notes")
        monkeypatch.setattr("vdb.engine.commit.ROOM_TRUSTED_S", -1.0)
        with monkeypatch.context() as patched:
            patched.setattr(Environment, "free_disk_bytes", fail)
            with pytest.raises(VdbError):
                driver.upsert("acme", "notes", ["a"], [[0, 0]])
        driver.upsert("acme", "notes", ["b"], [[1, 1]])
        assert driver.ids("acme", "notes") == ["b"]


def test_a_commit_that_failed_but_is_in_the_store_is_found_by_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Environment.write

    @contextmanager
    def fails_late(self: Environment) -> Iterator[Any]:
        with write(self) as txn:
            yield txn
        raise StorageFailure("the sync of the last page failed")

    with opened(tmp_path / "data") as driver:
        driver.create("notes")
        driver.upsert("acme", "notes", ["a"], [[0, 0]])
        assert driver.found("acme", "notes", [0, 0]) == ["a"]
        with monkeypatch.context() as patched:
            patched.setattr(Environment, "write", fails_late)
            with pytest.raises(StorageFailure):
                driver.upsert("acme", "notes", ["b"], [[1, 1]])
        monkeypatch.setattr("vdb.engine.shard.PUBLISH_WAIT_S", 0.5)
        assert driver.found("acme", "notes", [0, 0]) == ["a", "b"]
