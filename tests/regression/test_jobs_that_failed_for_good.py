"""Jobs ended as failed for reasons that pass; a tenant half deleted could then neither be used nor deleted."""

from pathlib import Path
from typing import Any

import pytest

from tests.engine.driver import opened
from vdb.engine import jobs
from vdb.engine.shards import Shards
from vdb.errors import CollectionNotFound, QueueFull, StorageFailure
from vdb.protocol.requests import Empty


@pytest.mark.parametrize("error", [QueueFull, StorageFailure])
def test_a_job_goes_on_after_a_moment_without_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    n_refusals = 2
    submit = Shards.submit

    def refuse_first(self: Shards, shard: Any, *ticket: Any, **options: Any) -> Any:
        nonlocal n_refusals
        if n_refusals:
            n_refusals -= 1
            self.release(shard)
            raise error("not now")
        return submit(self, shard, *ticket, **options)

    monkeypatch.setattr(jobs, "RETRY_S", 0.01)
    with opened(tmp_path / "data") as driver:
        driver.create("notes")
        driver.upsert("acme", "notes", ["a"], [[0, 0]])
        monkeypatch.setattr(Shards, "submit", refuse_first)
        assert driver.finish_job(driver.run("delete_tenant", None, ("acme",), Empty())).state == "done"
        driver.create_tenant("acme")


def test_a_collection_deleted_meanwhile_does_not_fail_the_deletion_of_a_tenant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire = Shards.acquire

    def gone(self: Shards, collection: Any) -> Any:
        if collection.name == "aside":
            raise CollectionNotFound("no such collection")
        return acquire(self, collection)

    with opened(tmp_path / "data") as driver:
        driver.create("aside")
        driver.create("notes")
        driver.upsert("acme", "notes", ["a"], [[0, 0]])
        monkeypatch.setattr(Shards, "acquire", gone)
        assert driver.finish_job(driver.run("delete_tenant", None, ("acme",), Empty())).state == "done"
        driver.create_tenant("acme")
