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
from typing import NamedTuple

from vdb.rag.pack_worth import Worth

__all__ = ["FINEST", "Choice", "Field", "Run", "beam", "greedy"]

FINEST = 64
_FAR = 16
"""Sentences that a run may grow by at once."""
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
    """How the run of one passage grows."""

    def __init__(self, field: Field, passage: int, least: float) -> None:
        begin, end = field.worth.firsts[passage : passage + 2]
        self._passage, self._least = passage, least
        self._fixed = field.fixed[passage]
        self._is_cut = field.is_cut
        self._worth, self._tokens = [0.0], [0.0]
        for worth, length in zip(field.worth.worth[begin:end], field.worth.length[begin:end], strict=True):
            self._worth.append(self._worth[-1] + float(worth))
            self._tokens.append(self._tokens[-1] + float(length) * field.rate[passage])
        self._n = end - begin

    def first(self, room: float) -> _Step | None:
        """The best run to begin with that takes at most `room` tokens."""
        if not self._is_cut:
            whole = self._step(0, self._n - 1, None)
            return whole if whole.tokens <= room else None
        best: _Step | None = None
        for at in range(self._n):
            step = self._step(at, at, None)
            if step.tokens <= room and (best is None or step.worth * best.tokens > best.worth * step.tokens):
                best = step
        while best is not None and best.tokens < self._least:
            more = self.next(best.run, room - best.tokens)
            if more is None:
                break
            best = _Step(more.run, best.worth + more.worth, best.tokens + more.tokens)
        return best

    def next(self, run: Run, room: float) -> _Step | None:
        """The best that a run can grow by, with at most `room` tokens more."""
        best: _Step | None = None
        for is_after in (False, True):
            for far in range(1, _FAR + 1):
                first, last = (run.first, run.last + far) if is_after else (run.first - far, run.last)
                if first < 0 or last >= self._n:
                    break
                step = self._step(first, last, run)
                if step.tokens > room:
                    break
                is_end = first == 0 or last == self._n - 1
                if step.tokens < self._least and not is_end:
                    continue
                if best is None or step.worth * best.tokens > best.worth * step.tokens:
                    best = step
        return best

    def _step(self, first: int, last: int, before: Run | None) -> _Step:
        worth = self._worth[last + 1] - self._worth[first]
        tokens = self._tokens[last + 1] - self._tokens[first]
        if before is None:
            return _Step(Run(self._passage, first, last), worth, tokens + self._fixed)
        worth -= self._worth[before.last + 1] - self._worth[before.first]
        tokens -= self._tokens[before.last + 1] - self._tokens[before.first]
        return _Step(Run(self._passage, first, last), worth, max(tokens, 1e-9))


def greedy(field: Field, budget_tokens: float) -> Choice:
    """Steps by their worth by the token, while they are worth what they cost and fit."""
    price = field.cost / budget_tokens
    runs = [_Runs(field, passage, budget_tokens / FINEST) for passage in range(len(field.rate))]
    kept = [1.0] * len(runs)
    n_compared = [0] * len(runs)
    inside: dict[int, Run] = {}
    order: list[int] = []
    taken: list[Run] = []
    repeated: set[int] = set()
    worthless: set[int] = set()
    room = budget_tokens
    queue: list[tuple[float, int, _Step]] = []

    def put(passage: int) -> None:
        run = inside.get(passage)
        step = runs[passage].first(room) if run is None else runs[passage].next(run, room)
        if step is not None:
            heapq.heappush(queue, (-kept[passage] * step.worth / step.tokens, passage, step))

    for passage in range(len(runs)):
        put(passage)
    while queue:
        density, passage, step = heapq.heappop(queue)
        if step.tokens > room:
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


class _State(NamedTuple):
    """A set of runs on its way; `worth` is less what it costs."""

    worth: float
    tokens: float
    runs: dict[int, Run]
    taken: tuple[Run, ...]


def beam(field: Field, budget_tokens: float) -> Choice:
    """The best set found by going on from `_WIDTH` sets at a time, each by its `_BRANCHES` best steps."""
    price = field.cost / budget_tokens
    runs = [_Runs(field, passage, budget_tokens / FINEST) for passage in range(len(field.rate))]
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
