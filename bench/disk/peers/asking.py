"""Builds one index, or asks it warm and cold, in a process of its own whose memory is capped.

The cheapest effort that reaches the recall asked for is found first, without the cap. Then the process joins the group
that caps it: what it loaded before stays outside, so the cap is on what the index adds, its anonymous memory and the
pages of its files. Warm: few queries, asked once untimed, then again and again. Steady: all queries in turn, once
untimed and once timed; they may need more than the cap has room for. Cold: the index is closed, the pages of its files
are given up, it is opened again, what of the files is in RAM is counted, then as many queries as there are clients are
asked at once. Floor: the pages that a cold query left in RAM, read by `WILLNEED` on all and `pread` of each in a run of
its own. Bytes read are those that the system fetched from storage for this process.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .contender import Contender, Peer, Rows
from .pages import PAGE_BYTES, anonymous_bytes, floor_s, forget, read_bytes, resident, trim

K = 10
N_WARM, N_COLD = 200, 100
PASS_S = 30.0
"""A pass over queries ends then, with those that were asked."""


@dataclass
class Asked:
    """Queries float32 (q, d), who asks each int32 (q,), and the right rows int64 (q, k), padded with −1."""

    queries: NDArray[np.float32]
    askers: NDArray[np.int32]
    right: NDArray[np.int64]

    @classmethod
    def read(cls, path: Path) -> Asked:
        """What `np.savez` wrote under these names."""
        with np.load(path) as kept:
            return cls(kept["queries"], kept["askers"], kept["right"][:, :K])

    def recall(self, answers: Sequence[Rows]) -> float:
        """Of the answers to the first queries."""
        right = self.right[: len(answers)]
        n_right = sum(len(set(mine.tolist()) & set(some[some >= 0].tolist())) for mine, some in zip(answers, right))
        return n_right / int((right >= 0).sum())


@dataclass
class Answer:
    """To query `i`: rows, and the seconds that it took, of the clock and of the thread's CPU."""

    i: int
    rows: Rows
    took_s: float
    cpu_s: float


