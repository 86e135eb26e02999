"""`vdb check`: exit code 0 for a sound directory, 1 with one line per fault otherwise; `--repair` says what it did."""

import json
from pathlib import Path

import pytest

from tests.storage.damage import NOTES, changing, drop, flip, golden_copy, hurt
from vdb.cli import main
from vdb.storage.directory import DataDirectory
from vdb.storage.keyspace import META_N_POINTS, grant_key, record_key


def test_a_sound_directory_is_ok(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = golden_copy(tmp_path / "data")
    assert main(["check", "--data-dir", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: 2 collections, 3 tenants, 15 points, 1 caches, 6 entries: ok\n"


def test_faults_are_printed_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = golden_copy(tmp_path / "data")
    with changing(path / NOTES) as txn:
        drop(META_N_POINTS)(txn)
    assert main(["check", "--data-dir", str(path)]) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first == "collection notes: it counts 0 points, not 12" and last.endswith(
        ", 15 points, 1 caches, 6 entries: faults: 1"
    )


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


def test_an_older_directory_is_sound_and_said_to_be_older(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = golden_copy(tmp_path / "data", 1)
    assert main(["check", "--data-dir", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "catalog: it has format 1, which the next start migrates to 6" and len(lines) == 4
    assert main(["check", "--data-dir", str(path), "--repair"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "catalog: migrated to format 6",
        "collection notes: migrated to format 6",
    ]


def test_a_repair_says_what_it_did_and_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = golden_copy(tmp_path / "data")
    hurt(path, NOTES, drop(META_N_POINTS))
    hurt(path, NOTES, drop(grant_key(2, 0)))
    assert main(["check", "--data-dir", str(path), "--repair"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "collection notes: entries of the index grant added: 1",
        "collection notes: number of points counted anew: 1",
        f"{path}: 2 collections, 3 tenants, 15 points, 1 caches, 6 entries: ok",
    ]
    assert main(["check", "--data-dir", str(path), "--repair"]) == 0
    assert capsys.readouterr().out.startswith(f"{path}: nothing was changed\n")
    hurt(path, NOTES, flip(record_key(1, 0), 20))
    assert main(["check", "--data-dir", str(path), "--repair"]) == 1
    assert "a record's checksum does not match" in capsys.readouterr().out


def test_what_is_damaged_is_set_aside_only_when_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = golden_copy(tmp_path / "data")
    hurt(path, NOTES, flip(record_key(1, 0), 20))
    assert main(["check", "--data-dir", str(path), "--drop-damaged"]) == 2
    assert "--drop-damaged goes with --repair" in capsys.readouterr().err
    options = ["--repair", "--drop-damaged", "--aside-dir", str(tmp_path / "aside"), "--json"]
    assert main(["check", "--data-dir", str(path), *options]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["is_sound"], answer["n_aside"], answer["findings"]["n_points"]) == (True, 2, 14)
    assert Path(answer["aside"]).parent == tmp_path / "aside" and Path(answer["aside"]).exists()


def test_the_root_of_a_volume_was_a_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = golden_copy(tmp_path / "data")
    (path / "lost+found").mkdir(mode=0o000)
    assert main(["check", "--data-dir", str(path)]) == 0 and ": ok" in capsys.readouterr().out


def test_a_check_of_a_folder_of_somebody_else_left_a_lock_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letters").write_text("dear sir")
    assert main(["check", "--data-dir", str(tmp_path)]) == 1
    assert "there is no data directory at" in capsys.readouterr().err
    assert [entry.name for entry in tmp_path.iterdir()] == ["letters"]
