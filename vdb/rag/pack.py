"""Packing: which passages go into a context of so many tokens, which parts of them, and in which order.

Each sentence of a passage is worth something to the question (`vdb.rag.pack_worth`); runs of them are chosen, one of
each passage, for what they are worth by the token (`vdb.rag.pack_spans`). A passage is cut only where the budget does
not hold its rest, or something else is worth more. What counts against the budget is the block of passages as it is
sent: tokens of a whole are not the sum of its parts', so the whole is counted, and runs go until it fits.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from vdb.errors import BudgetTooSmall
from vdb.protocol.answer_requests import Order
from vdb.rag.analysis import analyser_of
from vdb.rag.extractive.analysed import SHARED, Analysed, Analyses
from vdb.rag.extractive.question import read, weights_among
from vdb.rag.generate.base import TokenCounter
from vdb.rag.pack_order import ordered
from vdb.rag.pack_spans import Choice, Field, Run, beam, greedy
from vdb.rag.pack_worth import chances, worth_of
from vdb.rag.passage import Passage
from vdb.rag.prompt import DEFAULT_TEMPLATE, Template, context_block, passage_block

__all__ = ["Left", "PackOptions", "Packed", "Reason", "pack"]

Reason = Literal["budget", "redundant", "worthless", "empty", "duplicate"]

_TRIES = 3
"""Times that a context is chosen, because the tokens of the whole are not what its parts let expect."""
_SLACK = 0.04
"""The share of the tokens expected that may be missing without another try."""
_MARGIN = 0.01
"""The share of the budget that is left over where a context was too long."""

_READ_TOKENS, _READ_BUDGETS = 3_072, 3
"""Candidates are read for their sentences, best first, until they have so many tokens and so many times the budget."""


class PackOptions(Struct, frozen=True):
    """`redundancy`, 0 to 1: how much less a passage is worth that only repeats another. `cost`: what the whole budget
    is worth, where all that was found is worth 1; a context ends early where more is worth less than it takes. `cut`:
    whether parts of passages may be taken."""

    method: Literal["greedy", "beam"] = "greedy"
    redundancy: float = 0.5
    cost: float = 0.05
    order: Order = "score"
    cut: bool = True


class Left(Struct, frozen=True):
    """A passage that was left out: its place among those given, why, and the tokens that its text has."""

    place: int
    reason: Reason
    n_tokens: int


class Packed(Struct, frozen=True):
    """What goes into the context: `passages`, in its order, that were at the places `chosen` of those given; one may be
    a part of that, then its `start` and `end` are the part's. `block`: as it is sent, `n_tokens`: its tokens."""

    chosen: tuple[int, ...]
    passages: tuple[Passage, ...]
    block: str
    n_tokens: int
    left: tuple[Left, ...]


class _Found(NamedTuple):
    """The candidates, best first: passages that have a text of their own. `places` of them among those given; `texts`:
    tokens of each one's text, `fixed`: of all around it. `analysed`: those that may be cut, from the first."""

    places: list[int]
    passages: list[Passage]
    texts: list[int]
    fixed: list[float]
    analysed: list[Analysed]


class _Made(NamedTuple):
    """A context: candidates with their parts, in its order."""

    parts: list[tuple[int, Passage]]
    block: str
    n_tokens: int
    choice: Choice


