"""A read that waits for `min_sequence` keeps the collection it began with, over HTTP and in process."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

import vdb
from tests.api.stub_engine import StubEngine, ask
from vdb.engine.engine import Engine
from vdb.local import Database

ADMIN = "an-admin-key-for-tests"
COUNT = {"min_sequence": 1, "timeout_s": 20}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with vdb.open(tmp_path / "data", tenant="acme", compile_kernels=False, admin_key=ADMIN) as opened:
        opened.create_tenant("acme")
        opened.create_collection("old", 1)
        opened.create_collection("new", 1)
        opened.set_aliases(set={"live": "old"})
        yield opened


def over_http(database: Database) -> int:
    engine = cast(StubEngine, database._engine)
    headers = [("Vdb-Tenant", "acme")]
    answer = ask(engine, "POST", "/v1/collections/live/points/count", COUNT, key=ADMIN, headers=headers)
    return int(answer.json["count"])


def in_process(database: Database) -> int:
    return database.collection("live").count(min_sequence=1, timeout_s=20)


@pytest.mark.parametrize("count", [over_http, in_process])
def test_a_swap_and_a_rename_do_not_touch_a_read_that_waits(
    database: Database, count: Callable[[Database], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    has_begun = threading.Event()
    pin = Engine.pin

    def noted(self: Engine, path: tuple[str, ...]) -> tuple[str, ...]:
        pinned = pin(self, path)
        has_begun.set()
        return pinned

    monkeypatch.setattr(Engine, "pin", noted)
    counted: list[Any] = []
    reader = threading.Thread(target=lambda: counted.append(count(database)))
    reader.start()
    assert has_begun.wait(20)
    database.set_aliases(set={"live": "new"})
    database.rename_collection("old", "older")
    database.collection("older").upsert(["a", "b"])
    reader.join()
    assert counted == [2]
    assert database.collection("live").count() == 0
