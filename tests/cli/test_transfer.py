"""`vdb import` and `vdb export`: the report, exit codes, with a server and without."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import vdb
import vdb.testing
from vdb.cli import main
from vdb.testing import RunningServer

LINES = "\n".join(json.dumps({"id": f"p{i}", "vector": [i, 1.5], "payload": {"n": i}}) for i in range(5))


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with vdb.testing.server(compile_kernels=False) as running:
        yield running


@pytest.fixture
def asked(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> RunningServer:
    """The server that the environment names, with an admin key."""
    monkeypatch.setenv("VDB_URL", server.url)
    monkeypatch.setenv("VDB_API_KEY", server.admin_key)
    return server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text(LINES)
    return path


def test_a_file_goes_in_and_out_of_a_server(
    asked: RunningServer, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", str(source), "--collection", "docs", "--create", "--tenant", "acme", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["n_rows"], report["n_written"], report["n_rejected"]) == (5, 5, 0)
    target = source.with_name("out.npz")
    assert main(["export", str(target), "--collection", "docs", "--tenant", "acme"]) == 0
    shown = capsys.readouterr().out
    assert "n points" in shown and "5" in shown
    with np.load(target) as arrays:
        assert arrays["vectors"].tolist() == [[i, 1.5] for i in range(5)]
    assert main(["export", str(target), "--collection", "docs", "--tenant", "acme"]) == 1
    assert "--force replaces" in capsys.readouterr().err


def test_bad_rows_are_told_by_the_exit_code(
    asked: RunningServer, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source.write_text(LINES + "\nbad\n")
    assert main(["import", str(source), "--collection", "bad", "--create", "--tenant", "acme"]) == 1
    assert "rows.jsonl.rejected.jsonl" in capsys.readouterr().out
    assert main(["import", str(source), "--collection", "bad", "--tenant", "acme", "--max-rejected", "0"]) == 1
    assert "more than 0 rows were rejected" in capsys.readouterr().err


def test_a_directory_needs_no_server(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    wanted = ["--collection", "docs", "--tenant", "acme", "--data-dir", str(data)]
    assert main(["import", str(source), *wanted]) == 2
    assert "is not a data directory" in capsys.readouterr().err and not data.exists()
    assert main(["import", str(source), *wanted, "--create", "--metric", "l2"]) == 0
    target = tmp_path / "out.jsonl"
    assert main(["export", str(target), *wanted, "--filter", '{"field": "n", "gte": 3}', "--base64"]) == 0
    assert [json.loads(line)["id"] for line in target.read_text().splitlines()] == ["p3", "p4"]
    with vdb.open(data, tenant="acme") as database:
        assert database.get_collection("docs").metric == "l2"
        capsys.readouterr()
        assert main(["import", str(source), *wanted]) == 1
    assert "--url" in capsys.readouterr().err


def test_every_tenant_goes_to_a_file_of_its_own(
    asked: RunningServer, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for tenant in ("acme", "globex"):
        assert main(["import", str(source), "--collection", "shared", "--create", "--tenant", tenant]) == 0
    asked.admin().collection("shared", tenant="acme").delete(["p0"])
    (tmp_path / "out-globex.jsonl").write_text("complete")
    command = ["export", str(tmp_path / "out-{tenant}.jsonl"), "--collection", "shared", "--all-tenants"]
    capsys.readouterr()
    assert main([*command, "--json"]) == 0
    (made,) = json.loads(capsys.readouterr().out)["exports"]
    assert (made["target"], made["n_points"]) == (str(tmp_path / "out-acme.jsonl"), 4)
    assert (tmp_path / "out-globex.jsonl").read_text() == "complete"
    assert main([*command, "--force"]) == 0
    assert len((tmp_path / "out-globex.jsonl").read_text().splitlines()) == 5
    assert main([*command, "--tenant", "acme"]) == 2
    assert main(["export", str(tmp_path / "x.jsonl"), "--collection", "shared", "--all-tenants"]) == 1
    assert "{tenant} in it" in capsys.readouterr().err


def test_a_missing_collection_is_not_found(
    asked: RunningServer, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", str(source), "--collection", "nowhere", "--tenant", "acme"]) == 4
    assert "--create makes it" in capsys.readouterr().err
    assert main(["export", str(source) + ".npz", "--collection", "nowhere", "--tenant", "acme"]) == 4


@pytest.mark.parametrize(
    "wrong",
    [
        ["import", "x.jsonl"],
        ["import", "x.jsonl", "--collection", "docs", "--format", "csv"],
        ["import", "x.jsonl", "--collection", "docs", "--in-flight", "0"],
        ["import", "x.jsonl", "--collection", "docs", "--max-rejected", "-1"],
        ["export", "x.npy", "--collection", "docs", "--format", "npy"],
        ["export", "x.jsonl", "--collection", "docs", "--filter", "{"],
    ],
)
def test_a_wrong_command_line_is_told(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(wrong)
    assert ended.value.code == 2 and "usage: vdb" in capsys.readouterr().err


def test_a_directory_and_a_server_exclude_each_other(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(source), "--collection", "docs", "--data-dir", "x", "--url", "http://127.0.0.1:1"]) == 2
    assert "give one of them" in capsys.readouterr().err


def test_a_key_of_another_tenant_does_not_go_on(
    asked: RunningServer,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A bound key names no tenant, so only what was written tells whose import it is."""
    admin = asked.admin()
    admin.create_collection("whose", 2)
    keys = {name: str(admin.create_key(tenant=name, role="write").key) for name in ("first", "second")}
    source.write_text(LINES + "\nbad\n" * 2)
    command = ["import", str(source), "--collection", "whose", "--max-rejected", "0"]
    monkeypatch.setenv("VDB_API_KEY", keys["first"])
    assert main(command) == 1
    monkeypatch.setenv("VDB_API_KEY", keys["second"])
    capsys.readouterr()
    assert main([*command[:-1], "9"]) == 1
    assert "is of an import for tenant 'first'" in capsys.readouterr().err
    assert admin.collection("whose", tenant="second").count() == 0
