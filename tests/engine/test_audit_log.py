"""The file of the audit log: whole lines, a full disk that loses none without a word, and what a request may show."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from vdb.engine.audit import MAX_REFUSALS_PER_MINUTE, AuditLog, entry_of
from vdb.protocol.operations import BY_NAME
from vdb.protocol.requests import CreateCollection, SetAliases, UpdateTenant
from vdb.types import Caller, Metric, Role

ADMIN = Caller("key-environment", Role.ADMIN, key_name="boss")


def line(name: str = "acme", caller: Caller | None = ADMIN, outcome: str = "ok") -> dict[str, Any]:
    return entry_of(BY_NAME["delete_tenant"], (name,), None, caller, outcome)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in path.read_text().splitlines()]


class FullDisk:
    """`os.write` on a disk with room for `n_bytes` more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, n_bytes: int) -> None:
        self.n_bytes = n_bytes
        self._write = os.write
        monkeypatch.setattr("vdb.engine.audit.os.write", self)

    def __call__(self, handle: int, data: bytes) -> int:
        if self.n_bytes == 0:
            raise OSError(28, "No space left on device")
        n = self._write(handle, data[: self.n_bytes])
        self.n_bytes -= n
        return n


@pytest.mark.parametrize("n_free", [0, 1, 50])
def test_a_full_disk_loses_lines_loudly_and_cuts_no_other(
    n_free: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = AuditLog(str(tmp_path / "audit.log"))
    log.write(line("one"))
    disk = FullDisk(monkeypatch, n_free)
    log.write(line("two"))
    log.write(line("three"))
    assert log.n_lost == 2
    assert [record.__dict__["fields"]["entry"]["target"] for record in caplog.records] == [
        {"tenant": "two"},
        {"tenant": "three"},
    ]
    disk.n_bytes = 1 << 20
    log.write(line("four"))
    log.close()
    texts = (tmp_path / "audit.log").read_text().splitlines()
    whole = [json.loads(text) for text in texts if text.endswith("}")]
    assert len(texts) - len(whole) == (1 if n_free else 0)
    assert [entry.get("target", {}).get("tenant") for entry in whole] == ["one", None, "four"]
    assert (whole[1]["event"], whole[1]["n"]) == ("lines_lost", 2)


def test_a_disk_that_is_full_from_the_start_keeps_no_admin_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: str, is_synced: bool) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("vdb.engine.audit._opened", full)
        log = AuditLog(str(tmp_path / "audit.log"))
        log.write(line("one"))
    assert log.n_lost == 1
    log.write(line("two"))
    log.close()
    assert [entry.get("event") for entry in lines_of(tmp_path / "audit.log")] == ["lines_lost", None]


def test_a_folder_that_is_gone_loses_lines_loudly(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    log = AuditLog(str(folder / "audit.log"))
    (folder / "audit.log").unlink()
    folder.rmdir()
    log.write(line())
    assert log.n_lost == 1
    folder.mkdir()
    log.write(line())
    log.close()
    assert [entry.get("event") for entry in lines_of(folder / "audit.log")] == ["lines_lost", None]


def test_refusals_are_bounded_by_outcome_and_the_rest_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("vdb.engine.audit.time.monotonic", lambda: now[0])
    log = AuditLog(str(tmp_path / "audit.log"))
    for _ in range(MAX_REFUSALS_PER_MINUTE + 3):
        log.write(line(caller=None, outcome="unauthenticated"))
    log.write(line(caller=None, outcome="key_expired"))
    log.write(line(caller=Caller("key-1", Role.READ), outcome="forbidden"))
    now[0] = 60.0
    log.write(line(caller=None, outcome="unauthenticated"))
    log.close()
    entries = lines_of(tmp_path / "audit.log")
    assert len(entries) == MAX_REFUSALS_PER_MINUTE + 2 + 2
    assert {name: entries[-2][name] for name in ("event", "outcome", "n")} == {
        "event": "refusals_left_out", "outcome": "unauthenticated", "n": 3,
    }  # fmt: skip


def test_the_name_of_a_new_file_is_durable_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr("vdb.engine.audit.sync_folder", synced.append)
    log = AuditLog(str(tmp_path / "audit.log"), is_synced=True)
    log.write(line())
    assert synced == [tmp_path]
    (tmp_path / "audit.log").rename(tmp_path / "audit.log.1")
    log.write(line())
    log.close()
    assert synced == [tmp_path, tmp_path]


def test_a_pipe_can_be_the_log_and_has_no_disk_to_wait_for() -> None:
    reader, writer = os.pipe()
    log = AuditLog(f"/dev/fd/{writer}", is_synced=True)
    log.write(line())
    assert log.n_lost == 0
    assert json.loads(os.read(reader, 4096))["operation"] == "delete_tenant"
    log.close()
    os.close(reader)
    os.close(writer)


def test_of_a_request_scalars_and_short_lists_are_shown_and_of_others_their_size() -> None:
    request = CreateCollection(name="notes", dimension=3, metric=Metric.COSINE, tenants=["a", "b"])
    entry = entry_of(BY_NAME["create_collection"], (), request, ADMIN, "ok")
    shown = entry["request"]
    assert (shown["name"], shown["dimension"], shown["tenants"]) == ("notes", 3, ["a", "b"])
    many = CreateCollection(name="notes", dimension=3, metric=Metric.COSINE, tenants=["a"] * 21)
    assert entry_of(BY_NAME["create_collection"], (), many, ADMIN, "ok")["request"]["tenants"] == {"n": 21}
    update = msgspec.convert({"quota": {"points": 5}}, UpdateTenant)
    entry = entry_of(BY_NAME["update_tenant"], ("acme",), update, ADMIN, "ok")
    assert (entry["request"], entry["target"]) == ({"quota": {"points": 5}}, {"tenant": "acme"})


def test_a_swap_of_aliases_was_noted_without_what_was_swapped() -> None:
    request = SetAliases(set={"current": "docs-2", "odd name": "a\nb"}, remove=["old"])
    entry = entry_of(BY_NAME["set_aliases"], (), request, ADMIN, "ok")
    assert entry["request"] == {"set": {"current": "docs-2", "invalid": "invalid"}, "remove": ["old"]}
    many = SetAliases(set={f"a{i}": "docs" for i in range(21)})
    assert entry_of(BY_NAME["set_aliases"], (), many, ADMIN, "ok")["request"] == {"set": {"n": 21}, "remove": []}
