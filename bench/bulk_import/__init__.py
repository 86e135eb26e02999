"""`vdb import` of an ann-benchmarks HDF5 over HTTP: how fast, and what is there after it was killed again and again.

The file is made in a temporary folder. One import runs undisturbed, timed as a whole command. Another is killed
(SIGKILL) at random moments and started again each time, then left to finish. Afterwards every id is read back, so that
a point that is missing, twice or foreign is found, and sampled vectors are compared with the file.
"""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from bench import report
from bench.record import ROOT
from bench.server import Server
from vdb.client import Client, Collection

RATE_BAR = 50_000
_SLICE_ROWS = 50_000
_TENANT = "acme"


def main(arguments: Sequence[str]) -> int:
    """Run the workload; 1 where a bar is missed."""
    parser = report.parser("bulk-import", __doc__)
    parser.add_argument("--n", type=int, default=1_000_000, help="points")
    parser.add_argument("--dim", type=int, default=128, help="dimension")
    parser.add_argument("--kills", type=int, default=20, help="how often the second import is killed")
    parser.add_argument("--sample", type=int, default=2_000, help="vectors compared")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder:
        file = Path(folder) / "points-euclidean.hdf5"
        write_file(file, given.n, given.dim, given.seed)
        with Server(Path(folder)) as server:
            server.await_kernels()
            importer = _Importer(server, file)
            plain = importer.run("plain")
            kills = importer.run_killed("killed", plain, given.kills, random.Random(given.seed))
            with Client(f"http://127.0.0.1:{server.port}", server.admin_key, _TENANT) as client:
                wrong = {name: _wrong_ids(client.collection(name), given.n) for name in ("plain", "killed")}
                differ = _wrong_vectors(client.collection("killed"), file, given.sample, given.seed)
    figures = [
        report.Figure("import, whole command", given.n / plain.took_s, "points/s", RATE_BAR, at_least=True),
        report.Figure("importer CPU", plain.importer_cpu_s * 1e6 / given.n, "us/point"),
        report.Figure("server CPU", plain.server_cpu_s * 1e6 / given.n, "us/point"),
        report.Figure("kills", len(kills), "", given.kills, at_least=True),
        report.Figure("share of kills after the first chunk", _share(kills), ""),
        report.Figure("points missing, twice or foreign, undisturbed", wrong["plain"], "", 0),
        report.Figure("points missing, twice or foreign, killed", wrong["killed"], "", 0),
        report.Figure("sampled vectors that differ", differ, "", 0),
    ]
    return report.publish("bulk-import", arguments, given.results, figures)


def write_file(file: Path, n: int, dimension: int, seed: int) -> None:
    """The HDF5: `train` of normal numbers, in slices that are drawn one by one."""
    with h5py.File(file, "w") as made:
        made.attrs["distance"], made.attrs["type"] = "euclidean", "dense"
        train = made.create_dataset("train", (n, dimension), "f4")
        for start in range(0, n, _SLICE_ROWS):
            rng = np.random.default_rng((seed, start))
            stop = min(start + _SLICE_ROWS, n)
            train[start:stop] = rng.standard_normal((stop - start, dimension), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Run:
    """An undisturbed import: seconds of the whole command, of what it reports itself, and of CPU on either side."""

    took_s: float
    reported_s: float
    importer_cpu_s: float
    server_cpu_s: float


class _Importer:
    """Runs `vdb import` as a process against the server."""

    def __init__(self, server: Server, file: Path) -> None:
        self._server, self._file = server, file
        self._state = file.with_name(file.name + ".vdb-import.json")
        self._environment = os.environ | {"VDB_URL": f"http://127.0.0.1:{server.port}", "VDB_API_KEY": server.admin_key}

    def run(self, collection: str) -> Run:
        server_cpu_s, importer_cpu_s, began = self._server.cpu_s(), _children_cpu_s(), time.perf_counter()
        reported_s = self._finish(self._start(collection))["took_s"]
        took_s = time.perf_counter() - began
        return Run(took_s, reported_s, _children_cpu_s() - importer_cpu_s, self._server.cpu_s() - server_cpu_s)

    def run_killed(self, collection: str, plain: Run, n_kills: int, rng: random.Random) -> list[int]:
        """Import with kills; returns the row from which the run after each kill goes on.

        A kill comes at any moment from the start of the process on, so early that the import lasts for all of them.
        """
        places: list[int] = []
        latest_s = plain.took_s - plain.reported_s + 2.0 * plain.reported_s / (n_kills + 1)
        for _ in range(n_kills):
            process = self._start(collection)
            time.sleep(rng.uniform(0.0, latest_s))
            if process.poll() is not None:
                break
            process.kill()
            process.communicate()
            places.append(self._place())
        self._finish(self._start(collection))
        return places

    def _start(self, collection: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "vdb.cli", "import", str(self._file), "--collection", collection]
        command += ["--tenant", _TENANT, "--create", "--json"]
        return subprocess.Popen(
            command, cwd=ROOT, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def _finish(self, process: "subprocess.Popen[bytes]") -> dict[str, Any]:
        out, err = process.communicate()
        if process.returncode:
            raise AssertionError(f"the import ended with {process.returncode}: {err.decode(errors='replace')[-2000:]}")
        found: dict[str, Any] = json.loads(out)
        return found

    def _place(self) -> int:
        """The row that the next run goes on from."""
        return int(json.loads(self._state.read_text())["row"]) if self._state.exists() else 0


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _share(places: list[int]) -> float:
    return sum(place > 0 for place in places) / max(len(places), 1)


def _wrong_ids(points: Collection, n: int) -> int:
    """How many ids of the rows are missing, and how many points have another or come twice."""
    waiting = np.ones(n, np.bool_)
    n_wrong = 0
    for point in points.scroll(page_size=1000, with_payload=False):
        row = int(point.id) if point.id.isdecimal() else n
        if row < n and waiting[row]:
            waiting[row] = False
        else:
            n_wrong += 1
    n_counted = points.count()
    return n_wrong + int(waiting.sum()) + abs(n_counted - n)


def _wrong_vectors(points: Collection, file: Path, n_sample: int, seed: int) -> int:
    """How many of the sampled rows are not stored bit by bit."""
    with h5py.File(file) as made:
        train = made["train"]
        rows = np.sort(np.random.default_rng(seed).choice(len(train), min(n_sample, len(train)), replace=False))
        n_wrong = 0
        for part in np.array_split(rows, max(len(rows) // 500, 1)):
            stored: dict[str, Any] = {
                point.id: point.vector for point in points.get([str(row) for row in part], with_vector=True)
            }
            n_wrong += sum(str(row) not in stored or not np.array_equal(stored[str(row)], train[row]) for row in part)
    return n_wrong
