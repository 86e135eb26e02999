"""Packing: which passages go into a context of so many tokens, and in which order.

A set of passages is worth the relevance of each, less what it repeats of the others, less what it takes of the budget
(CORAG, arXiv 2411.00744): passages are added while that grows, so a context may end before its budget does. What counts
against the budget is the block of passages as it is sent: tokens of a whole are not the sum of its parts', so the whole
is counted, and passages go until it fits.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from vdb.errors import BudgetTooSmall
from vdb.protocol.answer_requests import Order
from vdb.rag.analysis import words_of
from vdb.rag.generate.base import TokenCounter
from vdb.rag.passage import Passage
from vdb.rag.prompt import DEFAULT_TEMPLATE, Template, context_block, passage_block

__all__ = ["Left", "PackOptions", "Packed", "Reason", "pack"]

Reason = Literal["budget", "redundant", "worthless", "empty", "duplicate"]


class PackOptions(Struct, frozen=True):
    """`redundancy` weighs how alike a passage is to one already there (cosine, or share of its words), `cost` the share
    of the budget that it takes, against relevance, which is 1 for the best candidate and 0 for none."""

    method: Literal["greedy", "beam"] = "greedy"
    redundancy: float = 0.3
    cost: float = 0.0
    order: Order = "score"


class Left(Struct, frozen=True):
    """A passage that was left out: its place among those given, why, and the tokens it would have taken."""

    place: int
    reason: Reason
    n_tokens: int


class Packed(Struct, frozen=True):
    """What goes into the context: `passages`, in its order, that were at the places `chosen` of those given; a passage
    may be a part of the one given, then its `start` and `end` say so. `n_tokens`: of the rendered block."""

    chosen: tuple[int, ...]
    passages: tuple[Passage, ...]
    n_tokens: int
    left: tuple[Left, ...]


def pack(
    passages: Sequence[Passage],
    budget_tokens: int,
    counter: TokenCounter,
    options: PackOptions,
    *,
    question: str = "",
    template: Template = DEFAULT_TEMPLATE,
    vectors: NDArray[np.float32] | None = None,
) -> Packed:
    """Choose from `passages`, which may have any order, what `context_block` makes at most `budget_tokens` of.

    vectors (n, d), unit rows, zeros where there is none: without them, shared words say how alike passages are. Equal
    ones go by their place: the same arguments give the same answer. Raises BudgetTooSmall where nothing fits that is
    not empty, and what the counter raises.
    """
    left: dict[int, Reason] = {}
    usable = _usable(passages, left)
    blocks = [passage_block(n, passages[place], template) for n, place in enumerate(usable, 1)]
    tokens = np.array(counter.count(blocks), np.float64)
    if not (tokens <= budget_tokens).any():
        if usable:
            raise BudgetTooSmall(
                f"no passage fits into {budget_tokens:,} tokens: the smallest has {int(tokens.min()):,}"
            )
        return Packed((), (), 0, tuple(Left(place, reason, 0) for place, reason in sorted(left.items())))
    likeness = _likeness(passages, usable, vectors)
    relevance = _relevance(np.array([passages[place].score for place in usable]))
    best_first = _greedy(relevance, likeness, tokens, budget_tokens, options)
    best_first, n_tokens = _fitting(
        passages, [usable[at] for at in best_first], budget_tokens, counter, options, template
    )
    chosen = _ordered(passages, best_first, options.order)
    known = {place: int(n) for place, n in zip(usable, tokens, strict=True)}
    for place in usable:
        if place not in chosen:
            left[place] = "budget"
    return Packed(
        tuple(chosen),
        tuple(passages[place] for place in chosen),
        n_tokens,
        tuple(Left(place, reason, known.get(place, 0)) for place, reason in sorted(left.items())),
    )


def _usable(passages: Sequence[Passage], left: dict[int, Reason]) -> list[int]:
    """Places of the passages that have a text of their own, best first."""
    order = sorted(range(len(passages)), key=lambda place: (-passages[place].score, place))
    texts: set[str] = set()
    usable = []
    for place in order:
        text = passages[place].text.strip()
        if not text or text in texts:
            left[place] = "duplicate" if text else "empty"
            continue
        texts.add(text)
        usable.append(place)
    return usable


def _relevance(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """From 1, the best, to 0, the worst of the candidates."""
    least, most = float(scores.min()), float(scores.max())
    spread = most / 2.0 - least / 2.0
    return np.asarray((scores / 2.0 - least / 2.0) / spread if spread > 0 else np.ones(len(scores)))


def _likeness(
    passages: Sequence[Passage], usable: list[int], vectors: NDArray[np.float32] | None
) -> NDArray[np.float64]:
    """How much of row i the column j has, (n, n), 0 to 1."""
    if vectors is not None:
        own = vectors[usable]
        return np.asarray(np.maximum(own @ own.T, 0.0), np.float64)
    words = [set(words_of(passages[place].text)) for place in usable]
    return np.array([[len(a & b) / max(1, len(a)) for b in words] for a in words])


def _greedy(
    relevance: NDArray[np.float64],
    likeness: NDArray[np.float64],
    tokens: NDArray[np.float64],
    budget_tokens: int,
    options: PackOptions,
) -> list[int]:
    """Places, best first: each next one is what adds most; ends where nothing that fits adds anything."""
    price = options.cost * tokens / budget_tokens
    repeated = np.zeros(len(tokens))
    is_left = np.ones(len(tokens), np.bool_)
    chosen: list[int] = []
    room = float(budget_tokens)
    while True:
        gain = relevance - options.redundancy * repeated - price
        may = is_left & (tokens <= room)
        if not may.any():
            return chosen
        best = int(np.argmax(np.where(may, gain, -np.inf)))
        if chosen and gain[best] < 0:
            return chosen
        chosen.append(best)
        is_left[best] = False
        room -= float(tokens[best])
        repeated = np.maximum(repeated, likeness[:, best])


def _fitting(
    passages: Sequence[Passage],
    best_first: list[int],
    budget_tokens: int,
    counter: TokenCounter,
    options: PackOptions,
    template: Template,
) -> tuple[list[int], int]:
    """As many as fit together, counted as they are sent."""
    kept = list(best_first)
    while kept:
        block = context_block([passages[place] for place in _ordered(passages, kept, options.order)], template)
        n_tokens = counter.count([block])[0]
        if n_tokens <= budget_tokens:
            return kept, n_tokens
        kept.pop()
    raise BudgetTooSmall(f"no passage fits into {budget_tokens:,} tokens")


def _ordered(passages: Sequence[Passage], best_first: list[int], order: Order) -> list[int]:
    if order == "score":
        return list(best_first)
    if order == "edges":
        return best_first[::2] + best_first[1::2][::-1]
    if order == "prefix":
        return sorted(best_first, key=lambda place: _canonical(passages[place]))
    rank: dict[str, int] = {}
    for at, place in enumerate(best_first):
        rank.setdefault(_document(passages[place]), at)
    return sorted(best_first, key=lambda place: (rank[_document(passages[place])], _canonical(passages[place])))


def _document(passage: Passage) -> str:
    """What tells documents apart; a point that is none of a document is its own."""
    return f"{passage.owner}/{passage.document}" if passage.document else f"{passage.owner}//{passage.id}"


def _canonical(passage: Passage) -> tuple[str, str, int, int, str]:
    chunk = -1 if passage.chunk is None else passage.chunk
    return passage.document, passage.owner, chunk, passage.start or 0, passage.id
