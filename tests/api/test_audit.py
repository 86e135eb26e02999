"""The audit log over HTTP: who attempted what, refused or not, bounded where strangers write it, without a secret."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.live import Live
from vdb.engine.audit import MAX_REFUSALS_PER_MINUTE
from vdb.protocol.operations import OPERATIONS
from vdb.testing import server

MANAGED = [operation for operation in OPERATIONS if operation.access == "admin" and operation.method != "GET"]
LISTED = [operation for operation in OPERATIONS if operation.access == "admin" and operation.method == "GET"]


class Audited:
    """A running server and the lines of its audit log."""

    def __init__(self, live: Live, path: Path) -> None:
        self.live, self.path = live, path
        self._n_read = 0

    def new(self) -> list[dict[str, Any]]:
        """The lines since the last call."""
        lines = [json.loads(line) for line in self.path.read_text().splitlines()]
        new, self._n_read = lines[self._n_read :], len(lines)
        return new

    @property
    def text(self) -> str:
        return self.path.read_text()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    folder = tmp_path_factory.mktemp("audit")
    given = {"backup_dir": folder / "backups", "compile_kernels": "0", "trusted_proxies": "127.0.0.1"}
    with server(data_dir=folder / "data", audit_log=folder / "audit.log", audit_fsync="1", **given) as started:
        yield Audited(Live(started), folder / "audit.log")


@pytest.fixture
def audited(running: Audited) -> Audited:
    running.new()
    return running


def test_a_line_says_who_from_where_what_on_what_and_how_it_ended(audited: Audited) -> None:
    live = audited.live
    boss = live.must("create_key", (), {"role": "admin", "name": "the boss"})
    audited.new()
    headers = {"X-Request-Id": "r-1", "X-Forwarded-For": "198.51.100.1"}
    body = {"role": "write", "tenant": "acme", "name": "web"}
    made = live.run("create_key", (), body, key=boss["key"], headers=headers).json
    (line,) = audited.new()
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "operation": "create_key", "outcome": "ok", "client": "198.51.100.1", "request_id": "r-1", "made": made["id"],
        "actor": {"key_id": boss["id"], "key_name": "the boss", "role": "admin"},
        "request": {"role": "write", "tenant": "acme", "name": "web"},
    }  # fmt: skip
    live.must("rotate_key", (made["id"],), {"grace_s": 5}, key=boss["key"])
    live.run("delete_key", ("key-000000000000000000000000",), key=boss["key"])
    rotated, deleted = audited.new()
    assert (rotated["target"], rotated["request"], rotated["outcome"]) == ({"key": made["id"]}, {"grace_s": 5}, "ok")
    assert (deleted["outcome"], deleted["target"]["key"]) == ("key_not_found", "key-000000000000000000000000")


@pytest.mark.parametrize("operation", MANAGED, ids=lambda operation: operation.name)
def test_every_attempt_at_management_is_a_line_whatever_comes_of_it(operation: Any, audited: Audited) -> None:
    read = audited.live.key("read", "reader")
    audited.new()
    path = ("absent",) * operation.path.count("{")
    audited.live.run(operation.name, path, {"unknown": 1})
    audited.live.run(operation.name, path, {}, key="wrong-key-of-some-length")
    audited.live.run(operation.name, path, {}, key="")
    audited.live.run(operation.name, path, {}, key=read)
    lines = audited.new()
    assert {line["operation"] for line in lines} == {operation.name}
    assert [line["outcome"] for line in lines[:3]] == [lines[0]["outcome"], "unauthenticated", "unauthenticated"]
    assert [line["actor"] is None for line in lines] == [False, True, True, False]
    assert lines[0]["outcome"] != "ok"
    assert lines[3]["actor"]["role"] == "read"


@pytest.mark.parametrize("operation", LISTED, ids=lambda operation: operation.name)
def test_a_look_is_a_line_only_where_it_is_refused(operation: Any, audited: Audited) -> None:
    path = ("absent",) * operation.path.count("{")
    audited.live.run(operation.name, path)
    audited.live.run(operation.name, path, key="")
    (line,) = audited.new()
    assert (line["operation"], line["outcome"]) == (operation.name, "unauthenticated")


def test_what_tenants_do_is_no_management(audited: Audited) -> None:
    live = audited.live
    live.must("create_collection", (), {"name": "quiet", "dimension": 2, "metric": "l2"})
    audited.new()
    point = {"points": [{"id": "a", "vector": [0, 1], "payload": {"text": "private words"}}]}
    live.must("upsert", ("quiet",), point, tenant="acme")
    live.must("search", ("quiet",), {"vector": [0, 1]}, tenant="acme")
    live.run("search", ("quiet",), {"vector": [0, 1]}, key="wrong-key-of-some-length")
    live.must("get_collection", ("quiet",))
    assert audited.new() == []


def test_no_secret_reaches_the_log(audited: Audited) -> None:
    live = audited.live
    made = live.must("create_key", (), {"role": "service"})
    again = live.must("rotate_key", (made["id"],), {})
    live.run("delete_key", (made["key"],))  # the secret where the id belongs
    live.run("delete_tenant", (live.admin,))
    live.run("delete_key", ("absent",), key=made["key"])
    for secret in (made["key"], again["key"], live.admin):
        assert secret not in audited.text
    assert audited.new()[2]["target"] == {"key": "invalid"}


def test_hostile_names_make_one_line_each(audited: Audited) -> None:
    audited.live.run("create_tenant", (), {"name": 'a"\n{"operation":"forged"}\u2028\x1b[2J'})
    audited.live.run("create_key", (), {"role": "write", "tenant": "x" * 100_000})
    forged, long = audited.new()
    assert forged["operation"] == "create_tenant"
    assert len(long["request"]["tenant"]) == 200


def test_the_file_is_for_its_owner_and_a_rotation_needs_no_signal(audited: Audited) -> None:
    assert os.stat(audited.path).st_mode & 0o777 == 0o600
    audited.live.must("create_tenant", (), {"name": "before"})
    audited.path.rename(audited.path.with_suffix(".1"))
    audited.live.must("create_tenant", (), {"name": "after"})
    assert '"before"' in audited.path.with_suffix(".1").read_text()
    (line,) = map(json.loads, audited.text.splitlines())
    assert line["request"]["name"] == "after"
    audited._n_read = 1


def test_a_flood_of_strangers_is_counted_and_admins_are_still_written(tmp_path: Path) -> None:
    n_over = 7
    with server(data_dir=tmp_path / "data", audit_log=tmp_path / "audit.log", compile_kernels="0") as started:
        live = Live(started)
        for _ in range(MAX_REFUSALS_PER_MINUTE + n_over):
            assert live.run("create_tenant", (), {}, key="wrong-key-of-some-length").status == 401
        live.must("create_tenant", (), {"name": "acme"})
    lines = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    n_strangers = sum(line.get("actor", 0) is None for line in lines)
    n_left_out = sum(line["n"] for line in lines if line.get("event") == "refusals_left_out")
    assert n_strangers + n_left_out == MAX_REFUSALS_PER_MINUTE + n_over
    assert [line["request"] for line in lines if line.get("outcome") == "ok"] == [{"name": "acme"}]


def test_a_log_that_cannot_be_opened_is_refused_before_a_key_is_made(tmp_path: Path) -> None:
    from tests.api.test_api_server import refused, serving

    line = refused(*serving(tmp_path / "data", "--audit-log", str(tmp_path / "absent" / "audit.log")))
    assert line.startswith("vdb: cannot open audit_log ")
    assert not (tmp_path / "data").exists()
