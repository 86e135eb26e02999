"""`vdb` itself: it starts light, shows help, ends with the right code, and says faults in one line."""

import argparse
import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_commands import COMMANDS
from tests.house.sources import ROOT
from tests.house.test_boundaries import HEAVY
from vdb import __version__, errors
from vdb.cli import main
from vdb.cli.commands import Commands
from vdb.cli.exit_codes import ExitCode, exit_code_of
from vdb.cli.output import Output
from vdb.cli.printable import printable


def test_help_loads_nothing_heavy() -> None:
    heavy = (*HEAVY, "numpy", "msgspec", "vdb.engine", "vdb.client", "vdb_api")
    code = f"""import sys
from vdb.cli import main
try:
    main(["--help"])
except SystemExit:
    print(*sorted(set(sys.modules) & set({heavy!r})), file=sys.stderr)"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.startswith("usage: vdb ") and run.stderr.split() == []


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"vdb {__version__}\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert "examples:\n" in shown and f"vdb {command}" in shown.partition("examples:")[2]


@pytest.mark.parametrize("arguments", [[], ["no-such-command"], ["check", "--no-such-option"], ["check", "--data"]])
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == ExitCode.USAGE
    assert capsys.readouterr().err.startswith("usage: vdb")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidArgument(), 1),
        (errors.Conflict(), 1),
        (errors.DirectoryLocked(), 1),
        (errors.RateLimited(), 1),
        (errors.MethodNotAllowed(), 1),
        (errors.TransportError(), 3),
        (errors.TransportTimeout(), 3),
        (errors.CollectionNotFound(), 4),
        (errors.NotFound(), 4),
        (errors.KeyExpired(), 5),
        (errors.SharingForbidden(), 5),
    ],
)
def test_an_error_has_its_exit_code(error: errors.VdbError, code: int) -> None:
    assert exit_code_of(error) == code


def _raising(monkeypatch: pytest.MonkeyPatch, exc: BaseException) -> None:
    def run(given: argparse.Namespace, output: Output) -> int:
        raise exc

    def parse(arguments: object) -> argparse.Namespace:
        parser = argparse.ArgumentParser()
        Commands(parser).add("fail", run, "fail")
        return parser.parse_args(["fail", *arguments])  # type: ignore[misc]

    monkeypatch.setattr("vdb.cli.parse", parse)


def test_an_error_is_one_line_and_with_json_a_problem_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _raising(monkeypatch, errors.InvalidFilter.at("/filter", "no\x1b[2Jsuch\nfield"))
    assert main([]) == 1
    assert capsys.readouterr() == ("", "vdb: no\\x1b[2Jsuch\\nfield\n")
    assert main(["--json"]) == 1
    out, err = capsys.readouterr()
    problem = {"pointer": "/filter", "detail": "no\x1b[2Jsuch\nfield"}
    assert out == "" and json.loads(err.splitlines()[1]) == {
        "code": "invalid_filter",
        "detail": problem["detail"],
        "errors": [problem],
    }


def test_a_file_that_may_not_be_read_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _raising(monkeypatch, PermissionError(errno.EACCES, "Permission denied", "/data/secret"))
    assert main([]) == 1
    assert capsys.readouterr() == ("", "vdb: /data/secret: Permission denied\n")


def test_an_interrupt_ends_with_130_and_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _raising(monkeypatch, KeyboardInterrupt())
    assert main([]) == ExitCode.INTERRUPTED
    assert capsys.readouterr() == ("", "")


def test_a_reader_that_leaves_ends_the_command_in_silence(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run(
        [sys.executable, "-m", "vdb.cli", "check", "--data-dir", str(tmp_path)],
        cwd=ROOT,
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    assert (run.returncode, run.stderr) == (ExitCode.PIPE_CLOSED, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        run = subprocess.run(
            [sys.executable, "-m", "vdb.cli", "check", "--data-dir", str(tmp_path)],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (run.returncode, run.stderr) == (1, f"vdb: cannot write the output: {os.strerror(errno.ENOSPC)}\n")


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("check --data-dir . >&-", 0, ""),
        ("check --data-dir nothing 2>&-", 1, ""),
        ("search docs --vector - <&-", 2, "standard input: not JSON"),
        ("backup delete b --backup-dir . <&-", 2, "give --yes"),
    ],
)
def test_closed_streams_are_no_bug(tmp_path: Path, line: str, code: int, said: str) -> None:
    command = f"'{sys.executable}' -m vdb.cli {line}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == code, run
    assert said in run.stderr and "internal error" not in run.stderr


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 中 🙂", "plain ü 中 🙂"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\x9b31mb\x7f", "a\\x9b31mb\\x7f"),
        ("first\r\nsecond\t", "first\\r\\nsecond\\t"),
        ("txt\u202egpj.exe", "txt\\u202egpj.exe"),
        ("\udc80", "\\udc80"),
    ],
)
def test_text_cannot_steer_the_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_json_cannot_steer_the_terminal_and_stays_the_same_document() -> None:
    stream = io.StringIO()
    value = {"name": "\x1b[2J\x9b\u202e\u2028ü"}
    Output(stream, stream, is_json=True).document(value)
    assert stream.getvalue()[:-1].isprintable()
    assert json.loads(stream.getvalue()) == value


@pytest.mark.parametrize("encode", ["ascii", "latin-1"])
def test_a_terminal_without_unicode_gets_escapes(encode: str) -> None:
    raw = io.BytesIO()
    output = Output(io.TextIOWrapper(raw, encoding=encode), io.StringIO())
    output.line("中")
    output.flush()
    assert raw.getvalue() == b"\\u4e2d\n"
