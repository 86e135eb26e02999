"""Jobs: delete by filter, delete a tenant; they go on after a restart and leave nothing behind."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vdb.engine.jobs as jobs
import vdb.engine.maintenance as maintenance
from tests.engine.driver import Driver, opened, wait_until
from vdb.engine.shards import Shards
from vdb.errors import JobNotFound, TenantNotFound, Unauthenticated, UnknownGrantee, VdbError
from vdb.protocol.columns import UpsertHead
from vdb.protocol.requests import DeletePoints, Empty, ListPage, Share
from vdb.storage.check import check_directory
from vdb.types import Caller, Role


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with opened(tmp_path / "data") as made:
        made.create("notes")
        yield made


def even(driver: Driver, tenant: str = "acme") -> Any:
    """Start the deletion of the even points."""
    return driver.run("delete_points", tenant, ("notes",), DeletePoints(filter={"field": "even", "eq": True}))


def fill(driver: Driver, n: int, tenant: str = "acme", **columns: Any) -> None:
    payloads = [{"even": i % 2 == 0} for i in range(n)]
    driver.upsert(tenant, "notes", [f"{i}" for i in range(n)], [[i, i] for i in range(n)], payloads=payloads, **columns)


def test_a_delete_by_filter_removes_what_matches_of_the_tenants_own(driver: Driver) -> None:
    fill(driver, 2500)
    fill(driver, 10, "globex")
    job = driver.finish_job(even(driver))
    assert (job.state, job.n_done, job.collection, job.tenant) == ("done", 1250, "notes", "acme")
    assert driver.count("acme", "notes") == 1250 and driver.count("globex", "notes") == 10
    assert driver.found("acme", "notes", [0, 0], limit=2) == ["1", "3"]


def test_points_written_after_the_job_was_made_stay(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(driver, 10)
    gate = threading.Event()
    step = jobs._STEPS[jobs.DELETE_BY_FILTER]
    monkeypatch.setitem(jobs._STEPS, jobs.DELETE_BY_FILTER, lambda *given: gate.wait() and step(*given))
    job = even(driver)
    driver.upsert("acme", "notes", ["new"], payloads=[{"even": True}])
    gate.set()
    assert driver.finish_job(job).n_done == 5
    assert driver.ids("acme", "notes") == ["1", "3", "5", "7", "9", "new"]


def interrupted(path: Path, kind: str, start: Any) -> int:
    """Run one step of a job, then close the engine; the job's number of points so far."""
    stepped, original = threading.Event(), jobs._STEPS[kind]
    n_steps = [0]
    with pytest.MonkeyPatch.context() as patched, opened(path) as driver:

        def step(services: Any, job: Any) -> Any:
            if n_steps[0] == 2:
                stepped.set()
                driver.engine._jobs._is_stopping.wait()
                return job
            n_steps[0] += 1
            return original(services, job)

        patched.setitem(jobs._STEPS, kind, step)
        job = start(driver)
        assert stepped.wait(10)
        return int(driver.run("get_job", None, (job.id,), Empty()).n_done)


def test_a_delete_by_filter_goes_on_after_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("notes")
        fill(driver, 3500)
    n_before = interrupted(tmp_path / "data", jobs.DELETE_BY_FILTER, even)
    assert 0 < n_before < 1750
    assert check_directory(tmp_path / "data") == []
    with opened(tmp_path / "data") as driver:
        job = driver.run("list_jobs", None, (), ListPage()).jobs[0]
        assert driver.finish_job(job).n_done == 1750 and driver.count("acme", "notes") == 1750
    assert check_directory(tmp_path / "data") == []


def test_the_deletion_of_a_tenant_goes_on_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with opened(path) as driver:
        for name in ("notes", "other"):
            driver.create(name)
        fill(driver, 2200, shared_with=[["*"]] * 2200)
        driver.upsert("acme", "other", ["a"], [[0, 0]])
        driver.upsert("globex", "notes", ["g"], [[1, 1]])
        driver.share("globex", "notes", ["g"], ["acme"])
    interrupted(path, jobs.DELETE_TENANT, lambda driver: driver.run("delete_tenant", None, ("acme",), Empty()))
    assert check_directory(path) == []
    with opened(path) as driver:
        job = driver.finish_job(driver.run("list_jobs", None, (), ListPage()).jobs[0])
        assert (job.state, job.n_done) == ("done", 2201)
        with pytest.raises(TenantNotFound):
            driver.tenant("acme")
        assert driver.found("globex", "notes", [0, 0]) == ["g"]
        assert driver.get("globex", "notes", ["g"])[0].shared_with == []
        assert driver.create_tenant("acme").id == 3, "ids are never given out twice"
        assert driver.ids("acme", "notes", scope="visible") == []
    assert check_directory(path) == []


