"""Readings that were evicted while searched, loaded twice at once, or loading while a publication failed."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.driver import opened
from vdb.engine.readings import Change, Reading, Readings
from vdb.index.flat import FlatSegment
from vdb.types import Metric

TENANT = 7
WAIT_S = 10.0


def change(sequence: int, pid: int) -> Change:
    """Tenant 7 puts one point."""
    return Change(
        sequence, TENANT, np.array([pid], np.uint32), np.ones((1, 2), np.float32), np.zeros(1, np.int64), {TENANT: None}
    )


def empty() -> Reading:
    return Reading(FlatSegment(2, Metric.L2), None)


def test_a_tenant_larger_than_the_memory_cap_is_answered(tmp_path: Path) -> None:
    with opened(tmp_path / "data", memory_bytes=1) as driver:
        driver.create("notes")
        driver.upsert("acme", "notes", ["a", "b"], [[0, 0], [1, 1]])
        assert driver.found("acme", "notes", [0, 0]) == ["a", "b"]


def test_a_tenant_and_the_public_points_need_not_fit_the_memory_cap_together(tmp_path: Path) -> None:
    with opened(tmp_path / "data", memory_bytes=1) as driver:
        driver.create("notes")
        driver.upsert("acme", "notes", ["a"], [[0, 0]])
        driver.upsert("globex", "notes", ["b"], [[1, 1]], shared_with=[["*"]])
        for _ in range(3):
            assert driver.found("acme", "notes", [0, 0]) == ["a", "b"]


def test_a_load_that_follows_an_eviction_does_not_lose_the_changes_of_another_load() -> None:
    readings = Readings(2, Metric.L2, 0)
    first_loads, go_on = threading.Event(), threading.Event()
    inside: list[threading.Event] = []

    def load_slowly(_: int) -> tuple[Reading, int]:
        mine = threading.Event()
        inside.append(mine)
        first_loads.set()
        assert go_on.wait(WAIT_S)
        return empty(), 0

    def load_at_once(_: int) -> tuple[Reading, int]:
        return empty(), 0

    slow = threading.Thread(target=readings.load, args=(TENANT, load_slowly))
    slow.start()
    assert first_loads.wait(WAIT_S)
    waiting = threading.Thread(target=readings.load, args=(TENANT, load_slowly))
    waiting.start()  # queues behind the first
    go_on.set()
    slow.join()
    readings.evict(TENANT)
    readings.load(TENANT, load_at_once)
    waiting.join()
    readings.publish([change(1, 1)], 1)
    reading = readings.get(TENANT)
    assert reading is not None and reading.n_rows == 1


def test_a_reading_that_loads_while_a_publication_fails_is_loaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = Readings(2, Metric.L2, 0)
    readings.load(8, lambda _: (empty(), 0))
    n_loads = 0

    def fail(*_: Any) -> None:
        raise MemoryError

    def load(_: int) -> tuple[Reading, int]:
        nonlocal n_loads
        n_loads += 1
        if n_loads == 1:
            other = change(1, 1)
            other.puts = {8: None}
            with monkeypatch.context() as patched:
                patched.setattr(FlatSegment, "put_many", fail)
                with pytest.raises(MemoryError):
                    readings.publish([other, change(2, 2)], 2)
            readings.start_over(2)
            return empty(), 0
        fresh = empty()
        fresh.own.put(2, TENANT, np.ones(2, np.float32), 2)
        return fresh, 2

    assert readings.load(TENANT, load).n_rows == 1
    assert n_loads == 2


def test_a_write_whose_publication_failed_is_answered_and_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError

    with opened(tmp_path / "data") as driver:
        driver.create("notes")
        driver.upsert("acme", "notes", ["a"], [[0, 0]])
        assert driver.found("acme", "notes", [0, 0]) == ["a"]
        with monkeypatch.context() as patched:
            patched.setattr(FlatSegment, "put_many", fail)
            driver.upsert("acme", "notes", ["b"], [[1, 1]])
        assert driver.found("acme", "notes", [0, 0]) == ["a", "b"]


def test_deletes_alone_give_the_memory_of_vectors_back(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("notes")
        ids = [f"p{i}" for i in range(400)]
        driver.upsert("acme", "notes", ids, np.zeros((400, 2)))
        driver.found("acme", "notes", [0, 0])
        before = driver.engine.services.memory.n_bytes
        driver.delete("acme", "notes", ids)
        assert driver.engine.services.memory.n_bytes < before / 2
