"""Contenders in processes of their own: built into the cache, asked under a cap of memory."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.disk.cap import capped
from bench.record import ROOT
from bench.tenants.contender import LeftOut
from bench.tenants.workload import K, Workload

ANONYMOUS_SHARE, CACHE_SHARE, GRANT_BYTES = 0.06, 0.25, 5
"""Of the raw vectors that anonymous memory may be, and pages of files in RAM; bytes of each granted pair."""
LEAST_CAP_BYTES = 64 << 20
"""Smaller sets are capped by this: a process needs some for itself."""
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Read by the libraries when they are loaded, so a process is started with them."""

Found = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Program:
    """What is started to build or to ask a contender: an interpreter, its arguments, and the folder it runs in."""

    python: str
    arguments: tuple[str, ...]
    folder: Path = ROOT

    def run(self, arguments: Sequence[str], threads: int = 1) -> Found:
        """What it has to say. Raises LeftOut where it fails."""
        environment = os.environ | {name: str(threads) for name in THREADS}
        with tempfile.TemporaryDirectory(prefix="vdb-bench-") as place:
            answer = Path(place) / "answer.json"
            command = [self.python, *self.arguments, *arguments, "--answer", str(answer)]
            done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, check=False)
            if done.returncode or not answer.exists():
                said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
                raise LeftOut(f"its process ended with {done.returncode}: {' '.join(said)}")
            found: Found = json.loads(answer.read_text(encoding="utf-8"))
            return found


OURS = Program(sys.executable, ("-m", "bench.disk.ours"))


def ram_bytes(workload: Workload) -> int:
    """Anonymous memory that an index of these points may take."""
    return int(ANONYMOUS_SHARE * workload.raw_bytes) + GRANT_BYTES * workload.access.n_grants


def ask(
    program: Program, workload: Workload, folder: Path, clients: Sequence[int], is_quick: bool, target: float = 0.0
) -> Found:
    """Ask the index in a folder what the workload asks.

    Raises LeftOut where its process fails, RuntimeError where that is ours: without it there is nothing to compare.
    """
    allowed = ram_bytes(workload)
    with tempfile.TemporaryDirectory(prefix="vdb-bench-") as place:
        asked = Path(place) / "asked.npz"
        np.savez(asked, queries=workload.queries, askers=workload.askers, right=workload.truth.ids[:, :K])
        with capped(max(LEAST_CAP_BYTES, allowed + int(CACHE_SHARE * workload.raw_bytes))) as group:
            entrance = [] if group is None else ["--group", str(group.entrance)]
            how = ["--ram-bytes", str(allowed), "--target", repr(target), "--clients", *map(str, clients)]
            how += ["--seconds", "0.2" if is_quick else "2"]
            try:
                found = program.run(["ask", "--folder", str(folder), "--asked", str(asked), *how, *entrance])
            except LeftOut as exc:
                if program is OURS:
                    raise RuntimeError(f"ours: {exc}") from exc
                raise
        return found | {"capped": group is not None}
