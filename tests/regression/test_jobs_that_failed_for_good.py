"""Jobs ended as failed for reasons that pass, and left a tenant half deleted for good; or one held up all others."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.driver import opened
from vdb.config import Limits
from vdb.engine import jobs
from vdb.engine.shards import Shards
from vdb.errors import CollectionNotFound, QueueFull, StorageFailure
from vdb.protocol.requests import DeletePoints, Empty

EVERYTHING = DeletePoints(filter={"field": "absent", "exists": False})


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

    def gone(self: Shards, collection: Any, counts_as_use: bool = True) -> Any:
        if collection.name == "aside":
            raise CollectionNotFound("no such collection")
        return acquire(self, collection, counts_as_use)

    with opened(tmp_path / "data") as driver:
        driver.create("aside")
        driver.create("notes")
        driver.upsert("acme", "notes", ["a"], [[0, 0]])
        monkeypatch.setattr(Shards, "acquire", gone)
        assert driver.finish_job(driver.run("delete_tenant", None, ("acme",), Empty())).state == "done"
        driver.create_tenant("acme")


def test_a_long_job_does_not_hold_up_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    step = jobs._STEPS[jobs.DELETE_BY_FILTER]

    def note(services: Any, job: Any) -> Any:
        order.append(services.tenant_name(job.tenant_id))
        return step(services, job)

    monkeypatch.setattr(jobs, "STEP_POINTS", 1)
    monkeypatch.setitem(jobs._STEPS, jobs.DELETE_BY_FILTER, note)
    monkeypatch.setattr(jobs.JobRunner, "wake", lambda _: None)
    with opened(tmp_path / "data") as driver:
        driver.create("notes")
        ids = [f"p{i}" for i in range(10)]
        driver.upsert("acme", "notes", ids, np.zeros((10, 2)))
        driver.upsert("globex", "notes", ["a"], [[0, 0]])
        made = [driver.run("delete_points", tenant, ("notes",), EVERYTHING) for tenant in ("acme", "globex")]
        monkeypatch.undo()
        monkeypatch.setattr(jobs, "STEP_POINTS", 1)
        monkeypatch.setitem(jobs._STEPS, jobs.DELETE_BY_FILTER, note)
        driver.engine._jobs.wake()
        assert [driver.finish_job(job).state for job in made] == ["done", "done"]
        assert order.index("globex") == 1
        assert driver.ids("acme", "notes") == driver.ids("globex", "notes") == []


def test_a_tenant_cannot_fill_the_list_of_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.JobRunner, "wake", lambda _: None)
    with opened(tmp_path / "data", limits=replace(Limits(), max_waiting_jobs=2)) as driver:
        driver.create("notes")
        driver.upsert("acme", "notes", ["a"], [[0, 0]])
        driver.upsert("globex", "notes", ["a"], [[0, 0]])
        for _ in range(2):
            driver.run("delete_points", "acme", ("notes",), EVERYTHING)
        with pytest.raises(QueueFull):
            driver.run("delete_points", "acme", ("notes",), EVERYTHING)
        driver.run("delete_points", "globex", ("notes",), EVERYTHING)
