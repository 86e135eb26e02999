"""`vdb serve`: its options are the settings, and `--print-settings` says where each came from."""

import json
import os
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from vdb.cli import main
from vdb.cli.parser import parse
from vdb.cli.serve import NOT_OPTIONS
from vdb.config import BLAS_VARIABLES, Settings, limit_blas_threads
from vdb.layered import flag_of


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VDB_CONFIG", *(f"VDB_{field.name.upper()}" for field in fields(Settings))):
        monkeypatch.delenv(name, raising=False)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["serve", "--print-settings", *arguments]) == 0
    return capsys.readouterr().out


def test_every_setting_but_secrets_is_an_option() -> None:
    for field in fields(Settings):
        if field.name not in NOT_OPTIONS:
            given = parse(["serve", flag_of(field.name), *([] if isinstance(field.default, bool) else [_text(field)])])
            assert getattr(given, field.name) is not None


def _text(field: object) -> str:
    default = field.default  # type: ignore[attr-defined]
    return "1" if isinstance(default, (int, float)) else {"info": "debug", "auto": "cpu"}.get(str(default), "x")


def test_a_secret_is_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["serve", "--admin-key", "a-secret-of-some-length"])
    assert "unrecognized" in capsys.readouterr().err


def test_each_value_is_printed_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "vdb.toml"
    path.write_text('n_readers = 7\nport = 1\nhost = "::1"\n')
    monkeypatch.setenv("VDB_PORT", "2")
    monkeypatch.setenv("VDB_HOST", "127.0.0.2")
    monkeypatch.setenv("VDB_ADMIN_KEY", "a-secret-of-some-length")
    text = printed(capsys, "--config", str(path), "--port", "3", "--no-log-requests")
    lines = text.splitlines()
    assert f"n_readers = 7  # {path}" in lines
    assert 'host = "127.0.0.2"  # VDB_HOST' in lines
    assert "port = 3  # --port" in lines
    assert "log_requests = false  # --log-requests" in lines
    assert "n_writers = 2  # default" in lines
    assert "a-secret" not in text
    assert tomllib.loads(text)["port"] == 3


def test_the_json_form_has_values_and_origins_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VDB_ADMIN_KEY", "a-secret-of-some-length")
    text = printed(capsys, "--json", "--memory-bytes", "5")
    document = json.loads(text)
    assert document["settings"]["memory_bytes"] == 5
    assert document["settings"]["admin_key"] == "***"
    assert document["origins"] == {"admin_key": "VDB_ADMIN_KEY", "memory_bytes": "--memory-bytes"}


def test_a_bad_file_is_one_line_and_an_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "vdb.toml"
    path.write_text("prot = 1\n")
    assert main(["serve", "--config", str(path), "--data-dir", str(tmp_path / "data")]) == 1
    assert capsys.readouterr().err == f"vdb: {path}: 'prot' is no setting: did you mean 'port'?\n"
    assert not (tmp_path / "data").exists()


def test_a_bug_that_ends_the_server_leaves_its_trace_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("vdb_api.server.serve", broken)
    assert main(["serve", "--data-dir", str(tmp_path)]) == 1
    (record,) = caplog.records
    assert record.levelname == "CRITICAL" and record.exc_info is not None


def test_the_linear_algebra_library_gets_one_thread_unless_the_environment_says_otherwise() -> None:
    """With one per core writes took several times the CPU, and training held searches up for milliseconds."""
    bare = {"PATH": "/bin", "OMP_NUM_THREADS": ""}
    limit_blas_threads(bare)
    assert bare == {"PATH": "/bin"} | dict.fromkeys(BLAS_VARIABLES, "1")
    given = {"OMP_NUM_THREADS": "4"}
    limit_blas_threads(given)
    assert given == {"OMP_NUM_THREADS": "4"}


COUNTING = """
import os, sys, types
from vdb.cli import main

def serve(*given):
    import numpy
    square = numpy.ones((600, 600), numpy.float32)
    square @ square
    print(len(os.listdir("/proc/self/task")))

sys.modules["vdb_api"], sys.modules["vdb_api.server"] = types.ModuleType("vdb_api"), types.ModuleType("vdb_api.server")
sys.modules["vdb_api.server"].serve = serve
assert "numpy" not in sys.modules
sys.exit(main(["serve"]))
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted as Linux tells them")
def test_the_server_starts_no_threads_of_the_linear_algebra_library() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in BLAS_VARIABLES}
    run = subprocess.run([sys.executable, "-c", COUNTING], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["1"]
