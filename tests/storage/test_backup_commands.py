"""`vdb backup`, `restore`, `compact`: what they make, what they refuse, what a cut leaves."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import vdb.testing
from tests.engine.driver import opened
from tests.storage.cache_examples import ANSWER, CACHE_ID, ENTRY, add_cache
from tests.storage.damage import golden_copy
from vdb.cli import main
from vdb.cli.exit_codes import ExitCode
from vdb.storage.backup import MANIFEST, BackupFolder
from vdb.storage.cache_entries import iterate_loaded, read_answer
from vdb.storage.check import check_directory
from vdb.storage.directory import DataDirectory
from vdb.storage.env import Environment
from vdb.storage.meta import read_sequence
from vdb.storage.restore import SEQUENCE_LEAP

SECRETIVE = "text that nobody may find again"


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A backup of the golden directory, made by the command."""
    path = golden_copy(tmp_path / "data")
    assert main(["backup", "b", "--data-dir", str(path), "--backup-dir", str(tmp_path / "backups")]) == 0
    return tmp_path / "backups" / "b"


def _restore(backup: Path, path: Path) -> int:
    return main(["restore", "--from", str(backup), "--data-dir", str(path)])


def test_an_offline_backup_is_restored_whole(backup: Path, tmp_path: Path) -> None:
    path = tmp_path / "new"
    path.mkdir()
    assert _restore(backup, path) == 0
    assert check_directory(path) == []
    with opened(tmp_path / "data") as before, opened(path) as after:
        for tenant in ("acme", "globex"):
            assert after.ids(tenant, "notes") == before.ids(tenant, "notes")
        written = [driver.upsert("acme", "notes", ["new"], [[1, 2, 3, 4]]) for driver in (before, after)]
    assert written[1] == written[0] + SEQUENCE_LEAP


