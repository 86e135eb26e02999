"""Chunks and questions with their vectors: real ones where the data is, made-up ones for `--quick`."""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.samples import unit_vectors
from bench.tenants.contender import LeftOut

DIMENSION = 384
_N_QUICK = 300


@dataclass(frozen=True, slots=True)
class Texts:
    """`chunks` with `vectors` (n, d) float32 of length 1, `questions` with `query_vectors` (q, d)."""

    chunks: list[str]
    vectors: NDArray[np.float32]
    questions: list[str]
    query_vectors: NDArray[np.float32]


def mixed(data: Path | None, n: int) -> Texts:
    """`n` chunks: SQuAD's paragraphs, arXiv's abstracts, IR documents, in that order; SQuAD's questions."""
    if data is None or not (data / "squad2").is_dir():
        raise LeftOut("the texts are not there: name their folder with VDB_DATASETS")
    chunks: list[str] = []
    parts: list[NDArray[np.float32]] = []
    for folder, file, vectors, member in (
        ("squad2", "paragraphs", "paragraph_vectors_f16", "text"),
        ("arxiv", "base", "base_f16", "abstract"),
        ("ir", "corpus", "corpus_vectors_f16", "text"),
    ):
        chunks += [str(row[member]) for row in rows(data / folder / f"{file}.jsonl.gz")]
        parts.append(units(data / folder / f"{vectors}.npy"))
    questions = [str(row["question"]) for row in rows(data / "squad2" / "questions.jsonl.gz")]
    query_vectors = units(data / "squad2" / "question_vectors_f16.npy")
    return Texts(chunks[:n], np.concatenate(parts)[:n], questions, query_vectors)


def made_up(seed: int) -> Texts:
    """A few hundred chunks of drawn words."""
    rng = np.random.default_rng(seed)
    words = np.array([f"word{i}" for i in range(500)])

    def texts(n: int, length: int) -> list[str]:
        drawn = np.minimum(rng.zipf(1.3, (n, length)) - 1, len(words) - 1)
        return [" ".join(words[row]) for row in drawn]

    return Texts(
        texts(_N_QUICK, 80),
        unit_vectors(_N_QUICK, DIMENSION, seed),
        texts(50, 8),
        unit_vectors(50, DIMENSION, seed + 1),
    )


def rows(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSONL file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def units(path: Path) -> NDArray[np.float32]:
    """Vectors stored as float16, of length 1."""
    vectors: NDArray[np.float32] = np.load(path).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