@dataclass
class Session:
    """A contender and what it is asked; `effort` is set once it is known."""

    contender: Contender
    asked: Asked
    effort: int = 0

    def one(self, i: int) -> Answer:
        """The answer to query i."""
        query, asker = self.asked.queries[i], int(self.asked.askers[i])
        began, began_cpu = time.perf_counter(), time.thread_time()
        found = self.contender.search(asker, query, K, self.effort)
        took_cpu = time.thread_time() - began_cpu
        return Answer(i, found, time.perf_counter() - began, took_cpu)

    def choose(self, target: float) -> list[tuple[int, float]]:
        """Take the cheapest effort whose recall is the target, else the most thorough; each tried, and its recall."""
        tried: list[tuple[int, float]] = []
        for effort in self.contender.efforts:
            self.effort = effort
            answers = [self.one(i).rows for i in range(len(self.asked.queries))]
            tried.append((effort, self.asked.recall(answers)))
            if tried[-1][1] >= target:
                break
        return tried

    def once(self, n: int) -> dict[str, Any]:
        """The first n queries in turn, or as many of them as `PASS_S` allow."""
        began, before = time.perf_counter(), read_bytes()
        answers = [self.one(i) for i in range(n) if time.perf_counter() - began < PASS_S]
        return _figures(answers, time.perf_counter() - began, read_bytes() - before)

    def again(self, n: int, n_clients: int, seconds: float) -> dict[str, Any]:
        """The first n queries again and again, by threads that each begin elsewhere."""
        began, before = time.perf_counter(), read_bytes()

        def ask(client: int) -> list[Answer]:
            answers: list[Answer] = []
            while time.perf_counter() - began < seconds:
                answers.append(self.one((len(answers) + client * n // n_clients) % n))
            return answers

        if n_clients == 1:
            answers = ask(0)
        else:
            with ThreadPoolExecutor(n_clients) as pool:
                answers = [one for some in pool.map(ask, range(n_clients)) for one in some]
        return _figures(answers, time.perf_counter() - began, read_bytes() - before)


def _figures(answers: Sequence[Answer], wall_s: float, n_read: int) -> dict[str, Any]:
    n = len(answers)
    p50, p99 = np.percentile([one.took_s for one in answers], (50, 99)) * 1e6
    cpu = float(np.median([one.cpu_s for one in answers])) * 1e6
    return {"queries": n, "qps": n / wall_s, "p50 us": p50, "p99 us": p99, "cpu us": cpu, "bytes read": n_read / n}


def ask(contender: Contender, given: argparse.Namespace) -> dict[str, Any]:
    """Everything that is measured, in order: effort, warm, steady, cold."""
    session = Session(contender, Asked.read(given.asked))
    files = [path for path in sorted(given.folder.rglob("*")) if path.is_file()]
    contender.open(given.folder, given.ram_bytes)
    found: dict[str, Any] = {"tried": session.choose(given.target)}
    n, n_warm = len(session.asked.queries), min(N_WARM, len(session.asked.queries))
    contender.close()
    forget(files)
    trim()
    before = anonymous_bytes()
    if given.group is not None:
        given.group.write_text("0", encoding="ascii")  # 0: whoever writes it
    contender.open(given.folder, given.ram_bytes)
    found["effort"], found["warm"], found["cold"] = session.effort, {}, {}
    session.once(n_warm)
    for n_clients in given.clients:
        found["warm"][n_clients] = session.again(n_warm, n_clients, given.seconds)
    session.once(n)
    contender.counts()
    found["steady"] = session.once(n)
    found["recall"] = dict(found["tried"])[session.effort]
    found["counts"] = contender.counts()
    trim()
    found["anonymous"] = anonymous_bytes() - before
    contender.close()
    cold = Cold(session, given.folder, given.ram_bytes, files)
    for n_clients in given.clients:
        found["cold"][n_clients] = cold.measure(n_clients)
    found["disk bytes"] = sum(path.stat().st_blocks * 512 for path in files)
    return found


@dataclass
class Cold:
    """Queries to an index whose files are not in RAM."""

    session: Session
    folder: Path
    ram_bytes: int
    files: Sequence[Path]

    def measure(self, n_clients: int) -> dict[str, Any]:
        """Each time as many queries as there are clients, at once; with one client also the floor."""
        n_pages = sum(-(-path.stat().st_size // PAGE_BYTES) for path in self.files)
        answers: list[Answer] = []
        walls, n_read, floors, stayed = [], 0, [], []
        n_all = min(N_COLD, len(self.session.asked.queries)) // n_clients * n_clients
        for first in range(0, n_all, n_clients):
            self._open(first, n_clients)
            before = [resident(path) for path in self.files]
            stayed.append(sum(map(len, before)) / n_pages)
            n_before = read_bytes()
            some, wall_s = self._ask(first, n_clients)
            n_read += read_bytes() - n_before
            answers += some
            walls.append(wall_s)
            self.session.contender.close()
            if n_clients == 1:
                pages = [np.setdiff1d(resident(path), old) for path, old in zip(self.files, before)]
                forget(self.files)
                floors.append((floor_s(self.files, pages), sum(map(len, pages))))
        found = _figures(answers, sum(walls), n_read) | {"stayed": max(stayed)}
        if floors:
            found["floor p50 us"] = float(np.median([took_s for took_s, _ in floors])) * 1e6
            found["pages"] = float(np.mean([n for _, n in floors]))
        return found

    def _open(self, first: int, n: int) -> None:
        contender, asked = self.session.contender, self.session.asked
        forget(self.files)
        contender.open(self.folder, self.ram_bytes)
        for asker in asked.askers[first : first + n].tolist():
            contender.meet(asker)
        if contender.needs_a_question:
            self.session.one(len(asked.queries) - 1)
            forget(self.files)

    def _ask(self, first: int, n_clients: int) -> tuple[list[Answer], float]:
        """The answers, and the seconds that all of them took."""
        if n_clients == 1:
            answer = self.session.one(first)
            return [answer], answer.took_s
        with ThreadPoolExecutor(n_clients) as pool:
            list(pool.map(time.sleep, [0.01] * n_clients))  # the threads are there before the clock starts
            began = time.perf_counter()
            answers = list(pool.map(self.session.one, range(first, first + n_clients)))
            return answers, time.perf_counter() - began


def main(contender: Contender, arguments: Sequence[str]) -> None:
    """`ask`, and of a peer `build`; what there is to say goes as JSON to the file `--answer`."""
    given = _parser(isinstance(contender, Peer)).parse_args(arguments)
    if isinstance(contender, Peer) and given.what == "build":
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        found: dict[str, Any] = dict(contender.build(given.vectors, given.folder, given.ram_bytes, given.threads))
        found["build s"], found["build CPU s"] = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    else:
        found = ask(contender, given)
    given.answer.write_text(json.dumps(found), encoding="utf-8")


def _parser(can_build: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("build", "ask") if can_build else ("ask",))
    parser.add_argument("--folder", type=Path, required=True, help="of the index")
    parser.add_argument("--answer", type=Path, required=True, help="file of what there is to say")
    parser.add_argument("--ram-bytes", type=int, required=True, help="anonymous memory that searches may take")
    parser.add_argument("--vectors", type=Path, help="of `build`: a .npy file")
    parser.add_argument("--threads", type=int, default=1, help="of `build`")
    parser.add_argument("--asked", type=Path, help="of `ask`: a .npz file of queries, askers, right")
    parser.add_argument("--target", type=float, default=0.0, help="recall that the effort is chosen for")
    parser.add_argument("--clients", type=int, nargs="+", default=[1])
    parser.add_argument("--seconds", type=float, default=2.0, help="of repeated queries")
    parser.add_argument("--group", type=Path, help="file that takes the number of a process into the group")
    return parser