def test_a_deleted_tenants_keys_stop_before_the_answer(driver: Driver) -> None:
    key = str(driver.create_key(Role.WRITE, "acme").key)
    assert driver.engine.authenticate(key, None).tenant == "acme"
    job = driver.run("delete_tenant", None, ("acme",), Empty())
    with pytest.raises(Unauthenticated):
        driver.engine.authenticate(key, None)
    driver.finish_job(job)
    with pytest.raises(TenantNotFound):
        driver.run("delete_tenant", None, ("acme",), Empty())


def write_late(driver: Driver, acme: Caller, globex: Caller, errors: list[VdbError]) -> None:
    """Go on writing as a tenant, and granting to it, while it is deleted."""
    for i in range(10):
        try:
            head = UpsertHead(ids=[f"late-{i}"], has_vector=[False])
            driver.engine.run("upsert", acme, ("notes",), head).result(10)
            share = Share(action="grant", ids=["g"], to=["acme"])
            driver.engine.run("share", globex, ("notes",), share).result(10)
        except VdbError as exc:
            errors.append(exc)


def test_writes_and_grants_on_their_way_do_not_outlive_a_deleted_tenant(driver: Driver, tmp_path: Path) -> None:
    driver.upsert("globex", "notes", ["g"], [[1, 1]])
    errors: list[VdbError] = []
    for _ in range(15):
        driver.upsert("acme", "notes", ["a"], [[0, 0]])
        callers = driver.caller("acme"), driver.caller("globex")
        writer = threading.Thread(target=write_late, args=(driver, *callers, errors))
        writer.start()
        job = driver.run("delete_tenant", None, ("acme",), Empty())
        writer.join()
        assert driver.finish_job(job).state == "done"
    assert errors and all(isinstance(error, TenantNotFound | UnknownGrantee) for error in errors)
    driver.engine.close()
    assert check_directory(tmp_path / "data") == []
    driver.engine = type(driver.engine).open(driver.engine.settings)


def gone(driver: Driver, tenant: str) -> None:
    """Delete a tenant, to the end."""
    driver.finish_job(driver.run("delete_tenant", None, (tenant,), Empty()))


def test_a_request_that_was_let_in_before_its_tenant_was_deleted_writes_nothing(driver: Driver, tmp_path: Path) -> None:
    driver.create_tenant("acme")
    caller = driver.caller("acme")
    gone(driver, "acme")
    with pytest.raises(TenantNotFound):
        driver.engine.run("upsert", caller, ("notes",), UpsertHead(ids=["a"], has_vector=[False])).result(10)
    assert driver.run("get_collection", None, ("notes",), Empty()).n_points == 0


@pytest.mark.parametrize("write", ["share", "upsert"])
def test_a_grantee_deleted_between_the_check_and_the_write_is_refused(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    driver.upsert("acme", "notes", ["a"], [[0, 0]])
    driver.create_tenant("globex")
    acquire = Shards.acquire

    def acquire_late(shards: Shards, collection: Any) -> Any:
        """By now the names of grantees are ids."""
        patched.undo()
        gone(driver, "globex")
        return acquire(shards, collection)

    with monkeypatch.context() as patched:
        patched.setattr(Shards, "acquire", acquire_late)
        with pytest.raises(UnknownGrantee):
            if write == "share":
                driver.share("acme", "notes", ["a"], ["globex"])
            else:
                driver.upsert("acme", "notes", ["b"], shared_with=[["globex"]])
    assert driver.ids("acme", "notes") == ["a"] and driver.get("acme", "notes", ["a"])[0].shared_with == []


def test_a_tenant_sees_its_own_deletes_and_no_other_jobs(driver: Driver) -> None:
    fill(driver, 2)
    job = even(driver)
    driver.create_tenant("globex")
    run = driver.engine.run
    assert run("get_job", driver.caller("acme", Role.READ), (job.id,), Empty()).kind == "delete_by_filter"
    for asked in (job.id, "job-9", "job-x", "job-01", "job-99999999999"):
        with pytest.raises(JobNotFound):
            run("get_job", driver.caller("globex", Role.READ), (asked,), Empty())
    assert run("list_jobs", driver.caller("globex", Role.READ), (), ListPage()).jobs == []


def test_a_job_that_fails_is_shown_as_failed_and_the_next_one_runs(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(driver, 4)
    with monkeypatch.context() as patched:
        patched.setitem(jobs._STEPS, jobs.DELETE_BY_FILTER, lambda *_: 1 / 0)
        failed = driver.finish_job(even(driver))
    assert failed.state == "failed" and failed.error.startswith("internal error")
    assert driver.finish_job(even(driver)).state == "done" and driver.count("acme", "notes") == 2


def test_jobs_are_forgotten_a_week_after_their_end(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(driver, 2)
    driver.finish_job(even(driver))
    maintenance.forget_finished(driver.engine.services)
    assert len(driver.run("list_jobs", None, (), ListPage()).jobs) == 1
    monkeypatch.setattr(maintenance, "KEPT_FINISHED_MS", -1000)
    maintenance.forget_finished(driver.engine.services)
    wait_until(lambda: driver.run("list_jobs", None, (), ListPage()).jobs == [])