def pack(
    passages: Sequence[Passage],
    budget_tokens: int,
    counter: TokenCounter,
    options: PackOptions,
    *,
    question: str = "",
    template: Template = DEFAULT_TEMPLATE,
    vectors: NDArray[np.float32] | None = None,
    weights: Mapping[str, float] | None = None,
    language: str = "english",
    analyses: Analyses = SHARED,
) -> Packed:
    """Choose from `passages`, given in any order, what `context_block` makes at most `budget_tokens` of.

    Where they all fit, they are not cut. vectors (n, d), unit rows, zeros where there is none, say how alike passages
    are; without them, shared words do. `weights` and `language` are as in `Asked`. The same arguments give the same
    answer, equal ones go by their place. Raises BudgetTooSmall where nothing fits that is not empty, KeyError for an
    unknown language, and what the counter raises.
    """
    left: dict[int, Reason] = {}
    found = _candidates(passages, left, counter, template)
    left |= dict.fromkeys(found.places, "budget")
    tokens = dict(zip(found.places, found.texts, strict=True))
    if found.places and budget_tokens < 1:
        raise BudgetTooSmall("no tokens are left for passages")
    made = _all(found, budget_tokens, counter, options, template)
    if made is None:
        analyser = analyser_of(language)
        chance = dict(zip(found.places, chances([one.score for one in found.passages]), strict=True))
        found = _read(found, budget_tokens, lambda text: analyses.of(text, analyser))
        known = weights_among(analyser.terms(question), found.analysed) if weights is None else weights
        field = Field(
            worth_of(
                found.passages,
                found.analysed,
                read(question, analyser, known).weights,
                np.array([chance[place] for place in found.places]),
            ),
            [n / len(one.text) for n, one in zip(found.texts, found.passages, strict=True)],
            found.fixed,
            _likeness(found, vectors),
            options.redundancy,
            options.cost,
            options.cut,
        )
        made = _some(field, found, budget_tokens, counter, options, template)
    left |= {found.places[at]: "redundant" for at in made.choice.repeated}
    left |= {found.places[at]: "worthless" for at in made.choice.worthless}
    chosen = tuple(found.places[at] for at, _ in made.parts)
    return Packed(
        chosen,
        tuple(part for _, part in made.parts),
        made.block,
        made.n_tokens,
        tuple(Left(place, left[place], tokens.get(place, 0)) for place in sorted(left.keys() - set(chosen))),
    )


def _candidates(
    passages: Sequence[Passage], left: dict[int, Reason], counter: TokenCounter, template: Template
) -> _Found:
    """What may be chosen; the rest goes to `left`."""
    places: list[int] = []
    texts: set[str] = set()
    for place in sorted(range(len(passages)), key=lambda place: (-passages[place].score, place)):
        text = passages[place].text
        if text in texts:
            left[place] = "duplicate"
        elif text and not text.isspace():
            texts.add(text)
            places.append(place)
        else:
            left[place] = "empty"
    chosen = [passages[place] for place in places]
    around = {(one.title, one.heading): one for one in chosen}
    blocks = [passage_block(1, replace(one, text=""), template) for one in around.values()]
    counts = counter.count([*(one.text for one in chosen), *blocks]) if chosen else []
    fixed = dict(zip(around, counts[len(chosen) :], strict=True))
    sizes = [fixed[one.title, one.heading] + 1.0 for one in chosen]
    return _Found(places, chosen, counts[: len(chosen)], sizes, [])


def _all(
    found: _Found, budget_tokens: int, counter: TokenCounter, options: PackOptions, template: Template
) -> _Made | None:
    """The context of all candidates that are worth what they take; None where they do not fit."""
    if not found.places:
        return _Made([], "", 0, Choice([], set(), set(), 0.0))
    sizes = [n_tokens + around for n_tokens, around in zip(found.texts, found.fixed, strict=True)]
    if sum(sizes) > budget_tokens + 1.0:
        return None
    price = options.cost / budget_tokens
    chance = chances([one.score for one in found.passages]).tolist()
    worthless = {at for at, size in enumerate(sizes) if at and chance[at] <= price * size}
    runs = [Run(at, 0, 0) for at in range(len(sizes)) if at not in worthless]
    parts = [(run.passage, found.passages[run.passage]) for run in runs]
    parts = [parts[at] for at in ordered([part for _, part in parts], options.order)]
    block, n_tokens = _counted(parts, counter, template)
    if n_tokens > budget_tokens:
        return None
    return _Made(parts, block, n_tokens, Choice(runs, set(), worthless, 0.0))


def _read(found: _Found, budget_tokens: int, analysis: Callable[[str], Analysed]) -> _Found:
    """The candidates that matter, with their sentences: those far down are not read."""
    enough = _READ_TOKENS + _READ_BUDGETS * budget_tokens
    n_read = 1 + int(np.searchsorted(np.cumsum(found.texts), enough))
    analysed = [analysis(one.text) for one in found.passages[:n_read]]
    kept = [at for at, one in enumerate(analysed) if one.spans]
    return _Found(
        [found.places[at] for at in kept],
        [found.passages[at] for at in kept],
        [found.texts[at] for at in kept],
        [found.fixed[at] for at in kept],
        [analysed[at] for at in kept],
    )


