"""Reading a page beyond the end of a file ends the process: one collection cut short was the end of all of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.driver import opened
from tests.storage.damage import CATALOG, NOTES, SHAPES, golden_copy, leave_last_pages_unwritten
from vdb.errors import CorruptData
from vdb.storage.check import check_directory
from vdb.storage.offline_backup import back_up

SERVED, REFUSED = 0, 4

USE = f"""
import sys
from pathlib import Path
from tests.engine.driver import opened
from vdb.errors import CorruptData

try:
    with opened(Path(sys.argv[1])) as driver:
        assert driver.ids("acme", "shapes")
        for run in (driver.ids, driver.count) * 2:
            try:
                run("acme", "notes")
            except CorruptData as exc:
                assert "is cut short: restore it from a backup" in exc.detail
            else:
                sys.exit(5)
except CorruptData as exc:
    assert "catalog is cut short: restore it from a backup" in exc.detail
    sys.exit({REFUSED})
"""


def _cut(file: Path) -> None:
    """Only the two pages that say where the others are."""
    os.truncate(file, 8192)


@pytest.mark.parametrize(("place", "outcome"), [(NOTES, SERVED), (CATALOG, REFUSED)])
def test_a_file_cut_short_is_refused_and_the_rest_is_served(tmp_path: Path, place: str, outcome: int) -> None:
    path = golden_copy(tmp_path / "data")
    _cut(path / place / "data.mdb")
    ended = subprocess.run([sys.executable, "-c", USE, str(path)], check=False, timeout=60)
    assert ended.returncode == outcome
    assert (path / place / "data.mdb").stat().st_size == 8192, "what is damaged is left as it is"


@pytest.mark.parametrize("place", [NOTES, CATALOG])
def test_a_file_cut_short_does_not_end_an_offline_backup(tmp_path: Path, place: str) -> None:
    path = golden_copy(tmp_path / "data")
    _cut(path / place / "data.mdb")
    with pytest.raises(CorruptData, match="is cut short"):
        back_up(path, str(tmp_path / "backups"), "now")


def test_a_file_whose_last_pages_were_never_written_is_tried_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = golden_copy(tmp_path / "data")
    leave_last_pages_unwritten(path / SHAPES)
    trials: list[list[str]] = []
    run = subprocess.run

    def noted(command: list[str], check: bool) -> "subprocess.CompletedProcess[bytes]":
        trials.append(command)
        return run(command, check=check)

    monkeypatch.setattr("vdb.storage.probe.subprocess.run", noted)
    for _ in range(2):
        with opened(path) as driver:
            assert driver.ids("acme", "shapes")
    assert [command[-1] for command in trials] == [str(path / SHAPES)]
    assert check_directory(path) == []


def test_a_file_is_never_cut_to_the_length_of_its_pages(tmp_path: Path) -> None:
    path = golden_copy(tmp_path / "data")
    file = path / SHAPES / "data.mdb"
    os.truncate(file, file.stat().st_size + (1 << 20))
    n_bytes = file.stat().st_size
    with opened(path) as driver:
        driver.ids("acme", "shapes")
    assert file.stat().st_size == n_bytes
