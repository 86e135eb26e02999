"""Conditional writes: `if_version` and `if_absent`, all or nothing, and who wins a race."""

import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.engine.driver import Driver, opened
from vdb.errors import InvalidArgument, SequenceTimeout, VersionConflict
from vdb.protocol.requests import Count, PayloadChange, UpdatePayload


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with opened(tmp_path / "data") as made:
        made.create("notes")
        yield made


def test_a_write_happens_at_the_version_it_names_only(driver: Driver) -> None:
    first = driver.upsert("acme", "notes", ["a"])
    second = driver.upsert("acme", "notes", ["a"], if_version=[first])
    with pytest.raises(VersionConflict) as refused:
        driver.upsert("acme", "notes", ["b", "a"], if_version=[None, first])
    assert refused.value.problems[0].pointer == "/if_version/1"
    assert driver.ids("acme", "notes") == ["a"] and driver.get("acme", "notes", ["a"])[0].version == second


def test_a_write_if_absent_happens_once(driver: Driver) -> None:
    driver.upsert("acme", "notes", ["a"], if_absent=[True])
    with pytest.raises(VersionConflict):
        driver.upsert("acme", "notes", ["a"], if_absent=[True])
    driver.delete("acme", "notes", ["a"])
    driver.upsert("acme", "notes", ["a"], if_absent=[True])


def test_the_two_conditions_exclude_each_other(driver: Driver) -> None:
    with pytest.raises(InvalidArgument):
        driver.upsert("acme", "notes", ["a"], if_absent=[True], if_version=[1])


def test_a_delete_and_a_payload_take_a_version_too(driver: Driver) -> None:
    version = driver.upsert("acme", "notes", ["a"])
    for wrong in (version + 1, 0):
        with pytest.raises(VersionConflict):
            driver.delete("acme", "notes", ["a"], if_version=wrong)
        change = PayloadChange(id="a", payload=msgspec.Raw(b'{"n":1}'), if_version=wrong)
        with pytest.raises(VersionConflict):
            driver.run("update_payload", "acme", ("notes",), UpdatePayload(points=[change]))
    change = PayloadChange(id="a", payload=msgspec.Raw(b'{"n":1}'), if_version=version)
    newer = driver.run("update_payload", "acme", ("notes",), UpdatePayload(points=[change])).sequence
    assert driver.delete("acme", "notes", ["a"], if_version=newer) == 1


def test_a_grant_changes_no_version(driver: Driver) -> None:
    version = driver.upsert("acme", "notes", ["a"])
    driver.create_tenant("globex")
    driver.share("acme", "notes", ["a"], ["globex"])
    assert driver.get("acme", "notes", ["a"])[0].version == version
    driver.upsert("acme", "notes", ["a"], if_version=[version])


def test_of_racing_writers_one_wins_each_version(driver: Driver) -> None:
    driver.upsert("acme", "notes", ["counter"], payloads=[{"n": 0}])
    n_won: list[int] = []

    def add() -> None:
        for _ in range(20):
            point = driver.get("acme", "notes", ["counter"])[0]
            n = msgspec.json.decode(point.payload)["n"]
            try:
                driver.upsert("acme", "notes", ["counter"], payloads=[{"n": n + 1}], if_version=[point.version])
                n_won.append(1)
            except VersionConflict:
                continue

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert msgspec.json.decode(driver.get("acme", "notes", ["counter"])[0].payload) == {"n": len(n_won)}


def test_a_read_ahead_of_the_collection_is_told_to_wait(driver: Driver) -> None:
    sequence = driver.upsert("acme", "notes", ["a"])
    assert driver.count("acme", "notes", min_sequence=sequence) == 1
    with pytest.raises(SequenceTimeout):
        driver.run("count", "acme", ("notes",), Count(min_sequence=sequence + 1))