def _likeness(found: _Found, vectors: NDArray[np.float32] | None) -> Callable[[int, int], float]:
    """How much of a candidate another one has, 0 to 1."""
    if vectors is not None:
        own = vectors[found.places]
        return lambda i, j: max(float(own[i] @ own[j]), 0.0)
    bits = [one.signature for one in found.analysed]
    return lambda i, j: (bits[i] & bits[j]).bit_count() / (bits[i].bit_count() or 1)


def _some(
    field: Field, found: _Found, budget_tokens: int, counter: TokenCounter, options: PackOptions, template: Template
) -> _Made:
    """The context: chosen by what its parts are expected to take, then counted; raises BudgetTooSmall."""
    if not found.places:
        return _Made([], "", 0, Choice([], set(), set(), 0.0))
    search = beam if options.method == "beam" else greedy
    aim = float(budget_tokens)
    made: _Made | None = None
    for _ in range(_TRIES):
        choice = search(field, aim)
        parts = _parts(found, choice.runs, options.order)
        block, n_tokens = _counted(parts, counter, template)
        if n_tokens > budget_tokens:
            if made is not None:
                return made
            aim *= (1.0 - _MARGIN) * budget_tokens / n_tokens
            continue
        if not parts or (made is not None and n_tokens <= made.n_tokens):
            break
        is_over = made is not None or aim < budget_tokens
        made = _Made(parts, block, n_tokens, choice)
        if is_over or n_tokens > (1.0 - _SLACK) * choice.tokens or len(parts) == len(found.places):
            return made
        aim *= choice.tokens / n_tokens
    if made is not None:
        return made
    runs = list(choice.runs)
    while runs:
        parts = _parts(found, runs, options.order)
        block, n_tokens = _counted(parts, counter, template)
        if n_tokens <= budget_tokens:
            return _Made(parts, block, n_tokens, choice)
        runs.pop()
    return _smallest(field, found, budget_tokens, counter, template)


def _smallest(field: Field, found: _Found, budget_tokens: int, counter: TokenCounter, template: Template) -> _Made:
    """The first candidate of which the shortest sentence fits, or all of it where none may be cut."""
    runs: list[Run] = []
    for at, one in enumerate(found.analysed):
        shortest = min(range(len(one.spans)), key=lambda n: one.spans[n][1] - one.spans[n][0])
        runs.append(Run(at, shortest, shortest) if field.is_cut else Run(at, 0, len(one.spans) - 1))
    made = [_part(found, run) for run in runs]
    blocks = [passage_block(1, part, template) for part in made]
    sizes = counter.count(blocks)
    for at, n_tokens in enumerate(sizes):
        if n_tokens <= budget_tokens:
            return _Made([(at, made[at])], blocks[at], n_tokens, Choice([runs[at]], set(), set(), 0.0))
    raise BudgetTooSmall(f"no passage fits into {budget_tokens:,} tokens: the least that one takes is {min(sizes):,}")


def _parts(found: _Found, runs: Sequence[Run], order: Order) -> list[tuple[int, Passage]]:
    """What runs say, the last one of each passage, in the order of a context; `score` is the candidates' own order."""
    last = {run.passage: run for run in runs}
    parts = [(at, _part(found, last[at])) for at in sorted(last)]
    return [parts[at] for at in ordered([part for _, part in parts], order)]


def _part(found: _Found, run: Run) -> Passage:
    """A candidate, or the sentences of it that the run names."""
    passage, spans = found.passages[run.passage], found.analysed[run.passage].spans
    if run.last - run.first + 1 == len(spans):
        return passage
    start, end = spans[run.first][0], spans[run.last][1]
    text = passage.text[start:end]
    is_exact = passage.start is not None and passage.end == passage.start + len(passage.text)
    if not is_exact or passage.start is None:
        return replace(passage, text=text)
    return replace(passage, text=text, start=passage.start + start, end=passage.start + end)


def _counted(parts: Sequence[tuple[int, Passage]], counter: TokenCounter, template: Template) -> tuple[str, int]:
    """A context as it is sent, and its tokens."""
    if not parts:
        return "", 0
    block = context_block([part for _, part in parts], template)
    return block, counter.count([block])[0]
