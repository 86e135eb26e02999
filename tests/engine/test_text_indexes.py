"""Text indexes in the engine: made with the collection or later, kept in step by every write, dropped and changed."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

import vdb.engine.jobs as jobs
from tests.engine.driver import Driver, opened, wait_until
from tests.engine.text_driver import answers, document, names, ranked, state, text_keys, update, write
from tests.storage.damage import changing
from vdb.engine.maintenance import purge_step
from vdb.engine.text_indexes import reading_text
from vdb.errors import InvalidArgument, QuotaExceeded, TextIndexBuilding, TooLarge, VersionConflict
from vdb.protocol.requests import (
    DeletePoints,
    Empty,
    PayloadChange,
    TextIndex,
    UpdatePayload,
)
from vdb.rag import analysis
from vdb.rag.analysis import analyser_of
from vdb.storage.check import check_directory
from vdb.storage.keyspace import TEXT_INDEX_KEY, Space

TEXT = TextIndex(language="none")


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with opened(tmp_path / "data") as made:
        made.create("notes", text=TEXT)
        yield made
    assert check_directory(tmp_path / "data", analyser_of) == []


def test_a_collection_made_with_a_text_index_answers_at_once(driver: Driver) -> None:
    assert state(driver) == "ready"
    write(driver, "acme", ["cat dog", "cat", "bird"])
    assert [point_id for point_id, _ in ranked(driver, "acme", "dog cat")] == ["p0", "p1"]
    assert ranked(driver, "globex", "cat") == []


def test_fields_weigh_and_strings_in_lists_count(driver: Driver) -> None:
    driver.create("titled", text=TextIndex(fields={"text": 1, "meta.title": 5}, language="none"))
    payloads: list[Any] = [
        {"text": "cat and house and tree and garden and fence"},
        {"meta": {"title": "cat"}, "text": "dog and house and tree and garden"},
        {"text": ["cat", 7, None, "cat"]},
        {"text": {"cat": 1}, "meta.title": True},
    ]
    driver.upsert("acme", "titled", ["a", "b", "c", "d"], payloads=payloads)
    assert [point_id for point_id, _ in ranked(driver, "acme", "cat", "titled")] == ["c", "b", "a"]


def test_every_kind_of_write_keeps_the_index_in_step(driver: Driver) -> None:
    write(driver, "acme", ["cat"] * 20)
    write(driver, "acme", ["dog", "cat dog"])
    changes = [PayloadChange(id="p2", payload=Raw(b'{"text":"bird"}')), PayloadChange(id="p3", payload=Raw(b'{"n":1}'))]
    driver.run("update_payload", "acme", ("notes",), UpdatePayload(points=changes))
    driver.run(
        "update_payload", "acme", ("notes",),
        UpdatePayload(points=[PayloadChange(id="p4", payload=Raw(b"{}"))], mode="replace"),
    )  # fmt: skip
    driver.delete("acme", "notes", ["p5"])
    assert names(driver, "acme", "cat") == sorted(["p1", "p3", *(f"p{i}" for i in range(6, 20))])
    assert names(driver, "acme", "dog bird") == ["p0", "p1", "p2"]
    job = driver.run("delete_points", "acme", ("notes",), DeletePoints(filter={"field": "text", "eq": "cat"}))
    assert driver.finish_job(job).n_done == 15
    assert names(driver, "acme", "cat dog bird") == ["p0", "p1", "p2"]
    driver.finish_job(driver.run("delete_tenant", None, ("acme",), Empty()))
    assert text_keys(driver) == 1


def test_grants_and_revokes_move_what_is_counted(driver: Driver) -> None:
    for tenant in ("globex", "initech"):
        driver.create_tenant(tenant)
    write(driver, "acme", ["cat dog", "cat"], shared_with=[["globex"], []])
    write(driver, "globex", ["dog"], "g")
    assert (names(driver, "globex", "cat dog"), names(driver, "initech", "cat")) == (["g0", "p0"], [])
    driver.share("acme", "notes", ["p1"], ["*"])
    assert names(driver, "globex", "cat") == ["p0", "p1"] and names(driver, "initech", "cat") == ["p1"]
    driver.share("acme", "notes", ["p0"], ["*", "initech"])
    assert all(names(driver, tenant, "dog cat")[-2:] == ["p0", "p1"] for tenant in ("acme", "globex", "initech"))
    driver.share("acme", "notes", ["p0", "p1"], ["*"], "revoke")
    assert (names(driver, "globex", "cat"), names(driver, "initech", "cat")) == (["p0"], ["p0"])
    driver.finish_job(driver.run("delete_tenant", None, ("initech",), Empty()))
    assert names(driver, "acme", "cat") == ["p0", "p1"]


def test_a_refused_write_leaves_nothing(driver: Driver) -> None:
    driver.create_tenant("acme", points=1)
    with pytest.raises(QuotaExceeded):
        write(driver, "acme", ["cat", "dog"])
    with pytest.raises(VersionConflict):
        write(driver, "acme", ["cat"], if_version=[7])
    assert text_keys(driver) == 1


def test_expired_points_leave_the_index_when_purged(driver: Driver) -> None:
    expires_at = [datetime.now(UTC) + timedelta(seconds=0.05), None]
    write(driver, "acme", ["cat dog", "cat"], expires_at=expires_at)
    time.sleep(0.06)
    assert purge_step(driver.engine.services, document(driver)) == 1
    assert names(driver, "acme", "cat dog") == ["p1"]


def test_another_tenants_writes_change_no_score(driver: Driver) -> None:
    write(driver, "acme", ["cat dog", "cat cat bird", "dog tree"])
    write(driver, "globex", ["cat", "dog dog"], "g", shared_with=[["*"], []])
    before = ranked(driver, "acme", "cat dog tree")
    write(driver, "initech", ["cat " * i for i in range(1, 50)], "i")
    write(driver, "globex", ["cat", "dog tree"], "g", shared_with=[["*"], []])
    driver.delete("initech", "notes", ["i3", "i4"])
    assert ranked(driver, "acme", "cat dog tree") == before


def test_an_index_added_later_is_built_in_steps_while_points_are_written(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "STEP_POINTS", 20)
    update(driver, text=None)
    wait_until(lambda: text_keys(driver) == 0)
    with pytest.raises(InvalidArgument) as refused:
        ranked(driver, "acme", "cat")
    assert refused.value.problems[0].pointer == "/text" and state(driver) is None
    write(driver, "acme", ["cat"] * 300)
    write(driver, "globex", ["cat"] * 200, "g")
    assert update(driver, text=TEXT).text.state in ("building", "ready")
    n_round = 0
    while state(driver) != "ready":
        driver.upsert("acme", "notes", [f"p{n_round % 100}"], payloads=[{"text": "dog"}])
        driver.upsert("globex", "notes", [f"n{n_round}"], payloads=[{"text": "cat"}])
        driver.delete("acme", "notes", [f"p{200 + n_round % 100}"])
        n_round += 1
    n_changed = min(n_round, 100)
    assert names(driver, "acme", "dog") == sorted(f"p{i}" for i in range(n_changed))
    assert len(names(driver, "acme", "cat")) == 300 - 2 * n_changed
    assert len(names(driver, "globex", "cat")) == 200 + n_round


def test_the_building_of_an_index_goes_on_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data"
    step = jobs._STEPS[jobs.INDEX_FIELDS]
    steps: list[None] = []

    def few(*given: Any) -> Any:
        if len(steps) == 6:
            time.sleep(0.01)
            return given[1]
        steps.append(None)
        return step(*given)

    monkeypatch.setattr(jobs, "STEP_POINTS", 40)
    monkeypatch.setitem(jobs._STEPS, jobs.INDEX_FIELDS, few)
    with opened(path) as driver:
        driver.create("notes")
        write(driver, "acme", ["cat"] * 95)
        update(driver, text=TEXT)
        wait_until(lambda: len(steps) == 6)
        assert state(driver) == "building"
        with pytest.raises(TextIndexBuilding):
            ranked(driver, "acme", "cat")
        driver.delete("acme", "notes", ["p0", "p94"])
    assert check_directory(path, analyser_of) == []
    monkeypatch.setitem(jobs._STEPS, jobs.INDEX_FIELDS, step)
    with opened(path) as driver:
        wait_until(lambda: state(driver) == "ready")
        assert len(names(driver, "acme", "cat")) == 93
    assert check_directory(path, analyser_of) == []


def test_another_language_builds_anew_and_other_numbers_do_not(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    write(driver, "acme", ["running cats", "runs"])
    assert names(driver, "acme", "cat run") == []
    before = ranked(driver, "acme", "runs")
    changed = update(driver, text=TextIndex(language="none", k1=0.5, b=0)).text
    assert (changed.state, changed.k1, changed.b) == ("ready", 0.5, 0)
    assert ranked(driver, "acme", "runs") != before
    update(driver, text=TextIndex(language="english"))
    wait_until(lambda: state(driver) == "ready")
    assert names(driver, "acme", "cat run") == ["p0", "p1"]
    update(driver, text=TextIndex(fields={"title": 1}))
    wait_until(lambda: state(driver) == "ready")
    assert names(driver, "acme", "cat run") == [] and text_keys(driver) == 1


@pytest.mark.parametrize(
    ("given", "pointer", "error"),
    [
        ({"fields": {}}, "/text/fields", InvalidArgument),
        ({"fields": {"": 1}}, "/text/fields/", InvalidArgument),
        ({"fields": {"a/b": 0}}, "/text/fields/a~1b", InvalidArgument),
        ({"fields": {"t": 101}}, "/text/fields/t", InvalidArgument),
        ({"fields": {"t" * 513: 1}}, "/text/fields/" + "t" * 513, InvalidArgument),
        ({"fields": {f"f{i}": 1 for i in range(17)}}, "/text/fields", TooLarge),
        ({"language": "klingon"}, "/text/language", InvalidArgument),
        ({"k1": -0.1}, "/text/k1", InvalidArgument),
        ({"k1": float("nan")}, "/text/k1", InvalidArgument),
        ({"b": 1.01}, "/text/b", InvalidArgument),
        ({"b": float("nan")}, "/text/b", InvalidArgument),
    ],
)
def test_what_a_text_index_cannot_be_is_refused(
    driver: Driver, given: dict[str, Any], pointer: str, error: type[InvalidArgument]
) -> None:
    with pytest.raises(error) as refused:
        driver.create("other", text=TextIndex(**given))
    assert refused.value.problems[0].pointer == pointer
    with pytest.raises(error) as refused:
        update(driver, text=TextIndex(**given))
    assert refused.value.problems[0].pointer == pointer
    assert state(driver) == "ready"


def _cut_block(path: Path) -> None:
    with changing(path / "collections/00000001") as txn:
        for key, _ in list(txn.cursor()):
            if key[0] == Space.POSTINGS:
                txn.put(key, b"\1")


def _cut_document(path: Path) -> None:
    with changing(path / "collections/00000001") as txn:
        txn.put(TEXT_INDEX_KEY, b"damaged")


def _lose_blocks(path: Path) -> None:
    with changing(path / "collections/00000001") as txn:
        for key, _ in list(txn.cursor()):
            if key[0] == Space.POSTINGS:
                txn.delete(key)


@pytest.mark.parametrize("damage", [_cut_block, _cut_document, _lose_blocks])
@pytest.mark.parametrize("is_written", [True, False])
def test_a_damaged_index_is_noticed_and_built_anew(
    tmp_path: Path, damage: Callable[[Path], None], is_written: bool
) -> None:
    path = tmp_path / "data"
    with opened(path) as driver:
        driver.create("notes", text=TEXT)
        write(driver, "acme", ["cat"] * 50)
    damage(path)
    with opened(path, purge_interval_s=0.05) as driver:
        if is_written:
            write(driver, "acme", ["cat dog"])
        elif damage is not _lose_blocks:  # which nobody sees who only reads
            with pytest.raises(TextIndexBuilding), reading_text(driver.engine.services, document(driver)):
                ranked(driver, "acme", "cat")
        else:
            return
        wait_until(lambda: answers(driver) and len(names(driver, "acme", "cat")) == 50)
        assert names(driver, "acme", "dog") == (["p0"] if is_written else [])
    assert check_directory(path, analyser_of) == []


def test_an_index_of_another_analyser_is_built_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data"
    with opened(path) as driver:
        driver.create("notes", text=TEXT)
        write(driver, "acme", ["cat"] * 5)
    monkeypatch.setattr(analysis, "_version", lambda: "another")
    analysis.analyser_of.cache_clear()
    try:
        with opened(path, purge_interval_s=0.05) as driver:
            assert state(driver) in ("building", "ready")
            write(driver, "acme", ["dog"])
            wait_until(lambda: state(driver) == "ready")
            assert (names(driver, "acme", "dog"), len(names(driver, "acme", "cat"))) == (["p0"], 4)
        assert check_directory(path, analyser_of) == []
    finally:
        monkeypatch.undo()
        analysis.analyser_of.cache_clear()
