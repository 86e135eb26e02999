"""`vdb backup`: with a server and without, in its short form, and which of the two is meant."""

from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.storage.damage import golden_copy
from vdb.cli.exit_codes import ExitCode


@pytest.fixture
def place(tmp_path: Path) -> tuple[str, ...]:
    return ("--data-dir", str(golden_copy(tmp_path / "data")), "--backup-dir", str(tmp_path / "backups"))


def test_a_folder_is_managed_without_a_server(command: Command, place: tuple[str, ...]) -> None:
    folder = place[2:]
    assert command("backup", "list", *folder).out == "no backups\n"
    made = command("backup", "create", "b", *place, "--json").document
    assert set(made) >= {"name", "bytes", "n_collections", "pause_ms", "started_at", "release", "collections"}
    assert command("backup", "show", "b", *folder, "--json").document == made
    assert command("backup", "list", *folder, "--json").document == {"backups": [made]}
    assert command("backup", "list", *folder).rows[1][0] == "b"
    assert command("backup", "delete", "b", *folder, "--yes").code == ExitCode.OK
    assert command("backup", "show", "b", *folder).code == ExitCode.NOT_FOUND


def test_a_server_manages_its_own(admin: Command) -> None:
    made = admin("backup", "live", "--json").document
    assert made["name"] == "live" and made["pause_ms"] > 0
    assert admin("backup", "list", "--json").document == {"backups": [made]}
    assert admin("backup", "show", "live", "--json").document == made
    assert admin("backup", "delete", "live", "--yes", "--json").document == {"deleted": True}


def test_the_short_form_takes_options_first(command: Command, place: tuple[str, ...]) -> None:
    assert command("backup", *place, "b").out.startswith("b: 2 collections, ")


def test_a_folder_named_wins_over_a_server_in_the_environment(admin: Command, place: tuple[str, ...]) -> None:
    assert admin("backup", "b", *place).code == ExitCode.OK
    assert [backup["name"] for backup in admin("backup", "list", *place[2:], "--json").document["backups"]] == ["b"]
    assert admin("backup", "list", "--json").document == {"backups": []}


def test_a_server_and_a_folder_exclude_each_other(admin: Command, tmp_path: Path) -> None:
    ran = admin("backup", "list", "--url", "http://127.0.0.1:1", "--backup-dir", str(tmp_path))
    assert ran.code == ExitCode.USAGE


def test_an_offline_backup_has_no_name_that_retention_would_remove(command: Command, place: tuple[str, ...]) -> None:
    ran = command("backup", "auto-20260101", *place)
    assert ran.code == ExitCode.REFUSED and "schedule" in ran.err
    assert command("backup", "list", *place[2:]).out == "no backups\n"


def test_no_place_at_all_is_refused(command: Command) -> None:
    ran = command("backup", "list")
    assert ran.code == ExitCode.REFUSED and "VDB_BACKUP_DIR" in ran.err


def test_backup_alone_shows_its_usage(command: Command) -> None:
    assert command("backup").code == ExitCode.USAGE
    assert "create" in command("backup", "--help").out
