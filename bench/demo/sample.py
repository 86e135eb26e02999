"""The carried sample: sentences, whose they are, and their embeddings.

Line i of `data/sentences.jsonl` belongs to row i of `data/vectors_f16.npy`, float16 (n, 384), read as float32.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True, eq=False)
class Sentences:
    """Sentences of one set; `vectors` is float32 (n, d)."""

    ids: list[str]
    payloads: list[dict[str, str]]
    vectors: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ids)


def load() -> dict[str, Sentences]:
    """The sets by name: one per tenant of the demo, and `query`."""
    lines = [json.loads(line) for line in (DATA / "sentences.jsonl").read_text(encoding="utf-8").splitlines()]
    vectors = np.load(DATA / "vectors_f16.npy").astype(np.float32)
    return {name: _of_set(name, lines, vectors) for name in sorted({line["set"] for line in lines})}


def _of_set(name: str, lines: list[dict[str, str]], vectors: NDArray[np.float32]) -> Sentences:
    rows = [row for row, line in enumerate(lines) if line["set"] == name]
    ids = [f"{name}-{number}" for number in range(len(rows))]
    payloads = [{key: lines[row][key] for key in ("text", "intent", "domain")} for row in rows]
    return Sentences(ids, payloads, vectors[rows])
