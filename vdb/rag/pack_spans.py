"""Spans of passages chosen under a budget: runs of sentences, one of each passage, that grow while they are worth it.

A run begins with the sentence that is worth most by the token and takes in, on either side, what is worth most by the
token: what a passage gives comes in steps. Steps of all passages are taken by their worth by the token (`greedy`), or
a few sets of them are kept at a time (`beam`). No step is smaller than 1 / `FINEST` of the budget, so the larger that
is, the more passages stay whole.

A set of runs is worth the sum of their sentences, less what passages repeat of those that were there before them, less
`cost` times the share of the budget that they take (CORAG, arXiv 2411.00744).
"""

import heapq
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from vdb.rag.pack_worth import Worth

__all__ = ["FINEST", "Choice", "Field", "Run", "beam", "greedy"]

FINEST = 32
_FINEST_BEAM = 16
_FAR = 16
"""Sentences that a run may grow by at once."""
_NOTHING = 1e-9
"""Tokens of a step that takes none: there are counters that say so."""
_WIDTH = 5
_BRANCHES = 5


class Run(NamedTuple):
    """Sentences [first, last] of a passage."""

    passage: int
    first: int
    last: int


class Choice(NamedTuple):
    """Runs in the order of their choice, a later one of a passage in place of the earlier. `repeated`: passages left
    out for what they repeat, `worthless`: for what they cost. `tokens` that are expected of all."""

    runs: list[Run]
    repeated: set[int]
    worthless: set[int]
    tokens: float


class Field(NamedTuple):
    """What is chosen from. Of each passage, `rate`: tokens of a character, `fixed`: tokens that it takes without any.
    `likeness(i, j)`: how much of passage i is in passage j, 0 to 1. Without `is_cut` a run is a whole passage."""

    worth: Worth
    rate: Sequence[float]
    fixed: Sequence[float]
    likeness: Callable[[int, int], float]
    redundancy: float
    cost: float
    is_cut: bool


class _Step(NamedTuple):
    """A run, what it adds to the one of its passage before it, and the tokens that it takes more."""

    run: Run
    worth: float
    tokens: float


class _Runs:
    """How the run of one passage grows. `worth` and `tokens`: sums of its sentences, from 0."""

    __slots__ = ("_first", "_fixed", "_is_cut", "_least", "_n", "_next", "_passage", "_tokens", "_worth")

    def __init__(self, field: Field, passage: int, least: float) -> None:
        begin, end = field.worth.firsts[passage : passage + 2]
        rate = field.rate[passage]
        self._passage, self._least = passage, least
        self._fixed = field.fixed[passage]
        self._is_cut = field.is_cut
        self._worth = [0.0, *accumulate(field.worth.worth[begin:end])]
        self._tokens = [0.0, *accumulate([length * rate for length in field.worth.length[begin:end]])]
        self._n = end - begin
        self._first: _Step | None = None
        self._next: dict[Run, _Step] = {}

    def first(self, room: float) -> _Step | None:
        """The best run to begin with that takes at most `room` tokens."""
        if self._first is None:
            self._first = self._begin(float("inf"))
        if self._first is None or self._first.tokens <= room:
            return self._first
        return self._begin(room)

    def next(self, run: Run, room: float) -> _Step | None:
        """The best that a run can grow by, with at most `room` tokens more."""
        if run.last - run.first + 1 == self._n:
            return None
        step = self._next.get(run)
        if step is None:
            step = self._grown(run, float("inf"))
            if step is None:
                return None
            self._next[run] = step
        return step if step.tokens <= room else self._grown(run, room)

    def _begin(self, room: float) -> _Step | None:
        worth, tokens, fixed = self._worth, self._tokens, self._fixed
        whole = tokens[-1] + fixed
        if not self._is_cut or (whole <= room and (whole <= self._least or self._n == 1)):
            return _Step(Run(self._passage, 0, self._n - 1), worth[-1], whole) if whole <= room else None
        most, best = -1.0, -1
        for at in range(self._n):
            takes = tokens[at + 1] - tokens[at] + fixed
            if takes <= room and worth[at + 1] - worth[at] > most * takes:
                most, best = (worth[at + 1] - worth[at]) / takes, at
        if best < 0:
            return None
        step = _Step(
            Run(self._passage, best, best), worth[best + 1] - worth[best], tokens[best + 1] - tokens[best] + fixed
        )
        while step.tokens < self._least:
            more = self._grown(step.run, room - step.tokens)
            if more is None:
                break
            step = _Step(more.run, step.worth + more.worth, step.tokens + more.tokens)
        return step

    def _grown(self, run: Run, room: float) -> _Step | None:
        worth, tokens, least, n = self._worth, self._tokens, self._least, self._n
        first, last = run.first, run.last
        most, best = -1.0, (first, last)
        for end in range(last + 1, min(last + _FAR, n - 1) + 1):
            takes = max(tokens[end + 1] - tokens[last + 1], _NOTHING)
            if takes > room:
                break
            gains = worth[end + 1] - worth[last + 1]
            if gains > most * takes and (takes >= least or end == n - 1):
                most, best = gains / takes, (first, end)
        for begin in range(first - 1, max(first - _FAR, 0) - 1, -1):
            takes = max(tokens[first] - tokens[begin], _NOTHING)
            if takes > room:
                break
            gains = worth[first] - worth[begin]
            if gains > most * takes and (takes >= least or begin == 0):
                most, best = gains / takes, (begin, last)
        if most < 0:
            return None
        takes = tokens[best[1] + 1] - tokens[best[0]] - (tokens[last + 1] - tokens[first])
        return _Step(Run(self._passage, *best), most * max(takes, _NOTHING), max(takes, _NOTHING))


