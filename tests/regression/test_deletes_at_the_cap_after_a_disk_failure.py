"""A commit at a collection's largest size that failed left a queue which never wrote again, and a search behind it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.engine.driver import opened
from vdb.config import MIB
from vdb.errors import StorageFailure
from vdb.storage.env import Environment, MapFull


def test_a_delete_that_fails_at_the_cap_is_followed_by_one_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, reopen = Environment.write, Environment.reopen
    attempts: list[str] = []

    @contextmanager
    def fails_at_the_cap(self: Environment) -> Iterator[Any]:
        if attempts.count("opened again"):
            with write(self) as txn:
                yield txn
            return
        attempts.append("tried")
        if len(attempts) == 1:
            raise MapFull
        with write(self) as txn:
            yield txn
        raise StorageFailure("the sync of the last page failed")

    def notes(self: Environment) -> None:
        attempts.append("opened again")
        reopen(self)

    with opened(tmp_path / "data", map_bytes=MIB, max_map_bytes=20 * MIB) as driver:
        driver.create("notes", dimension=2)
        driver.upsert("acme", "notes", ["a", "b"], [[0, 0], [1, 1]])
        assert driver.found("acme", "notes", [0, 0]) == ["a", "b"]
        with monkeypatch.context() as patched:
            patched.setattr(Environment, "write", fails_at_the_cap)
            patched.setattr(Environment, "reopen", notes)
            patched.setattr(Environment, "grow", lambda _, allowance_bytes=0: bool(allowance_bytes))
            with pytest.raises(StorageFailure):
                driver.delete("acme", "notes", ["a"])
        assert attempts == ["tried", "tried", "opened again"]
        monkeypatch.setattr("vdb.engine.shard.PUBLISH_WAIT_S", 0.5)
        assert driver.found("acme", "notes", [0, 0]) == ["b"], "it is in the store after all"
        assert driver.delete("acme", "notes", ["b"]) == 1
