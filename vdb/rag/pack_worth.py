"""What each sentence of each candidate is worth to a question: its share of the chance to answer it, 1 in all.

Shapes: n passages, s sentences of all of them, in order; `firsts` (n + 1,) the place of each passage's first sentence.

A passage has the softmax of the scores, which are brought to standard deviations below the best; its sentences share
that by their lengths, times e to the `SHARPNESS` of what they hold of the question: the rarity of its words that stand
in the sentence, and `BESIDE` of those that stand in the better one of its neighbours. A question without a word in any
passage thus parts a passage evenly.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vdb.rag.extractive.analysed import Analysed
from vdb.rag.passage import Passage

__all__ = ["BESIDE", "SHARPNESS", "Float64s", "Worth", "chances", "worth_of"]

SHARPNESS = 6.0
BESIDE = 0.5
"""Chosen on half of the articles of SQuAD 2.0 dev (docs/benchmarks.md); what is near them does as well."""

_ALIKE = 1e-12
"""Standard deviation of scores, the largest of which is 1, that tell nothing apart."""

Float64s = NDArray[np.float64]


class Worth(NamedTuple):
    """`worth` and `length` (s,): the latter in characters, up to the next sentence; `firsts` (n + 1,)."""

    worth: list[float]
    length: list[int]
    firsts: list[int]


def worth_of(
    passages: Sequence[Passage], analysed: Sequence[Analysed], terms: Mapping[str, float], chance: Float64s
) -> Worth:
    """Of n passages that have a sentence each, with their `chance` (n,), and of a question's terms with their rarity,
    of any scale."""
    firsts = [0]
    length: list[int] = []
    for passage, one in zip(passages, analysed, strict=True):
        starts = [start for start, _ in one.spans]
        length += [b - a for a, b in zip(starts, [*starts[1:], len(passage.text)], strict=True)]
        firsts.append(len(length))
    held = _held(analysed, firsts, terms)
    before, after = np.zeros(len(held)), np.zeros(len(held))
    before[1:], after[:-1] = held[:-1], held[1:]
    before[firsts[:-1]] = 0.0
    after[np.array(firsts[1:]) - 1] = 0.0
    lengths = np.array(length, np.float64)
    parts = lengths * np.exp(SHARPNESS * (held + BESIDE * np.maximum(before, after)))
    sums = np.add.reduceat(parts, firsts[:-1])
    worth = parts * np.repeat(chance / sums, np.diff(firsts))
    return Worth(worth.tolist(), length, firsts)


def chances(scores: Sequence[float]) -> Float64s:
    """The softmax of scores, finite and of any scale, in standard deviations."""
    most = max(map(abs, scores)) or 1.0
    below = np.array([score / most for score in scores])
    below -= below.max()
    apart = below - np.add.reduce(below) / len(below)
    deviation = math.sqrt(np.add.reduce(apart * apart) / len(below))  # as std has it, which takes three times as long
    parts = np.exp(below / deviation if deviation > _ALIKE else np.zeros(len(below)))
    return np.asarray(parts / np.add.reduce(parts))


def _held(analysed: Sequence[Analysed], firsts: Sequence[int], terms: Mapping[str, float]) -> Float64s:
    """The share of the question's terms that each sentence holds, by their rarity."""
    held = [0.0] * firsts[-1]
    whole = math.fsum(terms.values())
    if whole <= 0:
        return np.array(held)
    for at, one in enumerate(analysed):
        known, ends, first = one.places, one.firsts, firsts[at]
        for term, rarity in terms.items():
            places = known.get(term)
            if places is None:
                continue
            share, last = rarity / whole, -1
            for place in places:
                sentence = bisect_right(ends, place) - 1
                if sentence != last:
                    held[first + sentence] += share
                    last = sentence
    return np.array(held)
