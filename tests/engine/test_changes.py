"""The log of changes says of every write what readings in RAM are told of it, in the same commit."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.driver import Driver, opened, wait_until
from tests.storage.changes import plain
from vdb.engine import shard as shards
from vdb.engine.edit import change_of
from vdb.engine.maintenance import purge_step
from vdb.engine.readings import PUBLIC, Change
from vdb.engine.shard import ShardGroup
from vdb.errors import Conflict, QuotaExceeded
from vdb.protocol.requests import DeletePoints, Empty
from vdb.storage.changes import count_changes, drop_changes, read_changes_from, stop_changes
from vdb.storage.check import check_directory
from vdb.storage.env import MapFull

ACME, GLOBEX, INITECH = 1, 2, 3


@pytest.fixture
def driver(tmp_path: Path) -> Any:
    with opened(tmp_path / "data") as driver:
        for name in ("acme", "globex", "initech"):
            driver.create_tenant(name)
        driver.create("c")
        driver.keep_changes("c")
        yield driver
    assert check_directory(tmp_path / "data") == []


def told(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> list[Change]:
    """What readings are told from now on."""
    changes: list[Change] = []
    publish = shards.Shard.publish

    def spying(shard: shards.Shard, published: list[Change], sequence: int) -> None:
        changes.extend(published)
        publish(shard, published, sequence)

    monkeypatch.setattr(shards.Shard, "publish", spying)
    return changes


def beginning(driver: Driver) -> int | None:
    """From which sequence on the log is complete."""
    return driver.write("c", lambda group: read_changes_from(group.txn))  # type: ignore[no-any-return]


def at_once(driver: Driver, *writes: Callable[[], "Future[Any]"]) -> list[Any]:
    """Outcomes of writes that share one commit."""
    document = driver.engine.services.usable(driver.caller(None), "c")
    with driver.engine.services.shards.use(document) as shard:
        n_commits = shard.queue.n_commits
        shard.queue.hold()
        futures = [write() for write in writes]
        shard.queue.resume()
        outcomes = [future.exception(10) or future.result() for future in futures]
        assert shard.queue.n_commits == n_commits + 1
    return outcomes


def test_every_kind_of_write_is_logged_as_it_is_told(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = told(driver, monkeypatch)
    driver.upsert("acme", "c", ["a", "b", "no-vector"], [[1, 0], [0, 1]], has_vector=[True, True, False])
    driver.upsert("acme", "c", ["a", "c"], [[2, 0], [3, 0]], shared_with=[["globex"], ["*", "initech"]])
    driver.upsert("globex", "c", ["g"], [[1, 1]], shared_with=[["acme"]])
    driver.share("acme", "c", ["b"], ["globex", "*"])
    driver.share("acme", "c", ["b", "c"], ["*"], "revoke")
    driver.upsert("acme", "c", ["b"])
    driver.delete("acme", "c", ["a"])
    job = driver.run("delete_points", "globex", ("c",), DeletePoints(filter={"field": "x", "exists": False}))
    assert driver.finish_job(job).state == "done"
    log = driver.logged("c")
    assert len(log) == 8
    assert [(sequence, change.owner, plain(change)) for sequence, change in log] == [
        (change.sequence, change.owner, plain(shards.logged(change))) for change in changes
    ]
    assert plain(log[1][1]) == ([0, 3], [0, 0], {PUBLIC: [1], -INITECH: [1], -GLOBEX: [0], ACME: [0, 1]}, {}, False)


def test_a_write_of_several_owners_has_an_entry_for_each(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    expires_at = datetime(2100, 1, 1, tzinfo=UTC)
    moment = int(expires_at.timestamp()) * 1000
    for name in ("acme", "globex", "initech"):
        driver.upsert(name, "c", ["x", "y"], [[1, 0], [0, 1]], expires_at=[expires_at] * 2)
    monkeypatch.setattr("vdb.engine.maintenance.epoch_ms", lambda: moment + 1)
    assert purge_step(driver.engine.services, driver.engine.services.usable(driver.caller(None), "c")) == 6
    purged = [(sequence, plain(change)) for sequence, change in driver.logged("c", 3)]
    assert [sequence for sequence, _ in purged] == [4, 4, 4]
    assert [change[3] for _, change in purged] == [{ACME: [0, 1]}, {GLOBEX: [2, 3]}, {INITECH: [4, 5]}]
    assert plain(driver.logged("c")[0][1])[1] == [moment, moment]


def test_grants_taken_back_from_a_deleted_tenant_are_logged(driver: Driver) -> None:
    driver.upsert("acme", "c", ["a"], [[1, 0]], shared_with=[["globex"]])
    driver.run("delete_tenant", None, ("globex",), Empty())
    wait_until(lambda: len(driver.logged("c")) == 2)
    assert plain(driver.logged("c")[1][1])[3] == {-GLOBEX: [0]}


def test_what_changes_no_vector_is_not_logged(driver: Driver) -> None:
    driver.upsert("acme", "c", ["a"])
    driver.share("acme", "c", ["a"], ["globex"])
    driver.delete("acme", "c", ["a", "never"])
    assert driver.logged("c") == []


def test_a_refused_write_leaves_nothing_in_the_log(driver: Driver) -> None:
    def refused(group: ShardGroup) -> None:
        group.tell(change_of(group.next_sequence(), ACME, 2, kills={ACME: [7]}))
        group.tell(change_of(group.sequence, ACME, 2, kills={ACME: [8]}))
        raise Conflict("no")

    def broken(group: ShardGroup) -> None:
        group.tell(change_of(group.next_sequence(), ACME, 2, kills={ACME: [9]}))
        raise ZeroDivisionError

    document = driver.engine.services.usable(driver.caller(None), "c")
    with driver.engine.services.shards.use(document) as shard:
        outcomes = at_once(
            driver,
            lambda: driver.queue_upsert("acme", "c", ["a"], [[1, 0]]),
            lambda: shard.queue.submit(refused),
            lambda: shard.queue.submit(broken),
            lambda: driver.queue_upsert("acme", "c", ["b"], [[1, 0]]),
        )
    assert [getattr(outcome, "sequence", type(outcome).__name__) for outcome in outcomes] == [
        1, "Conflict", "InternalError", 2,
    ]  # fmt: skip
    assert [(sequence, plain(change)[0]) for sequence, change in driver.logged("c")] == [(1, [0]), (2, [1])]


def test_a_refused_beginning_of_the_log_is_no_beginning(tmp_path: Path) -> None:
    def refused(group: ShardGroup) -> None:
        group.keep_changes()
        raise Conflict("no")

    with opened(tmp_path / "data") as driver:
        driver.create("c")
        document = driver.engine.services.usable(driver.caller(None), "c")
        with driver.engine.services.shards.use(document) as shard:
            at_once(
                driver,
                lambda: shard.queue.submit(refused),
                lambda: driver.queue_upsert("acme", "c", ["a"], [[1, 0]]),
            )
        assert (driver.logged("c"), beginning(driver)) == ([], None)


def test_the_log_begins_after_the_writes_that_were_before_it_in_its_commit(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("c")
        document = driver.engine.services.usable(driver.caller(None), "c")
        with driver.engine.services.shards.use(document) as shard:
            at_once(
                driver,
                lambda: driver.queue_upsert("acme", "c", ["a"], [[1, 0]]),
                lambda: shard.queue.submit(lambda group: group.keep_changes()),
                lambda: driver.queue_upsert("acme", "c", ["b"], [[1, 0]]),
            )
        assert (beginning(driver), [sequence for sequence, _ in driver.logged("c")]) == (2, [2])
        driver.keep_changes("c")
        assert beginning(driver) == 2, "a log that is kept goes on"


def test_the_log_goes_on_after_a_restart_and_ends_when_it_is_stopped(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("c")
        driver.keep_changes("c")
        driver.upsert("acme", "c", ["a"], [[1, 0]])
    with opened(tmp_path / "data") as driver:
        driver.upsert("acme", "c", ["b"], [[1, 0]])
        assert [sequence for sequence, _ in driver.logged("c")] == [1, 2]
        driver.write("c", lambda group: stop_changes(group.txn))
        driver.upsert("acme", "c", ["c"], [[1, 0]])
        assert [sequence for sequence, _ in driver.logged("c")] == [1, 2]
        assert driver.write("c", lambda group: drop_changes(group.txn, group.sequence, 10)) == 2
        assert driver.write("c", lambda group: count_changes(group.txn)) == 0
    assert check_directory(tmp_path / "data") == []


def test_no_log_is_kept_unless_it_is_asked_for(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("c")
        driver.upsert("acme", "c", ["a"], [[1, 0]])
        assert (driver.logged("c"), beginning(driver)) == ([], None)


def test_a_commit_that_is_tried_again_in_a_larger_map_logs_once(driver: Driver) -> None:
    driver.upsert("acme", "c", ["a", "b", "c"], [[1, 0]] * 3)
    n_tries = 0

    def full_at_first(group: ShardGroup) -> None:
        nonlocal n_tries
        n_tries += 1
        group.tell(change_of(group.next_sequence(), ACME, 2, kills={ACME: [n_tries]}))
        if n_tries == 1:
            raise MapFull

    driver.write("c", full_at_first)
    assert [(sequence, plain(change)[3]) for sequence, change in driver.logged("c", 1)] == [(2, {ACME: [2]})]


def test_writers_in_threads_log_every_sequence_once(driver: Driver) -> None:
    driver.create_tenant("capped", points=1)
    driver.upsert("capped", "c", ["only"], [[1, 0]])

    def work(name: str) -> None:
        for i in range(20):
            driver.upsert(name, "c", [f"{i}"], [[i, 0]])
            with pytest.raises(QuotaExceeded):
                driver.upsert("capped", "c", [f"{name}{i}"], [[i, 0]])

    threads = [threading.Thread(target=work, args=(name,)) for name in ("acme", "globex", "initech")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = driver.logged("c")
    assert [sequence for sequence, _ in log] == list(range(1, 62))
    assert sorted(np.concatenate([change.pids for _, change in log]).tolist()) == list(range(61))
