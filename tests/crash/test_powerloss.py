"""The power-loss harness in small; `python -m bench powerloss` is the same at full size."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from bench.powerloss import missing
from bench.powerloss.disk import Disk
from bench.powerloss.events import Event, Operation
from bench.record import ROOT

needs_recorder = pytest.mark.skipif(bool(missing()), reason=missing() or "it can run")
RECORDED = Path("/recorded")


def _event(operation: Operation, fd: int = -1, offset: int = 0, path: str = "", data: bytes = b"") -> Event:
    return Event(operation, False, fd, offset, str(RECORDED / path) if path else "", data)


def _run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """The harness in a process of its own: it forks, which a process with threads should not."""
    command = [sys.executable, "-m", "bench", "powerloss", "--prefixes", "20", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@needs_recorder
def test_a_power_failure_loses_no_acknowledged_write() -> None:
    run = _run("--seed", "21")
    assert run.returncode == 0, run.stdout + run.stderr


@needs_recorder
@pytest.mark.parametrize("control", ["no-sync", "no-folder-sync"])
def test_an_engine_that_does_not_sync_is_found_out(control: str) -> None:
    run = _run("--seed", "22", "--control", control)
    assert (run.returncode, "lost" in run.stdout) == (1, True), run.stdout + run.stderr


def test_a_lost_folder_entry_takes_its_synced_file_with_it(tmp_path: Path) -> None:
    disk = Disk(RECORDED)
    disk.apply(_event(Operation.OPEN, 3, 0, "file"))
    disk.apply(_event(Operation.WRITE, 3, 0, data=b"synced"))
    disk.apply(_event(Operation.SYNC, 3))
    outcomes = set()
    for seed in range(20):
        target = tmp_path / str(seed)
        target.mkdir()
        disk.fail(target, random.Random(seed), None)
        outcomes.add((target / "file").read_bytes() if (target / "file").exists() else None)
    assert outcomes == {None, b"synced"}


def test_what_was_synced_survives_and_the_rest_may_be_torn(tmp_path: Path) -> None:
    disk = Disk(RECORDED)
    disk.apply(_event(Operation.OPEN, 3, 0, "file"))
    disk.apply(_event(Operation.WRITE, 3, 0, data=b"a" * 8192))
    disk.apply(_event(Operation.SYNC, 3))
    disk.apply(Event(Operation.OPEN, False, 4, 0, str(RECORDED), b""))
    disk.apply(_event(Operation.SYNC, 4))
    disk.apply(_event(Operation.WRITE, 3, 4096, data=b"b" * 8192))
    outcomes = set()
    for seed in range(40):
        target = tmp_path / str(seed)
        target.mkdir()
        disk.fail(target, random.Random(seed), None)
        content = (target / "file").read_bytes()
        assert content[:4096] == b"a" * 4096
        outcomes.add(content[4096:])
    assert b"a" * 4096 in outcomes
    assert b"b" * 8192 in outcomes
    assert len(outcomes) > 2
