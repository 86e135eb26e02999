"""How the weights of the extractive backend and of support are fitted: half of SQuAD teaches, the other half judges.

A sentence's weights: a softmax over the sentences of a question's `N_PASSAGES` best paragraphs is to choose one that
holds an answer in the paragraph that the question was asked about. Support's: a logistic regression tells questions
asked in their own article from those asked in another; its constant puts `REFUSED` of the others below one half.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64s = NDArray[np.float64]
Bools = NDArray[np.bool_]

N_PASSAGES = 20
REFUSED = 0.965
_L2 = 1e-3
_STEPS = 300


@dataclass(frozen=True, slots=True)
class Choice:
    """The sentences of one question: `features` (n, f), which hold an answer, which stand in its paragraph."""

    group: str
    features: Float64s
    holds: Bools
    is_own: Bools


@dataclass(frozen=True, slots=True)
class Asked:
    """A question asked in an article: what support knows of it, (f,), and whether the article is its own."""

    group: str
    known: Float64s
    is_own: bool


def halves(groups: Sequence[str], split: int) -> tuple[set[str], set[str]]:
    """Groups that teach, and groups that judge."""
    names = sorted(set(groups))
    order = np.random.default_rng([split]).permutation(len(names))
    taught = {names[place] for place in order[: len(names) // 2]}
    return taught, set(names) - taught


def fitted_choice(choices: Sequence[Choice]) -> Float64s:
    """Weights of the features; questions without a sentence to be chosen teach nothing."""
    given = [choice for choice in choices if (choice.holds & choice.is_own).any()]
    features = np.concatenate([choice.features for choice in given])
    wanted = np.concatenate([choice.holds & choice.is_own for choice in given]).astype(np.float64)
    counts = np.array([len(choice.holds) for choice in given])
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    scale = features.std(axis=0) + 1e-9
    scaled = features / scale

    def loss(weights: Float64s) -> tuple[float, Float64s]:
        values = scaled @ weights
        raised = np.exp(values - np.repeat(np.maximum.reduceat(values, starts), counts))
        whole, good = np.add.reduceat(raised, starts), np.add.reduceat(raised * wanted, starts)
        pull = raised / np.repeat(whole, counts) - raised * wanted / np.repeat(good, counts)
        lost = float(np.log(whole / good).mean()) + _L2 * float(weights @ weights)
        return lost, scaled.T @ pull / len(given) + 2 * _L2 * weights

    weights: Float64s = _least(loss, features.shape[1]) / scale
    return weights


def judged_choice(choices: Sequence[Choice], weights: Float64s) -> tuple[float, float]:
    """Shares of the questions whose best sentence holds an answer, and stands in the paragraph asked about."""
    best = [int(np.argmax(choice.features @ weights)) for choice in choices]
    holds = [choice.holds[place] for choice, place in zip(choices, best, strict=True)]
    own = [choice.is_own[place] for choice, place in zip(choices, best, strict=True)]
    return float(np.mean(holds)), float(np.mean(own))


def fitted_support(asked: Sequence[Asked]) -> Float64s:
    """Weights of what support knows, and the constant."""
    known = np.array([one.known for one in asked])
    own = np.array([one.is_own for one in asked])
    scale = known.std(axis=0) + 1e-9
    centre = known.mean(axis=0)
    scaled = np.column_stack([(known - centre) / scale, np.ones(len(known))])
    share = np.where(own, 1 / own.sum(), 1 / (~own).sum())

    def loss(weights: Float64s) -> tuple[float, Float64s]:
        values = scaled @ weights
        lost = float((share * np.logaddexp(0, np.where(own, -values, values))).sum())
        penalty = np.append(weights[:-1], 0.0)
        slope = scaled.T @ (share * (1 / (1 + np.exp(-values)) - own))
        return lost + 10 * _L2 * float(penalty @ penalty), slope + 20 * _L2 * penalty

    weights = _least(loss, scaled.shape[1])[:-1] / scale
    constant = -float(np.quantile(known[~own] @ weights, REFUSED))
    return np.append(weights, constant)


def judged_support(asked: Sequence[Asked], weights: Float64s) -> tuple[float, float]:
    """Shares of own questions that are refused, and of others."""
    known = np.array([one.known for one in asked])
    own = np.array([one.is_own for one in asked])
    refused = known @ weights[:-1] + weights[-1] < 0
    return float(refused[own].mean()), float(refused[~own].mean())


def _least(loss: Callable[[Float64s], tuple[float, Float64s]], n: int) -> Float64s:
    """Where a smooth loss is least: gradient steps of Barzilai and Borwein, halved while they do not pay."""
    at = np.zeros(n)
    lost, slope = loss(at)
    step = 1.0
    for _ in range(_STEPS):
        while True:
            then = at - step * slope
            then_lost, then_slope = loss(then)
            if then_lost <= lost or step < 1e-12:
                break
            step /= 2
        moved, turned = then - at, then_slope - slope
        at, lost, slope = then, then_lost, then_slope
        if float(np.abs(slope).max()) < 1e-7:
            break
        step = float(moved @ moved) / max(float(moved @ turned), 1e-12)
    return at
