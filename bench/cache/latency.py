"""How long a decision takes, its vector given: 50,000 entries of one category, one client, one question after another.

Entries and questions are sentences of CLINC150, Banking77 and arXiv (384-d), shuffled and apart. Ours is measured at
three places: the search of the partition alone, the whole decision in the process, and over HTTP. GPTCache has the
same entries and questions in a process of its own and takes turns with the first two; a figure is the median of the
turns.
"""

import argparse
import gzip
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter_ns

import numpy as np

from bench.cache.decisions import Sentences, Turn, filled, in_process, over_http, until_first_decision_s
from bench.report import Figure, median
from bench.samples import unit_vectors
from bench.tenants.contender import LeftOut
from vdb.cache.candidates import Indexes
from vdb.cache.partition import Partition
from vdb.index.coded_rows import CodedRows
from vdb.kernels import warm

SETS = {
    "clinc150": ("utterances", "vectors_f16", "text"),
    "banking77": ("utterances", "vectors_f16", "text"),
    "arxiv": ("base", "base_f16", "title"),
}
"""Folder: lines, vectors, field of a line."""
PEER = Path(__file__).parent / "peers" / "gptcache_memory.py"
"""Run as a file: in this folder, `http` would be ours."""
N_ENTRIES, N_QUESTIONS, N_TURNS = 50_000, 1_000, 5
LIMIT_S = 900.0
"""Of a peer's turn, and of its start: one that takes longer is ended and left out."""
K = 16
SIMILARITY = 0.9
"""From which on an answer is served, by both."""
BARRED = ("search", "decision")
BAR_P50_US, BAR_P99_US, BAR_TIMES = 500.0, 2_000.0, 4.0


def measure(given: argparse.Namespace) -> list[Figure]:
    """The figures of ours, and of the peer where its interpreter is named."""
    entries, questions = sentences(given)
    warm(background=False)
    n_turns = 1 if given.quick else N_TURNS
    with tempfile.TemporaryDirectory(prefix="vdb-bench-") as place:
        folder = Path(place)
        with (
            _peer(given.peer_python, entries, questions, folder) as peer,
            filled(folder, entries, SIMILARITY) as engine,
        ):
            ours = {"search": _search(entries, questions), "decision": in_process(engine, questions)}
            took = _in_turns(ours | ({"gptcache": peer} if peer else {}), n_turns)
        reopened_s = until_first_decision_s(folder, questions)
        with over_http(folder, questions) as turn:
            took |= _in_turns({"over HTTP": turn}, n_turns)
    return [*_figures(took), Figure("restart, until the first decision", reopened_s, "s")]


def sentences(given: argparse.Namespace) -> tuple[Sentences, Sentences]:
    """Entries and questions."""
    if given.quick:
        vectors, texts, n = unit_vectors(2_200, 64, given.seed), [f"question {i}" for i in range(2_200)], 2_000
    else:
        vectors = np.concatenate([np.load(given.data / name / f"{SETS[name][1]}.npy") for name in SETS]).astype("f4")
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        texts, n = [text for name in SETS for text in _texts(given.data / name, *SETS[name])], N_ENTRIES
    order = np.random.default_rng(given.seed).permutation(len(texts))[: n + N_QUESTIONS]
    entries, questions = order[:n], order[n:]
    return (
        Sentences([texts[i] for i in entries], vectors[entries]),
        Sentences([texts[i] for i in questions], vectors[questions]),
    )


def _texts(folder: Path, lines: str, _: str, field: str) -> Iterator[str]:
    with gzip.open(folder / f"{lines}.jsonl.gz", "rt", encoding="utf-8") as text:
        for line in text:
            yield json.loads(line)[field]


def _search(entries: Sentences, questions: Sentences) -> Turn:
    """The k nearest of a partition, nothing else."""
    numbers = np.arange(len(entries.texts), dtype=np.uint64)
    partition = Partition.bulk(numbers, entries.vectors.copy(), Indexes(CodedRows))

    def turn() -> list[float]:
        took = []
        for question in questions.vectors:
            began = perf_counter_ns()
            partition.search(question, K)
            took.append((perf_counter_ns() - began) / 1e3)
        return took

    return turn


@contextmanager
def _peer(python: str | None, entries: Sentences, questions: Sentences, folder: Path) -> Iterator[Turn | None]:
    """GPTCache, filled; None where it cannot run. One thread for faiss: with two a question takes longer."""
    if python is None:
        print("gptcache is left out: --peer-python names no interpreter", flush=True)
        yield None
        return
    vectors = folder / "vectors.npz"
    np.savez(vectors, rows=entries.vectors, questions=questions.vectors)
    command = [python, str(PEER), "--vectors", str(vectors), "--similarity", str(SIMILARITY)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        asking = process.stdin
        ready = _answer(process)
        print(f"gptcache: {ready.strip()}" if ready else "gptcache is left out: its process ended", flush=True)

        def turn() -> list[float]:
            with suppress(BrokenPipeError):
                asking.write("ask\n")
                asking.flush()
            answer = _answer(process)
            if not answer:
                raise LeftOut("its process ended, or gave no answer in time")
            took: list[float] = json.loads(answer)["us"]
            return took

        yield turn if ready else None
        with suppress(BrokenPipeError):
            asking.close()


def _answer(process: "subprocess.Popen[str]") -> str:
    """Its next line; "" once it has ended, which it is made to where none comes in time."""
    assert process.stdout is not None
    timer = threading.Timer(LIMIT_S, process.kill)
    timer.daemon = True
    timer.start()
    try:
        return process.stdout.readline()
    finally:
        timer.cancel()


def _in_turns(turns: Mapping[str, Turn], n: int) -> dict[str, list[list[float]]]:
    """Microseconds of each question in `n` turns of each, after one that does not count; without who is left out."""
    took: dict[str, list[list[float]]] = {name: [] for name in turns}
    for number in range(1 + n):
        for name, turn in turns.items():
            if name not in took:
                continue
            try:
                found = turn()
            except LeftOut as exc:
                print(f"{name} is left out: {exc}", flush=True)
                del took[name]
            else:
                took[name] += [found] if number else []
    return took


def _figures(took: Mapping[str, list[list[float]]]) -> list[Figure]:
    figures = []
    for name, runs in took.items():
        bars = (BAR_P50_US, BAR_P99_US) if name in BARRED else (None, None)
        for percent, bar in zip((50, 99), bars, strict=True):
            figures.append(
                median(f"{name}: p{percent}", [float(np.percentile(run, percent)) for run in runs], "µs", bar)
            )
    for name in BARRED:
        pairs = zip(took.get("gptcache", []), took[name], strict=False)
        times = [float(np.median(theirs) / np.median(ours)) for theirs, ours in pairs]
        if times:
            figures.append(median(f"p50, gptcache / {name}", times, "x", BAR_TIMES, at_least=True))
    return figures
