"""Answers of a collection beside those that are right: what is said, what is cited, and what is "not found".

Texts are compared as SQuAD compares them: without case, punctuation, and the articles of English. `exact` and `f1` (of
words) take the whole answer; a question without one has 1 where nothing was found, else 0 (Rajpurkar et al., 2018).
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from vdb.client.sync import Operations
from vdb.errors import InvalidArgument
from vdb.evaluation.answer_files import AnsweredQuestion
from vdb.evaluation.asking import POINT
from vdb.protocol.answer_answers import CitedAnswer, Reference

N_STEPS = 50
"""Of the curve: thresholds 0, 1 / 50, … 1."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation))

Told = Callable[[int, int], None]
"""Told how many questions are answered, and of how many."""


class Judged(Struct, frozen=True):
    """One answer: shares and truths as floats; None where nothing tells. `support` is that of what was found."""

    id: str
    tenant: str
    is_answerable: bool
    is_found: bool
    support: float
    exact: float
    f1: float
    in_first: float | None
    in_answer: float | None
    cited: float | None


class AnswersEvaluation(Struct):
    """Means over the questions: `exact`, `f1` over all; `in_first` (the first sentence holds an answer), `in_answer`
    (any does), `cited` (the first sentence cites what is relevant) over answerable ones, found or not; `decided`:
    rightly found or not; `lost` of the answerable, `refused` of the others. `curve`: (threshold, lost, refused)."""

    collection: str
    by: str
    backend: str
    threshold: float
    n_answerable: int
    n_unanswerable: int
    means: dict[str, float]
    tenants: dict[str, dict[str, float]]
    curve: list[tuple[float, float | None, float | None]]
    judged: list[Judged]


def evaluate_answers(
    client: Operations,
    collection: str,
    questions: Sequence[AnsweredQuestion],
    *,
    by: str = POINT,
    options: dict[str, Any] | None = None,
    told: Told = lambda n_done, n_questions: None,
) -> AnswersEvaluation:
    """Ask every question as its tenant would, but past the cache. `by` is what `relevant` names: `point` or `document`.

    `options` are those of `Collection.answer`. Raises InvalidArgument without questions, and what `answer` raises.
    """
    if by not in (POINT, "document"):
        raise InvalidArgument("relevant names a point or a document")
    judged, answer = [], None
    for number, question in enumerate(questions, 1):
        answer = _answer(client, collection, question, options or {})
        judged.append(_judged(question, answer, by))
        told(number, len(questions))
    if answer is None:
        raise InvalidArgument("there are no questions")
    tenants = sorted({one.tenant for one in judged})
    own = {tenant: means([one for one in judged if one.tenant == tenant]) for tenant in tenants}
    return AnswersEvaluation(
        collection,
        by,
        answer.backend,
        0.0 if answer.threshold is None else answer.threshold,
        sum(one.is_answerable for one in judged),
        sum(not one.is_answerable for one in judged),
        means(judged),
        own if len(own) > 1 else {},
        _curve(judged),
        judged,
    )


def means(judged: Sequence[Judged]) -> dict[str, float]:
    """Each figure over those that have it; what none has is left out."""
    own = [one for one in judged if one.is_answerable]
    others = [one for one in judged if not one.is_answerable]
    values: dict[str, list[float | None]] = {
        "exact": [one.exact for one in judged],
        "f1": [one.f1 for one in judged],
        "in_first": [one.in_first for one in own],
        "in_answer": [one.in_answer for one in own],
        "cited": [one.cited for one in own],
        "decided": [float(one.is_found == one.is_answerable) for one in judged],
        "lost": [float(not one.is_found) for one in own],
        "refused": [float(not one.is_found) for one in others],
    }
    known = {name: [value for value in given if value is not None] for name, given in values.items()}
    return {name: sum(given) / len(given) for name, given in known.items() if given}


def plain(text: str) -> str:
    """A text as it is compared."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def _answer(client: Operations, name: str, question: AnsweredQuestion, options: dict[str, Any]) -> CitedAnswer:
    collection: Any = client.collection(name, question.tenant)
    given = dict(options)
    if question.vector is not None:
        given["vector"] = np.array(question.vector, np.float32)
    answer: CitedAnswer = collection.answer(question.text, cache="off", **given)
    return answer


def _judged(question: AnsweredQuestion, answer: CitedAnswer, by: str) -> Judged:
    said = [sentence.text for sentence in answer.answer] if answer.found else []
    whole, right = plain(" ".join(said)), [plain(text) for text in question.answers]
    has_answer = bool(question.answers)
    return Judged(
        question.id,
        question.tenant or "",
        has_answer,
        answer.found,
        answer.support or 0.0,
        float(whole in right) if has_answer else float(not answer.found),
        max(_f1(whole, one) for one in right) if has_answer else float(not answer.found),
        float(bool(said) and _holds(said[0], right)) if has_answer else None,
        float(any(_holds(sentence, right) for sentence in said)) if has_answer else None,
        _cited(question, answer, by) if has_answer and question.relevant else None,
    )


def _holds(sentence: str, right: Sequence[str]) -> bool:
    text = f" {plain(sentence)} "
    return any(one and f" {one} " in text for one in right)


def _f1(said: str, right: str) -> float:
    """Of the words of both."""
    ours, theirs = Counter(said.split()), Counter(right.split())
    n_shared = sum((ours & theirs).values())
    if not n_shared:
        return float(ours == theirs)
    precision, recall = n_shared / ours.total(), n_shared / theirs.total()
    return 2 * precision * recall / (precision + recall)


def _cited(question: AnsweredQuestion, answer: CitedAnswer, by: str) -> float:
    if not answer.found or not answer.answer:
        return 0.0
    references = [answer.references[place] for place in answer.answer[0].citations]
    return float(any(_name(reference, by) in question.relevant for reference in references))


def _name(reference: Reference, by: str) -> str:
    return reference.document or reference.id if by == "document" else reference.id


def _curve(judged: Sequence[Judged]) -> list[tuple[float, float | None, float | None]]:
    own = [one.support for one in judged if one.is_answerable]
    others = [one.support for one in judged if not one.is_answerable]
    steps = [step / N_STEPS for step in range(N_STEPS + 1)]
    return [(step, _below(own, step), _below(others, step)) for step in steps]


def _below(supports: Sequence[float], threshold: float) -> float | None:
    return sum(value < threshold for value in supports) / len(supports) if supports else None
