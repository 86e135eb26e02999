"""Names lead where the last commit says: renames, aliases and their swaps, also while requests are under way."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.driver import Driver, opened, wait_until
from vdb.config import Limits
from vdb.errors import (
    AlreadyExists,
    CollectionNotFound,
    Conflict,
    InvalidCursor,
    LimitReached,
    NotFound,
    SequenceTimeout,
    StorageFailure,
    VdbError,
)
from vdb.protocol.requests import (
    Count,
    CreateCollection,
    DeletePoints,
    Empty,
    ListPage,
    Scroll,
    SetAliases,
    UpdateCollection,
)
from vdb.storage.check import check_directory
from vdb.storage.env import Environment
from vdb.storage.offline_backup import back_up
from vdb.storage.restore import restore


def rename(driver: Driver, name: str, to: str) -> Any:
    return driver.run("update_collection", None, (name,), UpdateCollection(name=to))


def point_aliases(driver: Driver, **targets: str) -> None:
    driver.run("set_aliases", None, (), SetAliases(set=targets))


def described(driver: Driver, name: str) -> Any:
    return driver.run("get_collection", None, (name,), Empty())


def aliases(driver: Driver) -> dict[str, str]:
    found = driver.run("list_aliases", None, (), ListPage()).aliases
    return {alias.name: alias.collection for alias in found}


def in_one_commit(driver: Driver, *acts: Callable[[], Any]) -> list[Any]:
    """What comes of several writes of the catalog that share one commit, in this order; errors are outcomes too."""
    queue = driver.engine.services.catalog.queue
    outcomes: list[Any] = [None] * len(acts)

    def run(i: int, act: Callable[[], Any]) -> None:
        try:
            outcomes[i] = act()
        except VdbError as exc:
            outcomes[i] = exc

    queue.hold()
    threads = [threading.Thread(target=run, args=(i, act)) for i, act in enumerate(acts)]
    for i, thread in enumerate(threads):
        thread.start()
        wait_until(lambda i=i: queue.n_waiting > i)  # type: ignore[misc]
    queue.resume()
    for thread in threads:
        thread.join()
    return outcomes


def test_a_rename_keeps_points_jobs_cursors_and_open_readings(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("notes")
        driver.upsert("acme", "notes", ["a", "b"], [[0, 0], [1, 1]], payloads=[{}, {"old": True}])
        page = driver.run("scroll", "acme", ("notes",), Scroll(limit=1))
        job = driver.run("delete_points", "acme", ("notes",), DeletePoints(filter={"field": "old", "eq": True}))
        assert driver.finish_job(job).collection == "notes"
        assert rename(driver, "notes", "texts").name == "texts"
        with pytest.raises(CollectionNotFound):
            driver.count("acme", "notes")
        assert driver.run("get_job", None, (job.id,), Empty()).collection == "texts"
        assert driver.found("acme", "texts", [0, 0]) == ["a"]
        assert driver.run("scroll", "acme", ("texts",), Scroll(limit=1, cursor=page.next_cursor)).points == []
        sequences = {name: values for name, _, _, values in driver.engine.metrics()}["vdb_sequence"]
        assert [labels for labels, _ in sequences] == [{"collection": "texts"}]
    with opened(tmp_path / "data") as driver:
        assert driver.ids("acme", "texts") == ["a"]
        assert driver.create("notes").id == 2
    assert check_directory(tmp_path / "data") == []


def test_a_shard_that_opens_during_a_rename_is_measured_under_the_new_name(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("notes")
        document = driver.engine.services.catalog.collection("notes")
        assert document is not None
        rename(driver, "notes", "texts")
        driver.engine._shards.close()
        with driver.engine._shards.use(document):  # the document of before the rename
            sequences = {name: values for name, _, _, values in driver.engine.metrics()}["vdb_sequence"]
        assert [labels for labels, _ in sequences] == [{"collection": "texts"}]


def test_a_write_that_was_queued_under_the_old_name_is_made(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("notes")
        driver.create_tenant("acme")
        document = driver.engine.services.catalog.collection("notes")
        assert document is not None
        with driver.engine._shards.use(document) as shard:
            shard.queue.hold()
            future = driver.queue_upsert("acme", "notes", ["a"], [[0, 0]])
            rename(driver, "notes", "texts")
            shard.queue.resume()
        assert future.result(10).sequence == 1
        assert driver.ids("acme", "texts") == ["a"]


def test_a_read_that_waits_keeps_the_collection_it_began_with(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("old")
        driver.create("new")
        driver.create_tenant("acme")
        point_aliases(driver, live="old")
        path = driver.engine.pin(("live",))
        with pytest.raises(SequenceTimeout):
            driver.run("count", "acme", path, Count(min_sequence=1))
        point_aliases(driver, live="new")
        rename(driver, "old", "older")
        driver.upsert("acme", "older", ["a"])
        assert driver.run("count", "acme", path, Count(min_sequence=1)).count == 1
        assert driver.engine.is_quick("search", driver.caller("acme"), path, Count()) is False
        driver.run("delete_collection", None, ("older",), Empty())
        with pytest.raises(CollectionNotFound):
            driver.run("count", "acme", path, Count(min_sequence=1))
        assert driver.engine.pin(("nothing",)) == ("nothing",)


def test_a_name_is_won_once_whoever_asks_in_one_commit(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        for name in ("a", "b"):
            driver.create(name)
        asks: dict[str, Callable[[], Any]] = {
            "rename a": lambda: rename(driver, "a", "x"),
            "rename b": lambda: rename(driver, "b", "x"),
            "alias": lambda: point_aliases(driver, x="b"),
            "create": lambda: driver.run("create_collection", None, (), CreateCollection(name="x", dimension=2)),
        }
        for first in asks:
            outcomes = in_one_commit(driver, asks[first], *(act for name, act in asks.items() if name != first))
            assert [type(outcome) for outcome in outcomes[1:]] == [AlreadyExists] * 3
            assert not isinstance(outcomes[0], Exception)
            assert described(driver, "x").dimension == 2
            if first == "alias":
                driver.run("set_aliases", None, (), SetAliases(remove=["x"]))
            elif first == "create":
                driver.run("delete_collection", None, ("x",), Empty())
            else:
                rename(driver, "x", first[-1])
    assert check_directory(tmp_path / "data") == []


def test_renames_in_one_commit_see_each_other(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        ids = {name: driver.create(name).id for name in ("a", "b")}
        outcomes = in_one_commit(
            driver,
            lambda: rename(driver, "a", "tmp"),
            lambda: rename(driver, "b", "a"),
            lambda: rename(driver, "tmp", "b"),
            lambda: rename(driver, "tmp", "c"),
        )
        assert [type(outcome) for outcome in outcomes[3:]] == [CollectionNotFound]
        assert {name: described(driver, name).id for name in ("a", "b")} == {"a": ids["b"], "b": ids["a"]}
        with pytest.raises(CollectionNotFound):
            described(driver, "tmp")
    with opened(tmp_path / "data") as driver:
        assert {name: described(driver, name).id for name in ("a", "b")} == {"a": ids["b"], "b": ids["a"]}
    assert check_directory(tmp_path / "data") == []


@pytest.mark.parametrize("deletes_first", [True, False])
def test_a_deletion_and_an_alias_in_one_commit_leave_no_alias(tmp_path: Path, deletes_first: bool) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("a")
        driver.create("b")
        point_aliases(driver, live="a", kept="b")
        acts = [
            lambda: driver.run("delete_collection", None, ("a",), Empty()),
            lambda: point_aliases(driver, live="a", other="a"),
        ]
        outcomes = in_one_commit(driver, *(acts if deletes_first else acts[::-1]))
        assert [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)] == (
            [CollectionNotFound] if deletes_first else []
        )
        assert aliases(driver) == {"kept": "b"}
        for name in ("live", "other", "a"):
            with pytest.raises(CollectionNotFound):
                described(driver, name)
    with opened(tmp_path / "data") as driver:
        assert aliases(driver) == {"kept": "b"}
    assert check_directory(tmp_path / "data") == []


def test_an_alias_cannot_be_deleted_as_a_collection(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("a")
        point_aliases(driver, live="a")
        with pytest.raises(Conflict):
            driver.run("delete_collection", None, ("live",), Empty())
        assert described(driver, "live").aliases == ["live"]


def test_readers_see_all_of_a_swap_or_nothing_of_it(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        for name in ("a", "b"):
            driver.create(name)
            driver.upsert("acme", name, [name], [[0, 0]])
        point_aliases(driver, live="a", spare="b")
        is_over = threading.Event()
        seen: set[tuple[str, ...]] = set()
        problems: list[BaseException] = []

        def read() -> None:
            try:
                while not is_over.is_set():
                    names = driver.engine.services.catalog.names
                    found = tuple(document.name for alias in ("live", "spare") if (document := names.find(alias)))
                    seen.add(found)
                    assert driver.found("acme", "live", [0, 0]) in (["a"], ["b"])
            except BaseException as exc:
                problems.append(exc)

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for i in range(60):
            live, spare = ("b", "a") if i % 2 == 0 else ("a", "b")
            point_aliases(driver, live=live, spare=spare)
            assert driver.found("acme", "live", [0, 0]) == [live]
        is_over.set()
        for thread in threads:
            thread.join()
        assert problems == []
        assert seen == {("a", "b"), ("b", "a")}


def test_races_of_renames_with_creation_and_deletion_leave_a_sound_directory(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        names = ("a", "b", "c")
        requests: list[tuple[str, Callable[[str, str], tuple[tuple[str, ...], Any]]]] = [
            ("create_collection", lambda x, y: ((), CreateCollection(name=x, dimension=2))),
            ("update_collection", lambda x, y: ((x,), UpdateCollection(name=y))),
            ("delete_collection", lambda x, y: ((x,), Empty())),
            ("set_aliases", lambda x, y: ((), SetAliases(set={x: y}))),
            ("set_aliases", lambda x, y: ((), SetAliases(remove=[x]))),
            ("list_collections", lambda x, y: ((), ListPage())),
        ]
        faults: list[BaseException] = []

        def work(w: int) -> None:
            for i in range(120):
                operation, make = requests[(i * 7 + w * 5) % len(requests)]
                path, request = make(names[(i + w) % 3], names[(i // 3 + 2 * w) % 3])
                try:
                    driver.run(operation, None, path, request)
                except BaseException as exc:
                    if not isinstance(exc, NotFound | Conflict) or operation == "list_collections":
                        faults.append(exc)

        threads = [threading.Thread(target=work, args=(w,)) for w in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert faults == []
        driver.engine.services.background.submit(lambda: None).result(10)
        held = driver.engine.services.catalog.names
        shown = {document.name: document.id for document in held.collections()}, dict(held.aliases)
    assert check_directory(tmp_path / "data") == []
    with opened(tmp_path / "data") as driver:
        held = driver.engine.services.catalog.names
        assert ({document.name: document.id for document in held.collections()}, dict(held.aliases)) == shown


def test_a_cursor_does_not_survive_a_swap(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        for name in ("a", "b"):
            driver.create(name)
            driver.upsert("acme", name, ["1", "2"])
        point_aliases(driver, live="a")
        page = driver.run("scroll", "acme", ("live",), Scroll(limit=1))
        assert driver.run("scroll", "acme", ("a",), Scroll(limit=1, cursor=page.next_cursor)).points[0].id == "2"
        point_aliases(driver, live="b")
        with pytest.raises(InvalidCursor):
            driver.run("scroll", "acme", ("live",), Scroll(limit=1, cursor=page.next_cursor))


def test_the_number_of_aliases_is_capped_and_pages_are_complete(tmp_path: Path) -> None:
    with opened(tmp_path / "data", limits=Limits(max_aliases=5)) as driver:
        driver.create("a")
        point_aliases(driver, **{f"n{i}": "a" for i in range(5)})
        point_aliases(driver, n0="a")
        with pytest.raises(LimitReached):
            point_aliases(driver, more="a")
        driver.run("set_aliases", None, (), SetAliases(set={"more": "a"}, remove=["n0"]))
        first = driver.run("list_aliases", None, (), ListPage(limit=2))
        rest = driver.run("list_aliases", None, (), ListPage(limit=3, cursor=first.next_cursor))
        assert [alias.name for alias in first.aliases + rest.aliases] == ["more", "n1", "n2", "n3", "n4"]
        assert rest.next_cursor is None
        with pytest.raises(InvalidCursor):
            driver.run("list_aliases", None, (), ListPage(cursor="No Name"))


def test_names_after_a_failed_commit_are_those_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("a")
        point_aliases(driver, live="a")
        with monkeypatch.context() as patched:
            patched.setattr(Environment, "write", _failing)
            with pytest.raises(StorageFailure):
                rename(driver, "a", "b")
        assert described(driver, "live").name == "a"
        rename(driver, "live", "b")
        assert described(driver, "live").name == "b"


def _failing(*_: object) -> Any:
    raise StorageFailure("the disk does not answer")


def test_a_backup_holds_names_and_aliases(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("a")
        rename(driver, "a", "b")
        point_aliases(driver, live="b")
    back_up(tmp_path / "data", str(tmp_path / "backups"), "kept")
    manifest = restore(tmp_path / "backups" / "kept", tmp_path / "restored")
    assert [held.name for held in manifest.collections] == ["b"]
    with opened(tmp_path / "restored") as driver:
        assert described(driver, "live").name == "b"
