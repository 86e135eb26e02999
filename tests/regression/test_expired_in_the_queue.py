"""A point that expired while its replacement waited in the queue kept its grants, and came back to its recipients."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

from tests.engine.driver import WAIT_S, opened


def test_a_point_that_expired_in_the_queue_comes_back_without_its_grants(tmp_path: Path) -> None:
    with opened(tmp_path / "data", n_writers=1) as driver:
        driver.create("notes")
        driver.create_tenant("globex")
        soon = datetime.now(UTC) + timedelta(milliseconds=300)
        driver.upsert("acme", "notes", ["a"], [[0, 0]], expires_at=[soon], shared_with=[["globex"]])
        assert driver.found("globex", "notes", [0, 0]) == ["a"]
        go_on = Event()
        [shard] = driver.engine.services.shards.open_shards()
        shard.queue.submit(lambda _: go_on.wait(WAIT_S))
        waiting = driver.queue_upsert("acme", "notes", ["a"], [[0, 0]])
        while datetime.now(UTC) <= soon + timedelta(milliseconds=5):
            go_on.wait(0.01)
        go_on.set()
        waiting.result(WAIT_S)
        assert driver.found("acme", "notes", [0, 0]) == ["a"]
        assert driver.found("globex", "notes", [0, 0]) == []
