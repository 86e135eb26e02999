"""One server with its data in a race: loaded, started anew, asked by one client and by several at once."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.race.process import Answers, Process
from bench.race.servers.program import Program
from bench.race.servers.running import Running
from bench.tenants.contender import LeftOut
from bench.tenants.truth import Judged, judge
from bench.tenants.workload import Float64s, K, Workload

__all__ = ["Asked", "Crowd", "Files", "TakingPart"]

_RIGHT = 0.9
"""The recall of an answer that is right: a search of an index may miss one of ten."""
_ANSWER_S = 120.0
_ENDING_S = 1.0
"""A server whose client has lost it may take so long to be gone."""
_QUIET_S, _SETTLING_S, _QUIET_SHARE = 2.0, 120.0, 0.05
"""A server is quiet once it takes less than this share of a core for so long; so long it may take to be."""

_Found = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Files:
    """Arrays that clients read (.npy): vectors, queries, some of them to warm up with, and one alone."""

    vectors: Path
    queries: Path
    warm: Path
    one: Path


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """One pass of one client: what it got and how long that took, and the server's CPU µs per query."""

    answers: Answers
    server_us: float


@dataclass(frozen=True, slots=True, eq=False)
class Crowd:
    """One pass of several clients at once: queries a second of all, server CPU µs per query, µs of the clock (q,)."""

    qps: float
    server_us: float
    wall_us: Float64s


