"""`vdb check`, `compact`, `restore` as JSON; what they do is tested in tests/storage."""

from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.storage.damage import NOTES, changing, drop, golden_copy
from vdb.cli.exit_codes import ExitCode
from vdb.storage.keyspace import META_N_POINTS


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return golden_copy(tmp_path / "data")


def test_a_check_says_what_it_looked_at(command: Command, data: Path) -> None:
    found = command("check", "--data-dir", str(data), "--json").document
    assert found == {
        "data_dir": str(data),
        "is_sound": True,
        "faults": [],
        "n_faults": 0,
        "n_collections": 2,
        "n_tenants": 3,
        "n_points": 15,
        "n_caches": 1,
        "n_entries": 6,
        "older": {},
    }


def test_a_check_that_finds_faults_ends_with_1_and_lists_them(command: Command, data: Path) -> None:
    with changing(data / NOTES) as txn:
        drop(META_N_POINTS)(txn)
    ran = command("check", "--data-dir", str(data), "--json")
    assert ran.code == ExitCode.REFUSED and ran.err == ""
    assert (ran.document["is_sound"], ran.document["n_faults"]) == (False, 1)
    assert ran.document["faults"] == [{"where": "collection notes", "what": "it counts 0 points, not 12"}]


def test_a_compaction_says_what_it_wrote(command: Command, data: Path) -> None:
    made = command("compact", "--data-dir", str(data), "--json").document["environments"]
    assert made[0]["place"] == "catalog"
    assert all(set(environment) == {"place", "before_bytes", "after_bytes"} for environment in made)


def test_a_restore_says_where(command: Command, data: Path, tmp_path: Path) -> None:
    command("backup", "b", "--data-dir", str(data), "--backup-dir", str(tmp_path / "backups"))
    place = ("--from", str(tmp_path / "backups" / "b"), "--data-dir", str(tmp_path / "new"))
    made = command("restore", *place, "--json").document
    assert made == {"data_dir": str(tmp_path / "new"), "n_collections": 2, "n_caches": 1}
    assert command("restore", *place).code == ExitCode.REFUSED
    assert command("restore", "--from", str(tmp_path / "nothing"), *place[2:]).code == ExitCode.NOT_FOUND
