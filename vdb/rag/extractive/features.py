"""What is known of each sentence that shares a word with the question, as numbers: the rows that weights are laid on.

`share` of the question's terms, by weight, that the sentence has; `around`, those that it has not and its neighbours,
or the title and headings of its passage, have; `pairs` of neighbours in the question that stand near each other here;
`kind`: it has what the question asks for, a number, a date, a cause; `new name`: it names what the question, asking
for a name, does not; `gap`: standard deviations of the scores that the passage lies below the best.
Shapes: rows float64 (n, `N_FEATURES`), in the order of the passages and of the sentences in them.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vdb.rag.extractive.analysed import NAME, Analysed
from vdb.rag.extractive.question import Read

__all__ = ["FEATURES", "N_FEATURES", "Rows", "most_of", "rows_of"]

FEATURES: Final = ("share", "around", "pairs", "kind", "new name", "gap")
N_FEATURES: Final = len(FEATURES)

_NEAR: Final = 3
"""Terms apart that two of a pair may stand."""
_WIDEST_GAP: Final = 4.0
_LARGEST: Final = 1e100
"""Scores beyond are made smaller first: a reranker may say any number, and squares of these have no float."""

_Found = dict[int, dict[str, list[int]]]
"""Sentence → the question's terms in it → their places."""


class Rows(NamedTuple):
    """`places` (n,) are passage and sentence of each row of `features` (n, N_FEATURES); `wholes` the share of the
    question that each passage has, with its title."""

    places: list[tuple[int, int]]
    features: NDArray[np.float64]
    wholes: list[float]


def rows_of(
    read: Read, passages: Sequence[Analysed], contexts: Sequence[frozenset[str]], scores: Sequence[float]
) -> Rows:
    """Of passages in any order: `contexts` are the terms of their titles and headings, `scores` those of the search."""
    places: list[tuple[int, int]] = []
    rows: list[tuple[float, ...]] = []
    wholes: list[float] = []
    weights = read.weights
    for i, (passage, context, gap) in enumerate(zip(passages, contexts, _gaps(scores), strict=True)):
        found = _found(read, passage)
        titled = context & weights.keys()
        wholes.append(sum(weights[term] for term in titled.union(*found.values())))
        for j, terms in found.items():
            around = titled.union(found.get(j - 1, ()), found.get(j + 1, ())).difference(terms)
            has_kind, has_new_name = _kinds(read, passage, j)
            rows.append(
                (
                    sum(weights[term] for term in terms),
                    sum(weights[term] for term in around),
                    _pairs(read, terms),
                    float(has_kind),
                    float(has_new_name),
                    gap,
                )
            )
            places.append((i, j))
    return Rows(places, np.array(rows, np.float64).reshape(len(rows), N_FEATURES), wholes)


def most_of(read: Read, passages: Sequence[Analysed], contexts: Sequence[frozenset[str]]) -> tuple[float, float, float]:
    """The most that a sentence has of the question, that a passage has with its context, and that a sentence has of the
    pairs: `share`, `wholes` and `pairs` of `rows_of`, without the rest of it."""
    weights = read.weights
    share = whole = pairs = 0.0
    for passage, context in zip(passages, contexts, strict=True):
        known, firsts = passage.places, passage.firsts
        shares: dict[int, float] = {}
        held = 0.0
        for term, weight in weights.items():
            places = known.get(term)
            if places is None:
                held += weight if term in context else 0.0
                continue
            held += weight
            last = -1
            for place in places:
                sentence = bisect_right(firsts, place) - 1
                if sentence != last:
                    shares[sentence] = shares.get(sentence, 0.0) + weight
                    last = sentence
        whole = max(whole, held)
        if shares:
            share = max(share, *shares.values())
            pairs = max(pairs, _most_pairs(read, passage))
    return share, whole, pairs


def _most_pairs(read: Read, passage: Analysed) -> float:
    """What `_pairs` says of the sentence that has most of them."""
    known, firsts = passage.places, passage.firsts
    totals: dict[int, float] = {}
    for first, second in read.pairs:
        one, other = known.get(first), known.get(second)
        if one is None or other is None or first == second:
            continue
        nearest: dict[int, int] = {}
        i = j = 0
        while i < len(one) and j < len(other):
            apart = one[i] - other[j]
            if -_NEAR <= apart <= _NEAR:
                sentence = bisect_right(firsts, one[i]) - 1
                if sentence == bisect_right(firsts, other[j]) - 1:
                    nearest[sentence] = min(nearest.get(sentence, _NEAR), abs(apart))
            if apart < 0:
                i += 1
            else:
                j += 1
        for sentence, apart in nearest.items():
            totals[sentence] = totals.get(sentence, 0.0) + 1.0 / apart
    return max(totals.values()) / len(read.pairs) if totals else 0.0


def _found(read: Read, passage: Analysed) -> _Found:
    found: _Found = {}
    known, firsts = passage.places, passage.firsts
    for term in read.weights:
        for place in known.get(term, ()):
            found.setdefault(bisect_right(firsts, place) - 1, {}).setdefault(term, []).append(place)
    return found


def _kinds(read: Read, passage: Analysed, sentence: int) -> tuple[bool, bool]:
    """Whether the sentence has what is asked for, and whether it has a new name, where a name is asked for."""
    if read.wanted == NAME:
        return False, not passage.names(sentence) <= read.weights.keys()
    return bool(read.wanted and passage.kinds(sentence) & read.wanted), False


def _pairs(read: Read, terms: dict[str, list[int]]) -> float:
    """The share of the question's pairs of neighbours that stand near each other, the nearer the more."""
    if not read.pairs or len(terms) < 2:
        return 0.0
    total = 0.0
    for first, second in read.pairs:
        if first in terms and second in terms:
            apart = _apart(terms[first], terms[second])
            if 0 < apart <= _NEAR:
                total += 1.0 / apart
    return total / len(read.pairs)


def _apart(first: list[int], second: list[int]) -> int:
    """The least distance of two ascending lists of places, in one pass over both."""
    i = j = 0
    least = abs(first[0] - second[0])
    while i < len(first) and j < len(second):
        least = min(least, abs(first[i] - second[j]))
        if first[i] < second[j]:
            i += 1
        else:
            j += 1
    return least


def _gaps(scores: Sequence[float]) -> list[float]:
    if not scores:
        return []
    largest = max(abs(score) for score in scores)
    if largest > _LARGEST:
        scores = [score / largest for score in scores]
    best, n = max(scores), len(scores)
    mean = sum(scores) / n
    deviation = (sum((score - mean) ** 2 for score in scores) / n) ** 0.5
    return [min((best - score) / deviation, _WIDEST_GAP) if deviation > 0 else 0.0 for score in scores]