def greedy(field: Field, budget_tokens: float) -> Choice:
    """Steps by their worth by the token, while they are worth what they cost and fit."""
    price = field.cost / budget_tokens
    runs: dict[int, _Runs] = {}
    kept = [1.0] * len(field.rate)
    n_compared = [0] * len(field.rate)
    inside: dict[int, Run] = {}
    order: list[int] = []
    taken: list[Run] = []
    repeated: set[int] = set()
    worthless: set[int] = set()
    room = budget_tokens
    queue: list[tuple[float, int, _Step | None]] = []

    def put(passage: int) -> None:
        run = inside.get(passage)
        if run is None and field.fixed[passage] >= room:
            return
        if (growing := runs.get(passage)) is None:
            growing = runs[passage] = _Runs(field, passage, budget_tokens / FINEST)
        step = growing.first(room) if run is None else growing.next(run, room)
        if step is not None:
            heapq.heappush(queue, (-kept[passage] * step.worth / step.tokens, passage, step))

    for passage, bound in enumerate(_bounds(field)):
        heapq.heappush(queue, (-bound, passage, None))
    while queue:
        density, passage, step = heapq.heappop(queue)
        if step is None and order and -density <= price:
            worthless.add(passage)
            continue
        if step is None or step.tokens > room:
            put(passage)
            continue
        if passage not in inside and field.redundancy > 0 and n_compared[passage] < len(order):
            likeness = max(field.likeness(passage, other) for other in order[n_compared[passage] :])
            n_compared[passage] = len(order)
            if 1.0 - field.redundancy * likeness < kept[passage]:
                kept[passage] = 1.0 - field.redundancy * likeness
                put(passage)
                continue
        if order and -density <= price:
            if passage not in inside:
                (repeated if step.worth > price * step.tokens else worthless).add(passage)
            continue
        if passage not in inside:
            order.append(passage)
        taken.append(step.run)
        inside[passage] = step.run
        room -= step.tokens
        put(passage)
    return Choice(taken, repeated, worthless, budget_tokens - room)


def _bounds(field: Field) -> list[float]:
    """What no run of each passage is worth more than by the token."""
    firsts = field.worth.firsts
    rate = np.repeat(np.array(field.rate), np.diff(firsts))
    density = np.array(field.worth.worth) / np.maximum(np.array(field.worth.length) * rate, _NOTHING)
    bounds: list[float] = np.maximum.reduceat(density, firsts[:-1]).tolist()
    return bounds


class _State(NamedTuple):
    """A set of runs on its way; `worth` is less what it costs."""

    worth: float
    tokens: float
    runs: dict[int, Run]
    taken: tuple[Run, ...]


def beam(field: Field, budget_tokens: float) -> Choice:
    """The best set found by going on from `_WIDTH` sets at a time, each by its `_BRANCHES` best steps."""
    price = field.cost / budget_tokens
    runs = [_Runs(field, passage, budget_tokens / _FINEST_BEAM) for passage in range(len(field.rate))]
    firsts = {at: step for at, growing in enumerate(runs) if (step := growing.first(budget_tokens)) is not None}
    by_density = sorted(firsts, key=lambda at: (-firsts[at].worth / firsts[at].tokens, at))
    best = _State(0.0, 0.0, {}, ())
    states = [best]
    while states:
        reached: dict[frozenset[Run], tuple[float, _State]] = {}
        for state in states:
            for density, step in _branches(field, runs, by_density, state, budget_tokens):
                gain = density * step.tokens - price * step.tokens
                if state.taken and gain <= 0:
                    continue
                after = _State(
                    state.worth + gain,
                    state.tokens + step.tokens,
                    {**state.runs, step.run.passage: step.run},
                    (*state.taken, step.run),
                )
                hoped = after.worth + (budget_tokens - after.tokens) * density
                reached.setdefault(frozenset(after.runs.values()), (hoped, after))
                if after.worth > best.worth or not best.taken:
                    best = after
        ranked = sorted(reached.values(), key=lambda pair: (-pair[0], pair[1].taken))
        states = [state for _, state in ranked[:_WIDTH]]
    left = {at for at in firsts if at not in best.runs and best.tokens + firsts[at].tokens <= budget_tokens}
    return Choice(list(best.taken), set(), left, best.tokens)


def _branches(
    field: Field, runs: Sequence[_Runs], by_density: Sequence[int], state: _State, budget_tokens: float
) -> list[tuple[float, _Step]]:
    """The best steps from a state, with their worth by the token."""
    room = budget_tokens - state.tokens
    found: list[tuple[float, _Step]] = []
    for run in state.runs.values():
        if (step := runs[run.passage].next(run, room)) is not None:
            found.append((step.worth / step.tokens, step))
    n_new = 0
    for passage in by_density:
        if passage in state.runs:
            continue
        if (step := runs[passage].first(room)) is not None:
            likeness = max((field.likeness(passage, other) for other in state.runs), default=0.0)
            found.append(((1.0 - field.redundancy * likeness) * step.worth / step.tokens, step))
            n_new += 1
            if n_new == _BRANCHES:
                break
    found.sort(key=lambda pair: (-pair[0], pair[1].run))
    return found[:_BRANCHES]
