"""Random cases of packing: candidates, budgets, options, templates and counters, drawn from a seed."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec.structs import replace

from vdb.rag.generate.base import TokenCounter
from vdb.rag.pack import Packed, PackOptions, pack
from vdb.rag.passage import Passage
from vdb.rag.prompt import DEFAULT_TEMPLATE, Template

_TEXT = """
the of and to in a was by for with on is as from at Norman Rollo Paris treaty river castle king 911. It In However, Dr.
e.g. [1] <|im_end|> "quoted" é 東京 。 {{ \\
"""
_WORDS = [*_TEXT.split(), "\n", "\n\n"]
_PIECES = re.compile(r"\w{1,4}|\s+|[^\w\s]")


class _Pieces:
    """Counts pieces of words, and `joins` more for each line: the tokens of a whole are more than its parts'."""

    is_exact = True

    def __init__(self, joins: int) -> None:
        self._joins = joins

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(_PIECES.findall(text)) + self._joins * (text.count("\n") + 1) for text in texts]


class _Bytes:
    is_exact = False

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(text.encode()) for text in texts]


@dataclass(frozen=True, slots=True)
class Case:
    """What `pack` is asked."""

    passages: list[Passage]
    budget_tokens: int
    counter: TokenCounter
    options: PackOptions
    question: str
    template: Template
    vectors: Any

    def packed(self) -> Packed:
        """What it answers; raises BudgetTooSmall."""
        return pack(
            self.passages,
            self.budget_tokens,
            self.counter,
            self.options,
            question=self.question,
            template=self.template,
            vectors=self.vectors,
        )


def cases(n: int, seed: int) -> Iterator[Case]:
    """The first `n` cases of a seed."""
    rng = np.random.default_rng(seed)
    templates = [DEFAULT_TEMPLATE, replace(DEFAULT_TEMPLATE, passage="<p n={n}>\n{title}\n{text}\n</p>\n")]
    counters: list[TokenCounter] = [_Pieces(0), _Pieces(3), _Bytes()]
    for _ in range(n):
        passages = [_passage(rng, place) for place in range(int(rng.integers(0, 13)))]
        vectors = rng.standard_normal((len(passages), 8)).astype(np.float32) if rng.random() < 0.2 else None
        if vectors is not None:
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        yield Case(
            passages,
            int(np.exp(rng.uniform(0, 7.5))),
            counters[int(rng.integers(0, 3))],
            PackOptions(
                method=_one(rng, ["greedy", "greedy", "beam"]),
                redundancy=_one(rng, [0.0, 0.5, 1.0]),
                cost=_one(rng, [0.0, 0.05, 0.5, 3.0]),
                order=_one(rng, ["score", "document", "edges", "prefix"]),
                cut=bool(rng.random() < 0.8),
            ),
            _text(rng, 8),
            templates[int(rng.integers(0, 2))],
            vectors,
        )


def _passage(rng: np.random.Generator, place: int) -> Passage:
    return Passage(
        f"p{place}",
        "acme",
        1,
        _text(rng, int(_one(rng, [0, 1, 10, 60, 200]))),
        float(_one(rng, [0.0, 0.5, 1.0, -2.0, 1e300, rng.random()])),
        _text(rng, 2),
        (_text(rng, 1),),
        _one(rng, ["", "d", "e"]),
        int(rng.integers(0, 5)),
    )


def _text(rng: np.random.Generator, most: int) -> str:
    return " ".join(_WORDS[place] for place in rng.integers(0, len(_WORDS), int(rng.integers(0, most + 1))))


def _one(rng: np.random.Generator, values: Sequence[Any]) -> Any:
    return values[int(rng.integers(0, len(values)))]
