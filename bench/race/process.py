"""A contender of a race in a process of its own, asked line by line (`bench/race/peers/serving.py`)."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bench.record import ROOT
from bench.tenants.contender import LeftOut

__all__ = ["LIMIT_S", "PEERS_FOLDER", "Answers", "Process", "Start"]

PEERS_FOLDER = Path(__file__).parent
"""Where `python -m peers.<name>` works."""
_THREADS = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS"), "1"
)
"""Read by the libraries when they are loaded. A contender that builds with more says so itself."""
LIMIT_S = 3_600.0
"""Of one request: a build that takes longer is given up."""
_END_S = 60.0


@dataclass(frozen=True, slots=True)
class Start:
    """What is started: an interpreter, its arguments, and the folder it runs in; ours by default."""

    arguments: tuple[str, ...]
    python: str = sys.executable
    folder: Path = ROOT


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Of one pass: rows int64 (q, k) padded with −1; µs of the clock and of the thread's CPU, float64 (q,).

    `process_us` is the CPU of the whole process per query: more than the thread's where others worked too.
    """

    rows: NDArray[np.int64]
    wall_us: NDArray[np.float64]
    cpu_us: NDArray[np.float64]
    process_us: float


class Process:
    """Started at once; use it in a `with`. Every request raises LeftOut where the contender fails or ends."""

    def __init__(self, start: Start) -> None:
        command = [start.python, *start.arguments]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        self._process = subprocess.Popen(
            command, cwd=start.folder, env=os.environ | _THREADS,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            start_new_session=True,  # Ctrl-C is ours to handle: a library in the middle of a build would not
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            self._kill()
        self.end()

    def ask(self, do: str, **request: object) -> dict[str, Any]:
        """The answer to one request; what a library printed while it was loaded is passed over."""
        assert self._process.stdin is not None and self._process.stdout is not None
        timer = threading.Timer(LIMIT_S, self._kill)
        timer.daemon = True
        timer.start()
        try:
            self._process.stdin.write(json.dumps({"do": do} | request, default=str) + "\n")
            self._process.stdin.flush()
            answers = map(_answer, iter(self._process.stdout.readline, ""))
            found = next((answer for answer in answers if answer is not None), None)
        except BrokenPipeError:
            found = None
        finally:
            timer.cancel()
        if found is None:
            raise LeftOut(self._last_words(do))
        reason = found.get("left out") or found.get("error")
        if reason:
            raise LeftOut(str(reason))
        return found

    def queries(self, queries: Path, setting: str, k: int, n_warm: int) -> Answers:
        """One pass over the queries of a file, the first `n_warm` of them asked before, untimed."""
        with tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder:
            path = Path(folder) / "answers.npz"
            found = self.ask("ask", queries=queries, setting=setting, k=k, n_warm=n_warm, answers=path)
            with np.load(path) as kept:
                return Answers(kept["rows"], kept["wall_us"], kept["cpu_us"], found["process CPU us"])

    def end(self) -> None:
        """Let it end by itself, by force only where it does not; once it has ended this does nothing."""
        if self._process.poll() is None:
            try:
                self._process.communicate('{"do": "end"}\n', timeout=_END_S)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                self._kill()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            with suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()

    def _kill(self) -> None:
        """End it and what it started, now."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _last_words(self, do: str) -> str:
        try:
            code = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:  # it closed its pipes and lives on
            self._kill()
            code = self._process.wait()
        self._errors.seek(0)
        lines: Sequence[str] = self._errors.read().decode(errors="replace").strip().splitlines()
        said = f"; its last line: {lines[-1][:300]}" if lines else ""
        return f"its process ended with code {code} in {do!r} (the limit is {LIMIT_S:.0f} s){said}"


def _answer(line: str) -> dict[str, Any] | None:
    """The answer that a line holds; None where it is something else."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
