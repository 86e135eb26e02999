"""Backups under load: 100 while points are written and deleted; each restores to one instant; how long writes wait.

Three writers over two collections and one of collections themselves load a server over HTTP, beside a collection of
ballast that makes the copies take time. Afterwards every backup is restored, checked as by `vdb check`, and what it
holds is held against the writers' histories: of each exactly its first so many requests, over all collections, and of
all of them one instant. The bar of the pause is 20 ms and one commit, as a quiet writer waits for it.
"""

import random
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from bench import report, samples
from bench.backup.history import History, faults_of
from bench.backup.load import CATALOG, COLLECTIONS, DIMENSION, Founder, Writer, run_beside
from bench.backup.restored import BALLAST, states_of
from bench.crash.access import HttpAccess
from bench.server import Server

TENANTS = ["acme", "globex", "initech"]
PAUSE_MS = 20.0
BALLAST_DIMENSION = 64
QUIET_WRITES = 50
SHOWN_FAULTS = 5


@dataclass(frozen=True, slots=True)
class Made:
    """A backup: when it was asked for and answered, and what the server says of it."""

    name: str
    asked_at: float
    answered_at: float
    pause_ms: float
    n_bytes: int


def main(arguments: Sequence[str]) -> int:
    """Run the workload; 1 where a bar is missed."""
    parser = report.parser("backup", __doc__)
    parser.add_argument("--backups", type=int, default=100, help="how many (default: 100)")
    parser.add_argument("--ballast", type=int, default=50_000, help="points that nobody changes (default: 50,000)")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder:
        return report.publish(
            "backup", arguments, given.results, run(Path(folder), given.backups, given.ballast, given.seed)
        )


def run(folder: Path, n_backups: int, n_ballast: int, seed: int) -> list[report.Figure]:
    """The figures of `n_backups` backups."""
    rng = random.Random(seed)
    histories = [History(name) for name in (*TENANTS, CATALOG)]
    with Server(folder, backup_dir=folder / "backups", log_requests=0) as server:
        _furnish(server, n_ballast)
        commit_ms = _quiet_write_ms(server)
        made, threads = _back_up(server, histories, n_backups, rng)
    faults = _judge(folder, histories, made, n_ballast)
    for fault in faults[:SHOWN_FAULTS]:
        print(fault)
    pauses = [backup.pause_ms for backup in made]
    n_writes = sum(len(history.requests) for history in histories)
    seconds = made[-1].answered_at - made[0].asked_at
    return [
        report.Figure("backups of one instant", n_backups - len({f.partition(":")[0] for f in faults}), "backups",
                      n_backups, at_least=True),
        report.Figure("faults", len(faults), "faults", 0),
        report.Figure("pause, longest", max(pauses), "ms", PAUSE_MS + commit_ms),
        report.Figure("pause, median", statistics.median(pauses), "ms"),
        report.Figure("one quiet durable write", commit_ms, "ms"),
        report.Figure("a write's longest wait", max(thread.longest_s for thread in threads) * 1e3, "ms"),
        report.Figure("time of a backup, median",
                      statistics.median(b.answered_at - b.asked_at for b in made) * 1e3, "ms"),
        report.Figure("size of a backup, median", statistics.median(b.n_bytes for b in made) / 1e6, "MB"),
        report.Figure("requests meanwhile", n_writes, "requests"),
        report.Figure("requests per second", n_writes / seconds, "1/s"),
    ]  # fmt: skip


def _furnish(server: Server, n_ballast: int) -> None:
    for name in COLLECTIONS:
        server.make_collection(name, DIMENSION)
    server.make_collection(BALLAST, BALLAST_DIMENSION)
    key = server.make_key("ballast")
    vectors = samples.unit_vectors(n_ballast, BALLAST_DIMENSION, seed=1)
    with server.connect() as connection:
        for start in range(0, n_ballast, 1000):
            connection.exchange(samples.binary_upsert(BALLAST, key, start, vectors[start : start + 1000]))


def _quiet_write_ms(server: Server) -> float:
    """The median wait for one point to be durable while nothing else happens."""
    waits = []
    with closing(HttpAccess(server.port, server.admin_key)) as access:
        for i in range(QUIET_WRITES):
            began = time.monotonic()
            access.run("upsert", (BALLAST,), {"points": [{"id": "quiet", "payload": {"i": i}}]}, "quiet")
            waits.append(time.monotonic() - began)
        access.run("delete_points", (BALLAST,), {"ids": ["quiet"]}, "quiet")
    return statistics.median(waits) * 1e3


def _back_up(
    server: Server, histories: list[History], n_backups: int, rng: random.Random
) -> tuple[list[Made], list[Writer]]:
    stop, made = threading.Event(), list[Made]()
    with ExitStack() as opened:

        def connect() -> HttpAccess:
            return opened.enter_context(closing(HttpAccess(server.port, server.admin_key)))

        threads = [
            (Founder if history.name == CATALOG else Writer)(
                history, connect(), random.Random(rng.getrandbits(64)), stop
            )
            for history in histories
        ]
        admin = connect()

        def back_up() -> None:
            for i in range(n_backups):
                asked_at = time.monotonic()
                answer = admin.run("create_backup", (), {"name": f"b{i}"})
                made.append(Made(f"b{i}", asked_at, time.monotonic(), answer["pause_ms"], answer["bytes"]))

        run_beside(threads, back_up, stop)
    return made, threads


def _judge(folder: Path, histories: list[History], made: list[Made], n_ballast: int) -> list[str]:
    """Restore each backup, hold it against the histories, and remove it."""
    faults = []
    for backup in made:
        place, restored = folder / "backups" / backup.name, folder / f"restored-{backup.name}"
        states, found = states_of(place, restored, TENANTS, n_ballast)
        found += faults_of(histories, states, backup.asked_at, backup.answered_at)
        faults += [f"{backup.name}: {fault}" for fault in found]
        shutil.rmtree(place)
        shutil.rmtree(restored)
    return faults
