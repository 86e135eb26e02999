"""What is asked: the utterances of CLINC150 and Banking77 with their sentence vectors, and in which order.

Categories are CLINC150's ten domains and Banking77. Two questions have one answer where they have one intent; rows out
of scope have none: no other question has their answer, and they name no category. Only the judge sees an intent.
"""

import argparse
import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.tenants.contender import LeftOut

OUT_OF_SCOPE = "oos"
BANKING = "banking77"
Int64s = NDArray[np.int64]
Float64s = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Questions:
    """`vectors` float32 (n, d) of unit length; `intents` (n,), −1 where out of scope; `categories` (n,), a place in
    `names`, −1 where none is given."""

    vectors: NDArray[np.float32]
    intents: Int64s
    categories: Int64s
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.intents)

    def has_answer_of(self, row: int, stored: int) -> bool:
        """Whether the answer stored for one row answers another: what the oracle of the closed loop says."""
        return row == stored or (self.intents[row] >= 0 and bool(self.intents[row] == self.intents[stored]))

    def category(self, row: int) -> str | None:
        """The category that its request names."""
        place = int(self.categories[row])
        return None if place < 0 else self.names[place]


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """Requests in turn: the row that each asks, the number in [0, 1) that decides whether it is explored, the load."""

    rows: Int64s
    draws: Float64s
    loads: Float64s


def asked(given: argparse.Namespace) -> Questions:
    """The questions of a run: real ones, or few made-up ones with `--quick`."""
    return made_up_questions(given.seed) if given.quick else real_questions(given.data)


def made_up_questions(seed: int, n_categories: int = 3, n_intents: int = 12, n_rows: int = 50) -> Questions:
    """Intents are clouds in 32 dimensions, near to each other inside a category; every 30th row is out of scope."""
    rng = np.random.default_rng(seed)
    category = np.repeat(np.arange(n_categories), n_intents * n_rows)
    intent = np.repeat(np.arange(n_categories * n_intents), n_rows)
    centres = rng.standard_normal((n_categories, 32))[category[::n_rows]] + 0.6 * rng.standard_normal(
        (n_categories * n_intents, 32)
    )
    vectors = centres[intent] + 0.6 * rng.standard_normal((len(intent), 32))
    vectors[::30] = 2.0 * rng.standard_normal((len(vectors[::30]), 32))
    is_out = np.arange(len(intent)) % 30 == 0
    return Questions(
        (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32),
        np.where(is_out, -1, intent),
        np.where(is_out, -1, category),
        tuple(f"made-up-{number}" for number in range(n_categories)),
    )


def real_questions(folder: Path) -> Questions:
    """All rows of both sets; raises LeftOut where they are not there."""
    for name in ("clinc150", BANKING):
        if not (folder / name).is_dir():
            raise LeftOut(f"no data set at {folder / name}; VDB_DATASETS names the folder of all")
    clinc, banking = _rows(folder / "clinc150"), _rows(folder / BANKING)
    domains = [row["domain"] for row in clinc] + [BANKING] * len(banking)
    intents = [("clinc", row["intent"]) for row in clinc] + [(BANKING, row["intent"]) for row in banking]
    names = (*sorted(set(domains) - {OUT_OF_SCOPE, BANKING}), BANKING)
    numbers = {intent: number for number, intent in enumerate(sorted(set(intents)))}
    return Questions(
        np.concatenate([_vectors(folder / "clinc150"), _vectors(folder / BANKING)]),
        np.array([-1 if of == OUT_OF_SCOPE else numbers[intent] for of, intent in zip(domains, intents, strict=True)]),
        np.array([-1 if name == OUT_OF_SCOPE else names.index(name) for name in domains]),
        names,
    )


def shuffled(questions: Questions, seed: int, shuffle: int) -> Arrivals:
    """Every row once, in an order of its own per (seed, shuffle); no load."""
    rng = np.random.default_rng([seed, shuffle])
    n = len(questions)
    return Arrivals(rng.permutation(n), rng.random(n), np.zeros(n))


def _rows(folder: Path) -> list[dict[str, str]]:
    with gzip.open(folder / "utterances.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _vectors(folder: Path) -> NDArray[np.float32]:
    vectors = np.load(folder / "vectors_f16.npy").astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
