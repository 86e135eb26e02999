"""`vdb keys --data-dir`: a lost admin key is replaced on the machine, while no server runs."""

from pathlib import Path

import pytest

import vdb.testing
from tests.cli.conftest import Command
from tests.storage.damage import golden_copy
from vdb.cli.exit_codes import ExitCode
from vdb.client import Client
from vdb.errors import Unauthenticated
from vdb.storage.check import check_directory
from vdb.storage.directory import DataDirectory


def test_a_lost_admin_key_is_replaced_and_the_others_still_work(command: Command, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with vdb.testing.server(compile_kernels=False, data_dir=data) as server:
        server.admin().create_collection("docs", dimension=2)
        old = str(server.admin().create_key(tenant="acme", role="write").key)
        Client(server.url, old).collection("docs").upsert(["a"], [[1, 0]])
    made = command("keys", "create", "--role", "admin", "--data-dir", str(data), "--json")
    assert made.code == ExitCode.OK
    assert check_directory(data) == []
    with vdb.testing.server(compile_kernels=False, data_dir=data) as server:
        replaced = Client(server.url, made.document["key"])
        assert [tenant.name for tenant in replaced.tenants()] == ["acme"]
        assert Client(server.url, old).collection("docs").count() == 1
        known = replaced.keys()
        assert made.document["id"] in [key.id for key in known]


def test_a_lost_key_is_deleted_offline(command: Command, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with vdb.testing.server(compile_kernels=False, data_dir=data) as server:
        lost = server.admin().create_key(role="admin", name="lost")
    place = ("--data-dir", str(data))
    assert "lost" in command("keys", "list", *place).out
    assert command("keys", "show", lost.id, *place, "--json").document["name"] == "lost"
    assert command("keys", "delete", lost.id, *place).code == ExitCode.USAGE
    assert command("keys", "delete", lost.id, "--yes", *place).code == ExitCode.OK
    assert command("keys", "show", lost.id, *place).code == ExitCode.NOT_FOUND
    with vdb.testing.server(compile_kernels=False, data_dir=data) as server, pytest.raises(Unauthenticated):
        Client(server.url, str(lost.key)).collections()


def test_a_rotated_secret_works(command: Command, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with vdb.testing.server(compile_kernels=False, data_dir=data) as server:
        key_id = server.admin().create_key(tenant="acme", role="read").id
    rotated = command("keys", "rotate", key_id, "--data-dir", str(data), "--json").document
    with vdb.testing.server(compile_kernels=False, data_dir=data) as server:
        assert Client(server.url, rotated["key"]).collections() == []


def test_offline_use_makes_no_other_key_and_keeps_that_of_the_environment(command: Command, tmp_path: Path) -> None:
    """A start makes a first admin key, or drops the one of VDB_ADMIN_KEY: this is no start."""
    data = tmp_path / "data"
    with vdb.testing.server(compile_kernels=False, data_dir=data):
        pass
    place = ("--data-dir", str(data))
    before = command("keys", "list", *place, "--json").document["keys"]
    assert [key["id"] for key in before] == ["key-environment"]
    assert command("keys", "create", "--role", "service", *place).code == ExitCode.OK
    after = command("keys", "list", *place, "--json").document["keys"]
    assert len(after) == 2 and before[0] in after


def test_the_keys_of_an_old_directory_are_listed_whole(command: Command, tmp_path: Path) -> None:
    path = golden_copy(tmp_path / "data")
    for _ in range(101):
        assert command("keys", "create", "--role", "service", "--data-dir", str(path)).code == ExitCode.OK
    assert len(command("keys", "list", "--data-dir", str(path), "--json").document["keys"]) > 101


def test_a_directory_that_is_not_there_is_not_made(command: Command, tmp_path: Path) -> None:
    ran = command("keys", "create", "--role", "admin", "--data-dir", str(tmp_path / "typo"))
    assert ran.code == ExitCode.REFUSED and "there is no data directory at" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_held_directory_is_refused_and_says_how_to_go_on(command: Command, tmp_path: Path) -> None:
    holder = DataDirectory(golden_copy(tmp_path / "data"))
    ran = command("keys", "list", "--data-dir", str(tmp_path / "data"))
    assert ran.code == ExitCode.REFUSED and len(ran.err.splitlines()) == 1
    assert "in use by another process (pid " in ran.err and "--url" in ran.err and "VDB_API_KEY" in ran.err
    ran = command("compact", "--data-dir", str(tmp_path / "data"))
    assert ran.code == ExitCode.REFUSED and "stop that process first" in ran.err
    holder.close()


def test_the_server_that_holds_the_directory_is_asked_if_it_is_named(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with vdb.testing.server(compile_kernels=False, data_dir=tmp_path / "data", backup_dir=tmp_path / "b") as server:
        monkeypatch.setenv("VDB_API_KEY", server.admin_key)
        place = ("--data-dir", str(tmp_path / "data"))
        ran = command("keys", "list", *place, "--url", server.url, "--json")
        assert [key["id"] for key in ran.document["keys"]] == ["key-environment"]
        assert ran.err.endswith(f"asking {server.url}\n")
        made = command("backup", "b", *place, "--backup-dir", str(tmp_path / "b"), "--url", server.url, "--json")
        assert made.document["name"] == "b"
        # A server known from the environment may be another one than that which holds the directory.
        monkeypatch.setenv("VDB_URL", server.url)
        assert command("keys", "list", *place).code == ExitCode.REFUSED
