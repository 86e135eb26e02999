"""Support: how well passages bear an answer to a question, 0 to 1, whoever writes it.

It looks at the words of the question in the best passages, and at how much nearer the nearest passage is than those
that were found last: questions of another subject have neither. The weights were fitted by `bench.answers.fitting`
on SQuAD 2.0: half of its articles, each question asked in its own and in another, with two embedders.
`DEFAULT_THRESHOLD` is where 19 of 20 questions of other articles are refused; a calibrated collection has its own.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from vdb.rag.analysis import analyser_of
from vdb.rag.extractive.analysed import SHARED, Analyses
from vdb.rag.extractive.features import most_of
from vdb.rag.extractive.question import context_of, read, weights_among
from vdb.rag.passage import Passage
from vdb.types import Metric

__all__ = ["DEFAULT_THRESHOLD", "evidence", "similarities_of", "support"]

DEFAULT_THRESHOLD: Final = 0.5
"""Below it an answer is "not found", where neither request nor collection says otherwise."""

_READ: Final = 10
"""Passages whose words are looked at, the best by score."""
_FULL_TERMS: Final = 5.0
"""A passage that has as much of the question as so many of its rarest terms weigh has enough: long ones say more than
any passage repeats."""
_LEAST_FOR_TAIL: Final = 4
_HEAD: Final = 10
"""Candidates, in order of similarity, behind which those begin that were found for want of better ones."""

_BY_WORDS: Final = (4.66, 4.95, 5.79, -3.81)
_BY_BOTH: Final = (4.02, 4.19, 4.50, 9.96, -5.33)
"""Weights of the most that a sentence has of the question, a passage has, and a sentence of its pairs, of how far the
nearest stands out; and a constant."""


def support(
    question: str,
    passages: Sequence[Passage],
    *,
    scores: Sequence[float] | None = None,
    similarities: Sequence[float | None] | None = None,
    weights: Mapping[str, float] | None = None,
    language: str = "english",
    analyses: Analyses = SHARED,
) -> float:
    """Of a question and all that was found for it, best first or not: 50 candidates say more than 5.

    `scores` of the passages, where they are known without them: then only the best are looked at, by index.
    `similarities` to the question's vector, 1 for the same, None where a point has no vector (`similarities_of`);
    `weights`: rarity of the question's terms among what the tenant may see, else that among the passages counts.
    0 without passages. Raises KeyError for an unknown language.
    """
    if not passages:
        return 0.0
    known = evidence(
        question,
        passages,
        scores=scores,
        similarities=similarities,
        weights=weights,
        language=language,
        analyses=analyses,
    )
    weighed = _BY_BOTH if len(known) == len(_BY_BOTH) - 1 else _BY_WORDS
    logit = weighed[-1] + sum(weight * value for weight, value in zip(weighed[:-1], known, strict=True))
    return 1.0 / (1.0 + math.exp(-logit))


def evidence(
    question: str,
    passages: Sequence[Passage],
    *,
    scores: Sequence[float] | None = None,
    similarities: Sequence[float | None] | None = None,
    weights: Mapping[str, float] | None = None,
    language: str = "english",
    analyses: Analyses = SHARED,
) -> list[float]:
    """What support weighs, of at least one passage: the three of `_BY_WORDS`, and where vectors tell it the fourth."""
    analyser = analyser_of(language)
    if scores is None:
        scores = [passage.score for passage in passages]
    best = sorted(range(len(passages)), key=scores.__getitem__, reverse=True)  # equal ones by place
    n_read = _READ if scores[best[0]] > scores[best[-1]] else len(passages)
    n_analysed = len(passages) if weights is None else n_read
    read_first = [analyses.of(passages[i].text, analyser) for i in best[:n_analysed]]
    if weights is None:
        weights = weights_among(analyser.terms(question), read_first)
    asked = read(question, analyser, weights)
    chosen = [passages[i] for i in best[:n_read]]
    share, whole, pairs = most_of(asked, read_first[:n_read], [context_of(one, analyser) for one in chosen])
    long = max(1.0, 1.0 / (_FULL_TERMS * max(asked.weights.values(), default=1.0)))
    known = [min(share * long, 1.0), min(whole * long, 1.0), pairs]
    near = _nearness(similarities) if similarities is not None else None
    return known if near is None else [*known, near]


def similarities_of(metric: Metric, distances: Sequence[float | None]) -> list[float | None] | None:
    """Distances of a search as similarities; None where the metric says nothing of how alike two vectors are."""
    if metric is not Metric.COSINE:
        return None
    return [None if distance is None else 1.0 - distance for distance in distances]


def _nearness(similarities: Sequence[float | None]) -> float | None:
    """How far the nearest stands out of those found last, as a share of what it could; None for too few."""
    known = sorted((value for value in similarities if value is not None), reverse=True)
    if len(known) < _LEAST_FOR_TAIL:
        return None
    tail = known[_HEAD:] if len(known) >= 2 * _HEAD else known[len(known) // 2 :]
    usual = sum(tail) / len(tail)
    return (known[0] - usual) / (1.0 - usual) if usual < 1.0 else 0.0
