"""Scheduled backups: when one is due, what is kept, and that a restart neither repeats nor forgets one."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.driver import Driver, opened, wait_until
from vdb.engine.backup import backup_folder
from vdb.engine.backup_schedule import BackupSchedule, is_due, moment_ms_of, name_at, surplus
from vdb.engine.engine import Engine
from vdb.errors import Conflict, InvalidArgument
from vdb.protocol.requests import CreateBackup
from vdb.storage.backup import BackupFolder, Draft
from vdb.storage.check import check_directory
from vdb.storage.restore import restore

HOUR_MS = 3_600_000
START_MS = 1_795_000_000_000 // HOUR_MS * HOUR_MS


class Clock:
    """Epoch milliseconds that a test sets."""

    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with opened(tmp_path / "data", backup_dir=str(tmp_path / "backups")) as driver:
        driver.create("docs")
        driver.upsert("acme", "docs", ["a"], [[1, 2]])
        yield driver


def schedule(driver: Driver, clock: Clock, n_kept: int = 2) -> BackupSchedule:
    """A schedule of one backup an hour, which the test steps itself."""
    services = driver.engine.services
    made = BackupSchedule(services, clock)
    made._interval_ms, made._n_kept = HOUR_MS, n_kept
    return made


def test_names_say_the_moment() -> None:
    name = name_at(START_MS + 1234)
    assert moment_ms_of(name) == START_MS + 1000
    assert [moment_ms_of(other) for other in ("nightly", "auto-2026", "auto-20269999-000000")] == [None, None, None]


def test_one_is_due_once_per_interval() -> None:
    assert is_due(START_MS, [], HOUR_MS)
    assert not is_due(START_MS + HOUR_MS - 1, [START_MS], HOUR_MS)
    assert is_due(START_MS + HOUR_MS, [START_MS + HOUR_MS - 1], HOUR_MS)


def test_retention_takes_the_oldest_of_its_own_only() -> None:
    scheduled = [name_at(START_MS + i * HOUR_MS) for i in range(4)]
    now_ms = START_MS + 4 * HOUR_MS
    assert surplus(["before-upgrade", "auto-mine", *reversed(scheduled)], 2, now_ms) == scheduled[:2]
    assert surplus(scheduled, 9, now_ms) == []


def test_a_clock_that_was_ahead_neither_stops_the_schedule_nor_makes_it_run_wild(driver: Driver) -> None:
    clock = Clock()
    backups = schedule(driver, clock, n_kept=1)
    clock.now_ms += 1000 * HOUR_MS
    ahead = backups.step()
    clock.now_ms = START_MS
    made = backups.step()
    assert made is not None and backups.step() is None
    clock.now_ms += HOUR_MS
    last = backups.step()
    assert backup_folder(driver.engine.services).names() == sorted(filter(None, [last, ahead]))


def test_steps_make_what_is_due_and_remove_what_is_surplus(driver: Driver, tmp_path: Path) -> None:
    clock = Clock()
    backups = schedule(driver, clock)
    folder = BackupFolder(tmp_path / "backups")
    driver.run("create_backup", None, (), CreateBackup(name="by-hand"))
    made = []
    for _ in range(3):
        made.append(backups.step())
        assert backups.step() is None
        clock.now_ms += HOUR_MS
    assert schedule(driver, clock).step() is not None, "a schedule that starts anew knows the folder"
    assert folder.names() == [*[name for name in made[2:] if name], name_at(clock.now_ms), "by-hand"]
    assert (backups.n_made, backups.last_ms) == (3, START_MS + 2 * HOUR_MS)
    manifest = restore(tmp_path / "backups" / name_at(clock.now_ms), tmp_path / "restored")
    assert [held.n_points for held in manifest.collections] == [1]
    assert check_directory(tmp_path / "restored") == []


def test_a_failed_backup_removes_none(driver: Driver, tmp_path: Path) -> None:
    clock = Clock()
    backups = schedule(driver, clock, n_kept=1)
    first = backups.step()
    clock.now_ms += HOUR_MS
    with BackupFolder(tmp_path / "backups").draft("being-made"), pytest.raises(Conflict):
        backups.step()
    assert first in BackupFolder(tmp_path / "backups").names()


def test_names_of_the_schedule_are_refused_in_requests(driver: Driver) -> None:
    with pytest.raises(InvalidArgument):
        driver.run("create_backup", None, (), CreateBackup(name=name_at(START_MS)))


@pytest.mark.parametrize(
    "given",
    [
        {"backup_dir": ""},
        {"backup_interval_s": 59.0},
        {"backup_interval_s": -1.0},
        {"backup_interval_s": float("nan")},
        {"backup_keep": 0},
    ],
    ids=str,
)
def test_settings_that_cannot_be_kept_to_are_refused_at_the_start(tmp_path: Path, given: dict[str, object]) -> None:
    settings = {"backup_dir": str(tmp_path / "backups"), "backup_interval_s": 60.0, **given}
    with pytest.raises(InvalidArgument), opened(tmp_path / "data", **settings):
        pytest.fail("it must not open")
    with opened(tmp_path / "data"):  # nothing was left locked or open
        assert not (tmp_path / "backups").exists()


def test_a_server_makes_the_backup_it_missed(tmp_path: Path) -> None:
    folder = BackupFolder(tmp_path / "backups")
    with opened(tmp_path / "data", backup_dir=str(tmp_path / "backups"), backup_interval_s=3600.0) as driver:
        wait_until(lambda: len(folder.names()) == 1)
        figures = {name: samples for name, _, _, samples in driver.engine.metrics()}
        wait_until(lambda: driver.engine._backups.n_made == 1)
        assert figures["vdb_scheduled_backup_failures_total"] == [({}, 0)]


def test_a_stop_does_not_take_as_long_as_a_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = threading.Event()
    copied: list[str] = []
    add = Draft.add_environment

    def slow(self: Draft, place: str, *given: Any) -> None:
        add(self, place, *given)
        copied.append(place)
        if len(copied) == 2:
            began.set()
            wait_until(lambda: bool(engines) and engines[0].services.is_stopping.is_set())

    backups = {"backup_dir": str(tmp_path / "backups"), "backup_interval_s": 86_400.0}
    with opened(tmp_path / "data") as driver:
        for name in ("a", "b", "c"):
            driver.create(name)
    with monkeypatch.context() as patched:
        patched.setattr(Draft, "add_environment", slow)
        engines: list[Engine] = []
        with opened(tmp_path / "data", **backups) as driver:
            engines.append(driver.engine)
            assert began.wait(20)
    assert copied == ["catalog", "collections/00000001"]
    assert not [path for path in (tmp_path / "backups").iterdir() if path.name != ".lock"]
    with opened(tmp_path / "data", **backups):
        wait_until(lambda: len(BackupFolder(tmp_path / "backups").names()) == 1)
