"""The server as a process: its first lines, its refusals, and an end that loses nothing."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.api.stub_engine import SLOW_WRITE_S
from tests.api.test_api_decode import BODIES

LIMIT_S = 60
STUB = ("-m", "tests.api.stub_engine")


@contextmanager
def started(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    """A server process, its first line, and its port."""
    command = [sys.executable, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env={"PATH": "/usr/bin:/bin", **environment}, **pipes) as process:  # type: ignore[call-overload]
        try:
            first = process.stdout.readline()
            found = re.search(r":(\d+)$", first.strip())
            yield process, first, int(found[1]) if found else 0
        finally:
            process.kill()


def serving(directory: Path, *arguments: str) -> tuple[str, ...]:
    return ("-m", "vdb.cli", "serve", "--data-dir", str(directory), "--port", "0", *arguments)


def ended(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
    process.send_signal(number)
    out, err = process.communicate(timeout=LIMIT_S)
    return process.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_finishes_the_write_in_flight(number: signal.Signals) -> None:
    with started(*STUB) as (process, _, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
        headers = {"Authorization": "Bearer write"}
        connection.request("POST", "/v1/collections/notes/points", json.dumps(BODIES["upsert"]), headers)
        time.sleep(SLOW_WRITE_S / 4)
        process.send_signal(number)
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())) == (200, {"sequence": 7})
        _, err = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0
        assert err.endswith("closed\n")
        assert "Traceback" not in err


def test_a_connection_survives_a_refused_body() -> None:
    with started(*STUB) as (_, _, port), socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as client:
        head = "POST /v1/collections/notes/points HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n"
        client.sendall((head + "\r\n").encode() + b"x" * 300_000)
        assert client.recv(65536).startswith(b"HTTP/1.1 401 ")
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        received = b""
        while b"alive" not in received:
            part = client.recv(65536)
            assert part, received
            received += part
        assert b"HTTP/1.1 200 " in received


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_probe_with_head_gets_the_head_alone(path: str) -> None:
    with started(*STUB) as (_, _, port), socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as client:
        client.sendall(f"HEAD {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        received = b"".join(iter(lambda: client.recv(4096), b""))
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"content-length: " in received.lower() and received.endswith(b"\r\n\r\n")


def test_the_first_start_shows_url_key_and_a_curl_line_once(tmp_path: Path) -> None:
    with started(*serving(tmp_path / "data")) as (process, first, port):
        assert first == f"URL: http://127.0.0.1:{port}\n"
        key = process.stdout.readline().removeprefix("Admin key (shown once): ").strip()  # type: ignore[union-attr]
        curl = process.stdout.readline()  # type: ignore[union-attr]
        assert curl.startswith(f'Try: curl http://127.0.0.1:{port}/v1/collections -H "Authorization: Bearer {key}"')
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
        connection.request("POST", "/v1/collections", curl.split("'")[1], {"Authorization": f"Bearer {key}"})
        assert connection.getresponse().status == 201
        connection.close()
        code, out, err = ended(process)
        assert (code, out) == (0, "")
        assert key not in err
        assert all(json.loads(line) for line in err.splitlines())
    with started(*serving(tmp_path / "data")) as (process, _, _):
        assert process.stdout.readline().startswith("Try: curl ")  # type: ignore[union-attr]
        assert ended(process)[0] == 0


def test_a_hangup_ends_nothing(tmp_path: Path) -> None:
    with started(*serving(tmp_path / "data")) as (process, _, port):
        process.send_signal(signal.SIGHUP)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()
        assert ended(process)[0] == 0


def test_a_metrics_port_needs_no_key(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        metrics_port = free.getsockname()[1]
    with started(*serving(tmp_path / "data", "--metrics-port", str(metrics_port))) as (process, _, _):
        connection = http.client.HTTPConnection("127.0.0.1", metrics_port, timeout=LIMIT_S)
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        assert answer.status == 200
        assert b"process_cpu_seconds_total" in answer.read()
        connection.request("GET", "/v1/limits")
        assert connection.getresponse().status == 404
        connection.close()
        assert ended(process)[0] == 0


def refused(*arguments: str, **environment: str) -> str:
    """The one line that a server which will not start says."""
    with started(*arguments, **environment) as (process, first, _):
        _, err = process.communicate(timeout=LIMIT_S)
        assert (process.returncode, first) == (1, "")
        (line,) = err.splitlines()
        return line


def test_a_taken_port_is_one_line_and_makes_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        line = refused("-m", "vdb.cli", "serve", "--data-dir", str(tmp_path / "data"), "--port", str(port))
    assert line.startswith(f"vdb: cannot listen on 127.0.0.1:{port}: ")
    assert not (tmp_path / "data").exists()


def test_a_second_server_on_a_directory_is_refused(tmp_path: Path) -> None:
    with started(*serving(tmp_path / "data")) as (process, _, _):
        assert refused(*serving(tmp_path / "data")).startswith("vdb: ")
        assert ended(process)[0] == 0


def test_an_address_of_the_network_needs_a_key_first(tmp_path: Path) -> None:
    line = refused(*serving(tmp_path / "data", "--host", "0.0.0.0"))
    assert "VDB_ADMIN_KEY" in line
    assert not (tmp_path / "data").exists()


def test_more_than_one_worker_is_refused(tmp_path: Path) -> None:
    assert "more than one worker" in refused(*serving(tmp_path / "data"), WEB_CONCURRENCY="2")