def test_a_directory_that_holds_something_is_not_restored_into(
    backup: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new"
    path.mkdir()
    (path / "file").write_text("mine")
    assert _restore(backup, path) == 1
    assert "is not empty" in capsys.readouterr().err
    assert [entry.name for entry in path.iterdir()] == ["file"]


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a flipped bit": lambda backup: _flip(backup / "collections" / "00000001" / "data.mdb"),
    "a flipped bit in the catalog": lambda backup: _flip(backup / "catalog" / "data.mdb"),
    "a lost secret": lambda backup: (backup / "secret").unlink(),
    "a lost manifest": lambda backup: (backup / MANIFEST).unlink(),
    "half a manifest": lambda backup: (backup / MANIFEST).write_bytes((backup / MANIFEST).read_bytes()[:200]),
    "a manifest that is no text": lambda backup: (backup / MANIFEST).write_bytes(b"\xff\xfe"),
    "a file cut short": lambda backup: (backup / "catalog" / "data.mdb").write_bytes(b"short"),
    "a path that leads out": lambda backup: (backup / MANIFEST).write_text(
        (backup / MANIFEST).read_text().replace('"secret"', '"../../data/secret"')
    ),
    "a newer format": lambda backup: (backup / MANIFEST).write_text(
        (backup / MANIFEST).read_text().replace('"format": 2', '"format": 3')
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_backup_is_refused_and_nothing_is_made(backup: Path, tmp_path: Path, damage: str) -> None:
    DAMAGES[damage](backup)
    assert _restore(backup, tmp_path / "new") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backups", "data"]


def test_an_unfinished_restore_is_swept_by_the_next(backup: Path, tmp_path: Path) -> None:
    (tmp_path / "new.restore-draft" / "catalog").mkdir(parents=True)
    assert _restore(backup, tmp_path / "new") == 0
    assert not (tmp_path / "new.restore-draft").exists()


@pytest.mark.parametrize("command", [["backup", "b", "--backup-dir", "elsewhere"], ["compact"]])
def test_a_directory_in_use_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    holder = DataDirectory(golden_copy(tmp_path / "data"))
    assert main([*command, "--data-dir", str(tmp_path / "data")]) == 1
    assert "in use by another process" in capsys.readouterr().err
    holder.close()


def test_a_running_server_is_asked_for_its_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with vdb.testing.server(compile_kernels=False, backup_dir=tmp_path / "backups") as server:
        monkeypatch.setenv("VDB_ADMIN_KEY", server.admin_key)
        assert main(["backup", "live", "--url", server.url]) == 0
        assert main(["backup", "a/b", "--url", server.url]) == 1
    assert capsys.readouterr().out.startswith("live: 0 collections, ")
    assert _restore(tmp_path / "backups" / "live", tmp_path / "new") == 0


def _fill_and_delete(path: Path) -> None:
    """2,000 points, of which the last 1,900 are deleted, payloads and all."""
    ids = [str(i) for i in range(2000)]
    with opened(path) as driver:
        driver.create("notes", 64)
        payloads = [{"text": f"kept {i}" if i < 100 else f"{SECRETIVE} {i}"} for i in range(2000)]
        driver.upsert("acme", "notes", ids, [[i] * 64 for i in range(2000)], payloads=payloads)
        assert driver.delete("acme", "notes", ids[100:]) == 1900


def test_compaction_shrinks_the_file_and_takes_deleted_text_off_it(tmp_path: Path) -> None:
    path = tmp_path / "data"
    _fill_and_delete(path)
    file = path / "collections" / "00000001" / "data.mdb"
    before = file.read_bytes()
    assert SECRETIVE.encode() in before
    assert main(["compact", "--data-dir", str(path)]) == 0
    after = file.read_bytes()
    assert len(after) < len(before) / 5 and SECRETIVE.encode() not in after
    assert check_directory(path) == []
    with opened(path) as driver:
        assert driver.ids("acme", "notes") == [str(i) for i in range(100)]
        assert driver.found("acme", "notes", [7] * 64, limit=1) == ["7"]
        assert driver.upsert("acme", "notes", ["new"], [[1] * 64]) == 3


def test_a_compaction_cut_short_leaves_the_old_file_and_the_next_sweeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = golden_copy(tmp_path / "data")
    file = path / "collections" / "00000001" / "data.mdb"
    before = file.read_bytes()

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("vdb.storage.compact.sync_file", cut)
        assert main(["compact", "--data-dir", str(path)]) == ExitCode.INTERRUPTED
    assert file.read_bytes() == before and check_directory(path) == []
    left = file.parent / "compact.draft"
    left.mkdir()
    assert main(["compact", "--data-dir", str(path)]) == 0
    assert not left.exists() and check_directory(path) == []


def test_caches_are_backed_up_restored_and_compacted_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, new = golden_copy(tmp_path / "data"), tmp_path / "new"
    add_cache(path)
    assert main(["backup", "b", "--data-dir", str(path), "--backup-dir", str(tmp_path / "backups")]) == 0
    held = BackupFolder(tmp_path / "backups").manifest("b").caches[-1]
    assert (held.id, held.name, held.sequence, held.n_entries) == (CACHE_ID, "kept", ENTRY.sequence, 4)
    assert _restore(tmp_path / "backups" / "b", new) == 0
    assert main(["compact", "--data-dir", str(new)]) == 0
    assert f"caches/{CACHE_ID:08d}" in capsys.readouterr().out
    assert check_directory(new) == []
    env = Environment(DataDirectory(new).cache_path(CACHE_ID), map_bytes=1 << 20, max_map_bytes=1 << 20)
    with env.read() as txn:
        assert read_sequence(txn) == ENTRY.sequence + SEQUENCE_LEAP
        assert read_answer(txn, ENTRY.tenant, ENTRY.number) == ANSWER
        assert len(list(iterate_loaded(txn))) == 4
    env.close()


def test_a_backup_without_the_file_of_a_cache_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = golden_copy(tmp_path / "data")
    add_cache(path)
    assert main(["backup", "b", "--data-dir", str(path), "--backup-dir", str(tmp_path / "backups")]) == 0
    (tmp_path / "backups" / "b" / "caches" / f"{CACHE_ID:08d}" / "data.mdb").unlink()
    assert _restore(tmp_path / "backups" / "b", tmp_path / "new") == 1
    assert "the backup is damaged" in capsys.readouterr().err


def test_a_backup_of_before_there_were_caches_is_restored(tmp_path: Path) -> None:
    path, backup = golden_copy(tmp_path / "data", 3), tmp_path / "backups" / "b"
    assert main(["backup", "b", "--data-dir", str(path), "--backup-dir", str(tmp_path / "backups")]) == 0
    manifest = json.loads((backup / MANIFEST).read_bytes())
    del manifest["caches"]
    (backup / MANIFEST).write_text(json.dumps(manifest | {"format": 1}))
    assert _restore(backup, tmp_path / "new") == 0
    assert check_directory(tmp_path / "new") == []
