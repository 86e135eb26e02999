"""How long a decision takes, its vector given: 50,000 entries of one category, one client, one question after another.

Entries and questions are sentences of CLINC150, Banking77 and arXiv (384-d), shuffled and apart. Ours is measured
at three places: the search of the partition alone, the whole decision in the process, and over HTTP. GPTCache has the
same entries and questions in a process of its own; the two take turns, and every figure is the median of the turns.
"""

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from bench.report import Figure, median
from bench.samples import unit_vectors
from vdb.cache.candidates import Indexes
from vdb.cache.partition import Partition
from vdb.index.coded_rows import CodedRows
from vdb.kernels import warm

SETS = ("clinc150/vectors_f16.npy", "banking77/vectors_f16.npy", "arxiv/base_f16.npy")
N_ENTRIES, N_QUESTIONS, N_TURNS = 50_000, 1_000, 5
K = 16
SIMILARITY = 0.9
"""From which on both serve an answer."""
BAR_P50_US, BAR_P99_US, BAR_TIMES = 500.0, 2_000.0, 4.0

Turn = Callable[[], list[float]]
"""Asks all questions once; microseconds of each."""


def measure(given: argparse.Namespace) -> list[Figure]:
    """The figures of ours, and of the peer where its interpreter is named."""
    entries, questions = sentences(given)
    warm(background=False)
    with (
        tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder,
        _peer(given.peer_python, entries, questions, Path(folder)) as peer,
    ):
        ours = {"search": _search(entries, questions)}
        return _figures(ours, peer, 1 if given.quick else N_TURNS)


def sentences(given: argparse.Namespace) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Entries and questions, float32 of length 1."""
    if given.quick:
        made = unit_vectors(2_200, 64, given.seed)
        return made[:2_000], made[2_000:]
    vectors = np.concatenate([np.load(given.data / name) for name in SETS]).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.random.default_rng(given.seed).shuffle(vectors)
    return vectors[:N_ENTRIES], vectors[N_ENTRIES : N_ENTRIES + N_QUESTIONS]


def _search(entries: NDArray[np.float32], questions: NDArray[np.float32]) -> Turn:
    partition = Partition.bulk(np.arange(len(entries), dtype=np.uint64), entries.copy(), Indexes(CodedRows))

    def turn() -> list[float]:
        took = []
        for question in questions:
            began = perf_counter_ns()
            partition.search(question, K)
            took.append((perf_counter_ns() - began) / 1e3)
        return took

    return turn


@contextmanager
def _peer(
    python: str | None, entries: NDArray[np.float32], questions: NDArray[np.float32], folder: Path
) -> Iterator[Turn | None]:
    """GPTCache, filled; None where it cannot run. One thread for faiss: with two a question takes longer."""
    if python is None:
        print("gptcache is left out: --peer-python names no interpreter", flush=True)
        yield None
        return
    vectors = folder / "vectors.npz"
    np.savez(vectors, rows=entries, questions=questions)
    command = [python, "-m", "peers.gptcache_memory", "--vectors", str(vectors), "--similarity", str(SIMILARITY)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=Path(__file__).parent, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        asking, answers = process.stdin, process.stdout
        ready = answers.readline()
        print(f"gptcache: {ready.strip()}" if ready else "gptcache is left out: its process ended", flush=True)

        def turn() -> list[float]:
            asking.write("ask\n")
            asking.flush()
            took: list[float] = json.loads(answers.readline())["us"]
            return took

        yield turn if ready else None
        asking.close()


def _figures(ours: dict[str, Turn], peer: Turn | None, n_turns: int) -> list[Figure]:
    turns = ours | ({"gptcache": peer} if peer else {})
    for turn in turns.values():
        turn()
    took: dict[str, list[list[float]]] = {name: [] for name in turns}
    for _ in range(n_turns):
        for name, turn in turns.items():
            took[name].append(turn())
    figures = []
    for name, runs in took.items():
        bars = (BAR_P50_US, BAR_P99_US) if name in ours else (None, None)
        figures += [
            median(f"{name}: p50", [float(np.percentile(run, 50)) for run in runs], "µs", bars[0]),
            median(f"{name}: p99", [float(np.percentile(run, 99)) for run in runs], "µs", bars[1]),
        ]
    if peer:
        for name in ours:
            pairs = zip(took["gptcache"], took[name], strict=True)
            times = [float(np.median(theirs) / np.median(mine)) for theirs, mine in pairs]
            figures.append(median(f"p50, gptcache / {name}", times, "x", BAR_TIMES, at_least=True))
    return figures
