"""The text guard: trap pairs refused and paraphrases lost, by kind and half; pairs of SQuAD and of intents; its cost.

A pair is refused where `check` names a rule, in either order. The second half of the trap set is judged, never shown:
only counts leave this module. Of real questions those pairs count that an encoder would serve: cosine 0.9 or more.
"""

import argparse
import gzip
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.record import ROOT
from bench.report import Figure, median
from vdb.cache.guard import check
from vdb.cache.guard.reading import forget

TRAPS = ROOT / "tests" / "cache" / "traps"
CONTROL, OUT_OF_SCOPE = "paraphrase", "oos"
MIN_COSINE = 0.9
REJECTED_BAR, LOST_BAR, SQUAD_BAR = 0.95, 0.05, 0.5
TYPICAL_US, LONG_MS = 40.0, 5.0
MAX_PAIRS = 20_000
N_REPEATS = 5

Pair = tuple[str, str]


def measure(given: argparse.Namespace) -> list[Figure]:
    """Figures of both halves and of real questions; with `--quick` those of the first half and the cost."""
    halves = ["first"] if given.quick else ["first", "second"]
    figures = [figure for half in halves for figure in half_figures(half, rows_of(half))]
    figures += cost_figures(rows_of("first"), given.seed)
    if not given.quick:
        figures += _squad(given.data / "squad2") + _intents(given.data, given.seed)
    return figures


def rows_of(half: str) -> list[dict[str, str]]:
    """The rows of a half of the trap set."""
    return [json.loads(line) for line in (TRAPS / f"{half}.jsonl").read_text(encoding="utf-8").splitlines()]


def half_figures(half: str, rows: Sequence[dict[str, str]]) -> list[Figure]:
    """Shares refused by kind; the bars are on all swaps together and on the controls."""
    n_rows, n_refused = Counter[str](), Counter[str]()
    for row in rows:
        n_rows[row["kind"]] += 1
        n_refused[row["kind"]] += is_refused((row["a"], row["b"]))
    swaps = [kind for kind in sorted(n_rows) if kind != CONTROL]
    n_swaps = sum(n_rows[kind] for kind in swaps)
    share = sum(n_refused[kind] for kind in swaps) / n_swaps
    lost = n_refused[CONTROL] / n_rows[CONTROL]
    return [
        Figure(f"traps, {half} half: swaps refused, of {n_swaps}", share, "", REJECTED_BAR, at_least=True),
        *(
            Figure(f"traps, {half} half: {kind} refused, of {n_rows[kind]}", n_refused[kind] / n_rows[kind], "")
            for kind in swaps
        ),
        Figure(f"traps, {half} half: controls lost, of {n_rows[CONTROL]}", lost, "", LOST_BAR),
    ]


def is_refused(pair: Pair) -> bool:
    """Whether the guard refuses a pair in both orders; that the orders agree is its promise."""
    one, other = pair
    verdicts = {check(one, other), check(other, one)}
    if len(verdicts) > 1:
        raise AssertionError("the guard's verdict depends on the order")
    return verdicts != {None}


def cost_figures(rows: Sequence[dict[str, str]], seed: int) -> list[Figure]:
    """Thread CPU time of a check: of questions of 8 to 20 words, and of two texts of 64 KiB."""
    pairs = [(row["a"], row["b"]) for row in rows if 8 <= len(row["a"].split()) <= 20]
    rng = random.Random(seed)
    words = [word for pair in pairs for text in pair for word in text.split()]
    long = " ".join(rng.choices(words, k=16_384))[:65_536]
    another = " ".join(rng.choices(words, k=16_384))[:65_536]
    nearly = f"{long[:30_000]} 42 {long[30_004:]}"
    known = [_typical_us(pairs, is_known=True) for _ in range(N_REPEATS)]
    new = [_typical_us(pairs, is_known=False) for _ in range(N_REPEATS)]
    longest = [max(_once_us(pair) for pair in ((long, nearly), (long, another))) / 1000 for _ in range(N_REPEATS)]
    return [
        median("guard: a check, cached text read before, p50", known, "µs", TYPICAL_US),
        median("guard: a check, both texts new, p50", new, "µs"),
        median("guard: a check of two texts of 64 KiB", longest, "ms", LONG_MS),
    ]