class TakingPart:
    """A contender under way; `facts` are for the row, of each setting one of `judged` and one list of `passes`.

    Threading: the main thread alone. `stack` holds its server and its client; `close` ends both.
    """

    def __init__(self, name: str, folder: Path, stack: ExitStack) -> None:
        """`folder` is where the server's data and what clients leave each other will lie."""
        self.name, self._folder, self._stack = name, folder, stack
        self.facts: _Found = {}
        self.settings: Sequence[str] = ()
        self.judged: list[Judged] = []
        self.passes: list[list[Asked]] = []
        self.crowds: dict[int, list[Crowd]] = {}
        self.crowd_setting = ""
        self.crowds_failed = ""
        """Why it was not asked by several clients to the end."""
        self._last_words: Callable[[float], str | None] = lambda _: None  # while there is no server

    def enter(self, program: Program, versions: Mapping[str, str]) -> None:
        """Start the server, empty, and a client."""
        self._folder.mkdir(mode=0o755)
        (self._folder / "server").mkdir(mode=0o755)
        self._left = self._folder / "client"
        self._left.mkdir()
        self._running = self._stack.enter_context(Running(program, self._folder / "server"))
        self._last_words = self._running.last_words
        self._client = Process(program.client(self._running.port))
        self._stack.push(lambda *raised: self._client.__exit__(*raised))  # whichever it is by then
        self.facts["packages"] = dict(versions)

    def close(self) -> None:
        """End the client and the server."""
        self._stack.close()

    def reason(self, failed: LeftOut) -> str:
        """Why it drops out: its server's last words where that has ended, else what failed."""
        words = self._last_words(_ENDING_S)
        return str(failed) if words is None else f"the server ended: {words}"

    def load(self, files: Files, metric: str, n_threads: int) -> None:
        """Have a client store all vectors and wait for the index; afterwards the server is let come to rest."""
        print(f"{self.name} is loaded", file=sys.stderr, flush=True)
        empty, began_cpu = self._running.memory(), self._running.cpu_s()
        given: Mapping[str, Any] = {"vectors": files.vectors, "metric": metric, "folder": self._left}
        built = self._client.ask("build", threads=n_threads, **given)
        rest_s = self._rest()
        self.settings = built["settings"]
        self.facts |= {
            "parameters": built["parameters"],
            "build s": built["build s"],
            "build CPU s": self._running.cpu_s() - began_cpu,
            "client's build CPU s": built["build CPU s"],
            "at rest after s": rest_s,
            "anonymous bytes, empty": empty["anonymous bytes"],
            **self._running.memory(),
            "disk bytes": self._running.disk_bytes(),
        }

    def restart(self, files: Files, workload: Workload) -> None:
        """Stop the server, start it, and ask until an answer is right, by a client that is there already."""
        self._client.end()
        self._client = client = Process(self._running.program.client(self._running.port))
        client.ask("start")
        self._running.stop()
        began = time.perf_counter()
        self._running.start()
        thorough = self.settings[-1]
        given: Mapping[str, Any] = {"vectors": files.vectors, "metric": workload.metric, "folder": self._left}
        client.ask("load", k=K, setting=thorough, **given)  # the first setting holds where one is read at a start
        ready_s = time.perf_counter() - began
        while judge(workload, _padded(client.queries(files.one, thorough, K, 0), workload)).recalls[0] < _RIGHT:
            if time.perf_counter() - began > _ANSWER_S:
                raise LeftOut(f"no right answer within {_ANSWER_S:.0f} s of a restart")
        self.facts |= {"restart s": time.perf_counter() - began, "restart until it answers s": ready_s}

    def note_memory(self) -> None:
        """Note what the server has in RAM by now: it was restarted, and asked for everything."""
        self.facts |= {f"{name} after a restart": value for name, value in self._running.memory().items()}

    def one_client(self, files: Files, setting: str, warm: Path) -> Asked:
        """A pass over the queries, after one over those of `warm`; over all of them where the server was started."""
        is_started = self._hold(files, setting)
        self._client.queries(files.queries if is_started else warm, setting, K, 0)
        before = self._running.cpu_s()
        answers = self._client.queries(files.queries, setting, K, 0)
        return Asked(answers, (self._running.cpu_s() - before) * 1e6 / len(answers.wall_us))

    def crowd(self, files: Files, metric: str, n_clients: int) -> Crowd:
        """A pass of so many clients at once, each over all queries, in processes of their own."""
        self._hold(files, self.crowd_setting)
        with ExitStack() as stack:
            start = self._running.program.client(self._running.port)
            clients = [stack.enter_context(Process(start)) for _ in range(n_clients)]
            pool = stack.enter_context(ThreadPoolExecutor(n_clients))
            given: Mapping[str, Any] = {"vectors": files.vectors, "metric": metric, "folder": self._left}
            for client in clients:
                client.ask("load", k=K, setting=self.crowd_setting, **given)

            def asked_by_all(path: Path) -> list[Answers]:
                return list(pool.map(lambda client: client.queries(path, self.crowd_setting, K, 0), clients))

            asked_by_all(files.warm)
            before = self._running.cpu_s()
            answers = asked_by_all(files.queries)
            took_s = self._running.cpu_s() - before
        n = len(answers[0].wall_us)
        qps = sum(n * 1e6 / float(one.wall_us.sum()) for one in answers)
        return Crowd(qps, took_s * 1e6 / (n * n_clients), np.concatenate([one.wall_us for one in answers]))

    def idle(self, seconds: float) -> None:
        """Note what the server takes of a core while nobody asks: while all of them stay up."""
        before = self._running.cpu_s()
        time.sleep(seconds)
        self.facts["CPU ms a second while idle"] = (self._running.cpu_s() - before) * 1e3 / seconds

    def _hold(self, files: Files, setting: str) -> bool:
        """Where a setting holds from the next start on: set it, and start the server anew; whether that was needed."""
        if self._running.program.reads_settings_at_start:
            self._client.queries(files.one, setting, K, 0)
            self._running.stop()
            self._running.start()
        return self._running.program.reads_settings_at_start

    def _rest(self) -> float:
        """Wait until the server is quiet; the seconds that took, the time of watching left out."""
        began = time.monotonic()
        while True:
            before = self._running.cpu_s()
            time.sleep(_QUIET_S)
            took = time.monotonic() - began
            if self._running.cpu_s() - before < _QUIET_SHARE * _QUIET_S:
                return max(0.0, took - _QUIET_S)
            if took > _SETTLING_S:
                return took


def _padded(answers: Answers, workload: Workload) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Answers of the first queries as those of all: the others were not asked."""
    rows = np.full((len(workload.queries), K), -2, np.int64)
    rows[: len(answers.rows)] = answers.rows
    return rows
