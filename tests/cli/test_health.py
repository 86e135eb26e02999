"""`vdb health`: an exit code for container health checks, with and without TLS."""

import socket
from pathlib import Path

import pytest

from tests.api.certificates import Authority
from tests.api.test_api_server import ended, serving, started
from vdb.cli import main
from vdb.cli.exit_codes import ExitCode


def test_a_server_that_lives_and_is_ready_is_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with started(*serving(tmp_path / "data", "--host", "0.0.0.0"), VDB_ADMIN_KEY="k" * 20) as (process, _, port):
        where = ["--host", "0.0.0.0", "--port", str(port)]
        assert main(["health", *where]) == ExitCode.OK
        assert main(["health", "--ready", *where]) == ExitCode.OK
        assert capsys.readouterr().out == "alive\nready\n"
        assert ended(process)[0] == 0


def test_a_server_with_tls_is_found_by_its_settings_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cert, key = Authority(tmp_path).issue()
    config = tmp_path / "vdb.toml"
    config.write_text(f'tls_cert = "{cert}"\ntls_key = "{key}"\nadmin_key_file = "{tmp_path / "key"}"\n')
    (tmp_path / "key").write_text("k" * 20)
    with started(*serving(tmp_path / "data", "--config", str(config))) as (process, _, port):
        (tmp_path / "key").unlink()  # a health check may not be allowed to read it, and does not need to
        assert main(["health", "--config", str(config), "--port", str(port)]) == ExitCode.OK
        assert main(["health", "--port", str(port)]) == ExitCode.UNREACHABLE  # plain HTTP gets no answer
        assert "no answer from 127.0.0.1" in capsys.readouterr().err
        assert ended(process)[0] == 0


def test_nobody_there_is_3(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        assert main(["health", "--port", str(port)]) == ExitCode.UNREACHABLE
    assert capsys.readouterr().err.startswith(f"vdb: no answer from 127.0.0.1:{port}: ")