def _typical_us(pairs: Sequence[Pair], *, is_known: bool) -> float:
    took = []
    for asked, cached in pairs:
        forget()
        if is_known:
            check(cached, cached + " ")
        took.append(_once_us((asked, cached)))
    return float(np.median(took))


def _once_us(pair: Pair) -> float:
    started = time.thread_time_ns()
    check(*pair)
    return (time.thread_time_ns() - started) / 1000


def _squad(folder: Path) -> list[Figure]:
    """Questions on one paragraph: one with an answer beside one without, and two with the same answer as controls."""
    if not folder.is_dir():
        return []
    rows, vectors = _texts(folder / "questions.jsonl.gz"), _unit(folder / "question_vectors_f16.npy")
    by_paragraph: dict[int, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        by_paragraph[row["pid"]].append(number)
    mixed, controls = [], []
    for numbers in by_paragraph.values():
        for one, other in _near(vectors, np.array(numbers)):
            pair = (rows[one]["question"], rows[other]["question"])
            if pair[0] == pair[1]:
                continue
            if rows[one]["is_impossible"] != rows[other]["is_impossible"]:
                mixed.append(pair)
            elif not rows[one]["is_impossible"] and _answers(rows[one]) & _answers(rows[other]):
                controls.append(pair)
    return [
        Figure(f"SQuAD: answerable beside impossible, refused, of {len(mixed)}", _share(mixed), "", SQUAD_BAR, True),
        Figure(f"SQuAD: same answer, lost, of {len(controls)}", _share(controls), ""),
    ]


def _answers(row: dict[str, Any]) -> set[str]:
    return {answer.casefold().strip(" .") for answer in row["answers"]}


def _intents(data: Path, seed: int) -> list[Figure]:
    """Pairs of one intent that are lost, and of two that are refused; an intent is wider than a question."""
    figures = []
    for name in ("clinc150", "banking77"):
        if not (data / name).is_dir():
            continue
        rows, vectors = _texts(data / name / "utterances.jsonl.gz"), _unit(data / name / "vectors_f16.npy")
        pairs: dict[bool, list[Pair]] = {True: [], False: []}
        for one, other in _near(vectors, np.arange(len(rows))):
            is_same = rows[one]["intent"] == rows[other]["intent"] != OUT_OF_SCOPE
            pairs[is_same].append((rows[one]["text"], rows[other]["text"]))
        for is_same, what in ((True, "one intent, lost"), (False, "two intents, refused")):
            n_pairs = len(pairs[is_same])
            some = random.Random(seed).sample(pairs[is_same], min(n_pairs, MAX_PAIRS))
            figures.append(Figure(f"{name}: {what}, of {n_pairs} pairs", _share(some), ""))
    return figures


def _share(pairs: Sequence[Pair]) -> float:
    return sum(map(is_refused, pairs)) / max(1, len(pairs))


def _near(vectors: NDArray[np.float32], numbers: NDArray[np.int64], at_once: int = 2_000) -> Iterator[tuple[int, int]]:
    """Pairs of rows with a cosine of at least `MIN_COSINE`, each once."""
    for start in range(0, len(numbers), at_once):
        cosines = vectors[numbers[start : start + at_once]] @ vectors[numbers].T
        for one, other in zip(*np.nonzero(cosines >= MIN_COSINE), strict=True):
            if one + start < other:
                yield int(numbers[one + start]), int(numbers[other])


def _texts(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _unit(path: Path) -> NDArray[np.float32]:
    vectors = np.load(path).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
