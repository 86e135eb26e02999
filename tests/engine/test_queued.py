"""Upserts that are not awaited: answered before the commit, made with it, refused out loud only in log and metrics."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.engine.driver import Driver, opened, wait_until
from vdb.errors import InvalidArgument, TooLarge
from vdb.protocol.answers import Queued
from vdb.protocol.columns import UpsertHead
from vdb.protocol.requests import Upsert


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with opened(tmp_path / "data") as driver:
        driver.create("docs")
        yield driver


def queue(driver: Driver, ids: list[str], **point: Any) -> Any:
    body = {"points": [{"id": point_id, "vector": [1, 2], **point} for point_id in ids], "ack": "queued"}
    request = msgspec.json.decode(msgspec.json.encode(body), type=Upsert)
    return driver.run("upsert", "acme", ("docs",), request)


def test_it_is_answered_before_its_commit_and_made_with_it(driver: Driver) -> None:
    driver.upsert("acme", "docs", ["first"], [[0, 0]])
    shard = driver.engine._shards.open_shards()[0]
    shard.queue.hold()
    assert isinstance(queue(driver, ["a", "b"]), Queued)
    assert driver.ids("acme", "docs") == ["first"]
    later = driver.queue_upsert("acme", "docs", ["c"], [[0, 0]])
    shard.queue.resume()
    later.result(20)
    assert driver.ids("acme", "docs") == ["first", "a", "b", "c"]


def test_closing_the_server_loses_none(tmp_path: Path) -> None:
    with opened(tmp_path / "own") as driver:
        driver.create("docs")
        for i in range(50):
            queue(driver, [f"p{i}"])
    with opened(tmp_path / "own") as driver:
        assert driver.count("acme", "docs") == 50


def test_a_refusal_at_the_commit_is_counted_and_logged(driver: Driver, caplog: pytest.LogCaptureFixture) -> None:
    driver.create_tenant("acme", points=1)
    queue(driver, ["a"])
    queue(driver, ["b", "c"])
    wait_until(lambda: driver.engine.services.n_queued_refused == 1)
    assert driver.ids("acme", "docs") == ["a"]
    refusals = [record.fields for record in caplog.records if "queued write" in record.message]  # type: ignore[attr-defined]
    assert refusals == [{"collection": "docs", "code": "quota_exceeded"}]
    figures = {name: samples for name, _, _, samples in driver.engine.metrics()}
    assert figures["vdb_queued_writes_refused_total"] == [({}, 1)]


@pytest.mark.parametrize("condition", [{"if_version": 3}, {"if_absent": True}], ids=str)
def test_a_conditional_write_must_be_awaited(driver: Driver, condition: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        queue(driver, ["a"], **condition)
    assert [problem.pointer for problem in caught.value.problems] == ["/ack"]
    columns: dict[str, Any] = {name: [value] for name, value in condition.items()}
    head = UpsertHead(ids=["a"], has_vector=[False], ack="queued", **columns)
    with pytest.raises(InvalidArgument):
        driver.run("upsert", "acme", ("docs",), head)


def test_what_can_be_checked_before_is_refused_as_ever(driver: Driver) -> None:
    with pytest.raises(TooLarge):
        queue(driver, [f"p{i}" for i in range(10_001)])
    with pytest.raises(InvalidArgument):
        queue(driver, ["a"], shared_with=["nobody"])
    assert driver.engine.services.n_queued_refused == 0
