"""The closed loop: a cache answers or does not, what it missed is answered and stored, all it did is written down.

A stored answer is a text of its own, so the oracle of intents stands for the caller's verdict whenever a fresh answer
is compared with the candidate's. It is asked only after misses and explored hits; what was served wrongly only the loop
knows.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.cache.questions import Arrivals, Int64s, Questions

UNKNOWN = "unknown"
FROM = 1000
"""Cumulative error counts from this request on."""


class Kind(IntEnum):
    """What became of a request."""

    MISS = 0
    EXACT = 1
    SEMANTIC = 2


@dataclass(frozen=True, slots=True)
class Looked:
    """What a cache says of a request. `row` is what the candidate, or the entry served, was stored for; `pending` is
    what the cache needs to store the fresh answer."""

    kind: Kind
    category: str
    row: int | None
    is_relaxed: bool = False
    pending: Any = None


class Cache(Protocol):
    """What the loop drives: the pure core, or an engine around it."""

    def lookup(self, row: int, category: str | None, draw: float, load: float) -> Looked:
        """Ask."""

    def store(self, row: int, looked: Looked, is_right: bool | None) -> None:
        """Store the fresh answer of a miss; `is_right`: whether the candidate's would have done, None without one."""


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """One row per request (n,): `categories` are places in `names`, whose last is `unknown`."""

    names: tuple[str, ...]
    categories: Int64s
    kinds: Int64s
    is_false: NDArray[np.bool_]
    is_relaxed: NDArray[np.bool_]
    is_labelled: NDArray[np.bool_]

    @property
    def n(self) -> int:
        return len(self.kinds)

    @property
    def is_hit(self) -> NDArray[np.bool_]:
        """Served by meaning; exact hits are counted apart."""
        return np.asarray(self.kinds == Kind.SEMANTIC)

    @property
    def false_per_request(self) -> NDArray[np.float64]:
        """(n,), cumulative."""
        return np.asarray(np.cumsum(self.is_false) / np.arange(1, self.n + 1))

    @property
    def peak(self) -> float:
        """The highest cumulative share of false hits from request `FROM` on."""
        return float(self.false_per_request[FROM - 1 :].max())

    @property
    def false_per_hit(self) -> float:
        """Of hits by meaning."""
        return float(self.is_false.sum() / max(self.is_hit.sum(), 1))

    def counts(self, category: int) -> tuple[int, int, int]:
        """Requests, hits by meaning, false ones of a category."""
        chosen = self.categories == category
        return int(chosen.sum()), int((chosen & self.is_hit).sum()), int((chosen & self.is_false).sum())


def play(cache: Cache, questions: Questions, arrivals: Arrivals) -> Played:
    """Ask everything in turn; what misses is answered, compared and stored."""
    names = (*questions.names, UNKNOWN)
    n = len(arrivals.rows)
    categories, kinds = np.zeros(n, np.int64), np.zeros(n, np.int64)
    is_false, is_relaxed, is_labelled = np.zeros(n, np.bool_), np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    places = {name: place for place, name in enumerate(names)}
    for number, (row, draw, load) in enumerate(_in_turn(arrivals)):
        looked = cache.lookup(row, questions.category(row), draw, load)
        categories[number], kinds[number] = places[looked.category], looked.kind
        is_right = None if looked.row is None else questions.has_answer_of(row, looked.row)
        if looked.kind is Kind.MISS:
            is_labelled[number] = is_right is not None
            cache.store(row, looked, is_right)
        else:
            is_false[number] = not is_right
            is_relaxed[number] = looked.is_relaxed
    return Played(names, categories, kinds, is_false, is_relaxed, is_labelled)


def _in_turn(arrivals: Arrivals) -> "zip[tuple[int, float, float]]":
    return zip(arrivals.rows.tolist(), arrivals.draws.tolist(), arrivals.loads.tolist(), strict=True)
