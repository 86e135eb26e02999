"""The data directory: one process at a time, its secret, its folders."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from vdb.config import Settings
from vdb.engine.engine import Engine
from vdb.errors import DirectoryLocked, StorageFailure
from vdb.storage.directory import SECRET_BYTES, DataDirectory, make_folder, remove_folder

HOLD = "import sys; from pathlib import Path; from vdb.storage.directory import DataDirectory; "


def test_a_second_process_is_refused_and_told_who_holds_the_directory(tmp_path: Path) -> None:
    code = HOLD + "d = DataDirectory(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(DirectoryLocked, match=f"pid {holder.pid}"):
            DataDirectory(tmp_path)
    finally:
        holder.communicate("")
    DataDirectory(tmp_path).close()


def test_the_lock_goes_with_a_killed_process(tmp_path: Path) -> None:
    code = HOLD + "import os; d = DataDirectory(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    DataDirectory(tmp_path).close()


def test_two_openers_in_one_process_exclude_each_other_too(tmp_path: Path) -> None:
    first = DataDirectory(tmp_path)
    with pytest.raises(DirectoryLocked):
        DataDirectory(tmp_path)
    first.close()


def test_the_secret_is_made_once_and_is_the_owners_alone(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    secret = directory.secret()
    assert len(secret) == SECRET_BYTES and directory.secret() == secret
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    (tmp_path / "secret").write_bytes(b"short")
    with pytest.raises(StorageFailure, match="restore it"):
        directory.secret()
    directory.close()


def test_a_path_that_is_a_file_is_a_storage_failure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageFailure):
        DataDirectory(tmp_path / "file")


def test_folders_are_made_with_their_parents_and_removed_with_their_files(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    (tmp_path / "a" / "b" / "data.mdb").touch()
    make_folder(tmp_path / "a" / "b")
    remove_folder(tmp_path / "a")
    remove_folder(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_lost_secret_is_not_replaced_in_silence(tmp_path: Path) -> None:
    Engine.open(Settings(data_dir=tmp_path, compile_kernels=False)).close()
    (tmp_path / "secret").unlink()
    with pytest.raises(StorageFailure, match="restore it"):
        Engine.open(Settings(data_dir=tmp_path, compile_kernels=False))
    assert not (tmp_path / "secret").exists()
