"""`vdb check`: exit code 0 for a sound directory, 1 with one line per fault otherwise."""

from pathlib import Path

import pytest

from tests.storage.damage import NOTES, changing, drop, golden_copy
from vdb.cli import main
from vdb.storage.directory import DataDirectory
from vdb.storage.keyspace import META_N_POINTS


def test_a_sound_directory_is_ok(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = golden_copy(tmp_path / "data")
    assert main(["check", "--data-dir", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: 2 collections, 3 tenants, 15 points: ok\n"


def test_faults_are_printed_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = golden_copy(tmp_path / "data")
    with changing(path / NOTES) as txn:
        drop(META_N_POINTS)(txn)
    assert main(["check", "--data-dir", str(path)]) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first == "collection notes: it counts 0 points, not 12" and last.endswith(", 15 points: faults: 1")


def test_the_directory_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VDB_DATA_DIR", str(golden_copy(tmp_path / "data")))
    assert main(["check"]) == 0 and ": ok" in capsys.readouterr().out


def test_a_directory_in_use_is_not_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    holder = DataDirectory(golden_copy(tmp_path / "data"))
    assert main(["check", "--data-dir", str(tmp_path / "data")]) == 1
    assert "in use by another process" in capsys.readouterr().err
    holder.close()
