"""Open environments are bounded and closed when idle only; collections come and go safely, crash or not."""

import threading
from pathlib import Path

import msgspec
import pytest

from tests.engine.driver import Driver, opened, small
from tests.storage.damage import changing
from vdb.config import MIB, Limits
from vdb.engine.engine import Engine
from vdb.errors import (
    AlreadyExists,
    CollectionNotFound,
    CorruptData,
    DirectoryLocked,
    FormatTooNew,
    LimitReached,
    StorageFailure,
)
from vdb.protocol.requests import Empty, ListPage, UpdateCollection
from vdb.storage.catalog import CollectionDocument
from vdb.storage.check import check_directory
from vdb.storage.codec import FORMAT_VERSION, decode_document, encode_document, encode_u64
from vdb.storage.create import create_environment
from vdb.storage.keyspace import META_FORMAT, Space, name_key, number_key
from vdb.types import Sharing


def names(driver: Driver) -> list[str]:
    return [found.name for found in driver.run("list_collections", None, (), ListPage()).collections]


def delete(driver: Driver, name: str) -> None:
    """Delete a collection and wait until its files are gone."""
    driver.run("delete_collection", None, (name,), Empty())
    driver.engine.services.background.submit(lambda: None).result(10)


def set_state(path: Path, collection_id: int, state: str, drops_name: bool = False) -> None:
    """Leave a collection's document as a crash would."""
    with changing(path / "catalog") as txn:
        key = number_key(Space.COLLECTION, collection_id)
        document = msgspec.structs.replace(decode_document(txn.get(key), CollectionDocument), state=state)
        txn.put(key, encode_document(document))
        if drops_name:
            txn.delete(name_key(Space.COLLECTION_NAME, document.name))


