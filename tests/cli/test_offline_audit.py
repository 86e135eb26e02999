"""`vdb keys` on a directory writes what it changes to the audit log of the settings, and never a secret."""

import json
from pathlib import Path

import pytest

from tests.storage.damage import golden_copy
from vdb.cli import main
from vdb.cli.offline import open_keys


def test_keys_made_rotated_and_deleted_offline_are_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    golden_copy(tmp_path / "data")
    monkeypatch.setenv("VDB_AUDIT_LOG", str(tmp_path / "audit.log"))
    place = ["--data-dir", str(tmp_path / "data"), "--json"]
    assert main(["keys", "create", "--role", "admin", "--name", "spare", *place]) == 0
    made = json.loads(capsys.readouterr().out)
    assert main(["keys", "list", *place]) == 0
    assert main(["keys", "rotate", made["id"], *place]) == 0
    assert main(["keys", "delete", made["id"], "--yes", *place]) == 0
    assert main(["keys", "delete", made["id"], "--yes", *place]) != 0
    text = (tmp_path / "audit.log").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["operation"], line["outcome"]) for line in lines] == [
        ("create_key", "ok"),
        ("rotate_key", "ok"),
        ("delete_key", "ok"),
        ("delete_key", "key_not_found"),
    ]
    assert {line["client"] for line in lines} == {"offline"} and all(line["user"] for line in lines)
    assert (lines[0]["made"], lines[0]["request"]["name"]) == (made["id"], "spare")
    assert made["key"] not in text


def test_without_a_log_in_the_settings_none_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    golden_copy(tmp_path / "data")
    monkeypatch.delenv("VDB_AUDIT_LOG", raising=False)
    assert main(["keys", "create", "--role", "admin", "--data-dir", str(tmp_path / "data")]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_an_operation_that_a_bug_ended_is_not_called_ok(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    golden_copy(tmp_path / "data")
    monkeypatch.setenv("VDB_AUDIT_LOG", str(tmp_path / "audit.log"))

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    with open_keys(tmp_path / "data") as keys:
        monkeypatch.setattr(keys._engine, "run", broken)
        with pytest.raises(RuntimeError):
            keys.create_key(role="admin")
    assert [json.loads(line)["outcome"] for line in (tmp_path / "audit.log").read_text().splitlines()] == [
        "internal_error"
    ]