def test_many_collections_in_threads_share_two_open_environments(tmp_path: Path) -> None:
    with opened(tmp_path / "data", max_open_environments=2) as driver:
        for i in range(6):
            driver.create(f"c{i}")

        def work(w: int) -> None:
            for round_number in range(12):
                name = f"c{(w + round_number) % 6}"
                driver.upsert("acme", name, [f"{w}-{round_number}"], [[w, round_number]])
                assert f"{w}-{round_number}" in driver.found("acme", name, [w, round_number], limit=1000)

        errors: list[BaseException] = []

        def run(w: int) -> None:
            try:
                work(w)
            except BaseException as exc:
                errors.append(exc)

        threads = [threading.Thread(target=run, args=(w,)) for w in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert sum(driver.count("acme", f"c{i}") for i in range(6)) == 60
        assert len(driver.engine._shards.open_shards()) <= 2
    assert check_directory(tmp_path / "data") == []


def test_an_environment_in_use_is_not_closed(tmp_path: Path) -> None:
    with opened(tmp_path / "data", max_open_environments=1) as driver:
        collections = [driver.create(f"c{i}") for i in range(3)]
        documents = [driver.engine.services.catalog.collection(found.name) for found in collections]
        with driver.engine._shards.use(documents[0]) as shard:  # type: ignore[arg-type]
            for found in collections:
                driver.count("acme", found.name) if driver.upsert("acme", found.name, ["a"]) else None
            with shard.env.read() as txn:
                assert txn.stat()["entries"] > 0


def test_a_deleted_collection_leaves_no_folder_and_its_name_is_free(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("notes")
        driver.upsert("acme", "notes", ["a"])
        delete(driver, "notes")
        with pytest.raises(CollectionNotFound):
            driver.upsert("acme", "notes", ["b"])
        assert list((tmp_path / "data" / "collections").iterdir()) == []
        assert driver.create("notes").id == 2, "ids are never given out twice"
        assert driver.ids("acme", "notes") == []
    assert check_directory(tmp_path / "data") == []


def test_deleting_waits_for_searches_inside(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("notes")
        driver.upsert("acme", "notes", ["a"], [[0, 0]])
        document = driver.engine.services.catalog.collection("notes")
        assert document is not None
        with driver.engine._shards.use(document) as shard:
            driver.run("delete_collection", None, ("notes",), Empty())
            with shard.snapshot() as snapshot:
                assert snapshot.sequence == 1
        driver.engine.services.background.submit(lambda: None).result(10)
        assert not (tmp_path / "data" / "collections" / "00000001").exists()


def test_updates_of_one_commit_see_each_other(tmp_path: Path) -> None:
    with opened(tmp_path / "data", n_writers=1) as driver:
        driver.create("notes")
        driver.create_tenant("acme")
        gate = threading.Event()
        driver.engine._writers.submit(gate.wait)
        changes = [UpdateCollection(tenants=["acme"]), UpdateCollection(sharing=Sharing.TENANTS)]
        threads = [
            threading.Thread(target=driver.run, args=("update_collection", None, ("notes",), change))
            for change in changes
        ]
        for thread in threads:
            thread.start()
        while driver.engine.services.catalog.queue.n_waiting < 2:
            pass
        gate.set()
        for thread in threads:
            thread.join()
        found = driver.run("get_collection", None, ("notes",), Empty())
        assert (found.tenants, found.sharing) == (["acme"], "tenants")


def test_a_name_is_taken_once_and_the_number_of_collections_is_capped(tmp_path: Path) -> None:
    with opened(tmp_path / "data", limits=Limits(max_collections=2)) as driver:
        driver.create("a")
        with pytest.raises(AlreadyExists):
            driver.create("a")
        driver.create("b")
        with pytest.raises(LimitReached):
            driver.create("c")
        delete(driver, "a")
        driver.create("c")
        assert names(driver) == ["b", "c"]


@pytest.mark.parametrize("left", ["nothing", "a draft", "an environment"])
def test_a_start_sweeps_what_a_crash_left_half_made(tmp_path: Path, left: str) -> None:
    path = tmp_path / "data"
    with opened(path) as driver:
        driver.create("kept")
        driver.create("half")
        driver.upsert("acme", "kept", ["a"])
    set_state(path, 2, "creating")
    folder = path / "collections" / "00000002"
    if left != "an environment":
        folder.rename(path / "gone")
    if left == "a draft":
        (path / "gone").rename(folder.with_name("00000002.draft"))
    elif left == "nothing":
        (path / "gone").rename(tmp_path / "gone")
    assert check_directory(path) == []
    with opened(path) as driver:
        assert names(driver) == ["kept"] and driver.ids("acme", "kept") == ["a"]
        assert [entry.name for entry in (path / "collections").iterdir()] == ["00000001"]
        assert driver.create("half").id == 3
    assert check_directory(path) == []


def test_a_start_finishes_a_removal_and_leaves_a_collection_of_the_same_name_alone(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with opened(path) as driver:
        driver.create("notes")
    set_state(path, 1, "deleting", drops_name=True)
    create_environment(path / "collections" / "00000002", map_bytes=MIB, max_map_bytes=MIB, collection_id=2)
    with changing(path / "catalog") as txn:
        document = decode_document(txn.get(number_key(Space.COLLECTION, 1)), CollectionDocument)
        second = msgspec.structs.replace(document, id=2, state="active")
        txn.put(number_key(Space.COLLECTION, 2), encode_document(second))
        txn.put(name_key(Space.COLLECTION_NAME, "notes"), b"\2\0\0\0")
        txn.put(b"\x01next_collection", encode_u64(2))
    with opened(path) as driver:
        assert driver.run("get_collection", None, ("notes",), Empty()).id == 2
        assert not (path / "collections" / "00000001").exists()
    assert check_directory(path) == []


def test_an_environment_that_cannot_be_made_leaves_the_name_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StorageFailure("no folder can be made")

    with opened(tmp_path / "data") as driver:
        with monkeypatch.context() as patched:
            patched.setattr("vdb.engine.collections.create_environment", fail)
            with pytest.raises(StorageFailure):
                driver.create("notes")
        assert driver.create("notes").id == 2


def test_a_second_engine_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        with pytest.raises(DirectoryLocked):
            Engine.open(small(tmp_path / "data"))
        driver.create("notes")
    with opened(tmp_path / "data") as driver:
        assert names(driver) == ["notes"]


def test_a_newer_catalog_is_refused_and_the_directory_can_be_opened_once_it_is_right(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with opened(path):
        pass
    for version, error in ((FORMAT_VERSION + 1, FormatTooNew), (0, CorruptData)):
        with changing(path / "catalog") as txn:
            txn.put(META_FORMAT, encode_u64(version))
        with pytest.raises(error):
            Engine.open(small(path))
    with changing(path / "catalog") as txn:
        txn.put(META_FORMAT, encode_u64(FORMAT_VERSION))
    with opened(path):
        pass


def test_a_newer_or_foreign_collection_is_refused_and_the_others_are_served(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with opened(path) as driver:
        for name in ("newer", "foreign", "good"):
            driver.create(name)
    with changing(path / "collections" / "00000001") as txn:
        txn.put(META_FORMAT, encode_u64(FORMAT_VERSION + 1))
    with changing(path / "collections" / "00000002") as txn:
        txn.put(b"\x01collection", encode_u64(9))
    with opened(path) as driver:
        with pytest.raises(FormatTooNew):
            driver.upsert("acme", "newer", ["a"])
        with pytest.raises(CorruptData):
            driver.upsert("acme", "foreign", ["a"])
        driver.upsert("acme", "good", ["a"])
        assert driver.ids("acme", "good") == ["a"]


def test_a_look_at_what_a_tenant_owns_closed_the_collections_in_use(tmp_path: Path) -> None:
    with opened(tmp_path / "data", max_open_environments=3) as driver:
        for i in range(8):
            driver.create(f"c{i}")
            driver.upsert("acme", f"c{i}", ["a"], [[0, 0]])
        in_use = ["c2", "c5"]
        for name in in_use:
            driver.found("acme", name, [0, 0])
        for _ in range(2):
            assert driver.run("get_tenant", "acme", ("acme",), Empty()).usage.points == 8
            names_open = {shard.collection.name for shard in driver.engine._shards.open_shards()}
            assert names_open >= set(in_use) and len(names_open) <= 3
