"""A question held against the server: its collection, search, template and backends, all checked before any work."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from vdb.engine.answering.backends import backends_for
from vdb.engine.answering.cache_choices import CacheChoice, cache_choice
from vdb.engine.answering.cached import fingerprint_of
from vdb.engine.answering.choices import answering_of
from vdb.engine.answering.question import Question, given
from vdb.engine.answering.templates import template_of
from vdb.engine.filters import Filter
from vdb.engine.matching import filter_of
from vdb.engine.plan import plan_of
from vdb.engine.ranked_plan import wish_of
from vdb.engine.services import Services
from vdb.engine.vectors import matrix_of
from vdb.errors import CollectionNotFound, InvalidArgument, Problem, VdbError
from vdb.protocol.answer_requests import AnswerCache, ContextOptions
from vdb.protocol.answering import Order
from vdb.protocol.requests import MAX_BUDGET, Search
from vdb.rag.extractive import DEFAULT_THRESHOLD
from vdb.rag.generate.base import Backend
from vdb.rag.prompt import Template
from vdb.storage.catalog import AnsweringDocument, CollectionDocument
from vdb.tenancy.access import check_tenant_exists
from vdb.types import Caller

__all__ = ["DEFAULT_LIMIT", "DEFAULT_PASSAGES", "MAX_TEMPERATURE", "MAX_WEIGHT", "Asking", "ContextWish", "asking_of"]

DEFAULT_LIMIT = 50
"""Passages that are looked for where neither the request nor the collection says."""
DEFAULT_PASSAGES = 20
"""Passages of them that go into a context: what comes after them in a search seldom holds an answer, and all of them
cost tokens."""
MAX_TEMPERATURE = 2.0
MAX_WEIGHT = 1e6
"""Of redundancy and cost."""


@dataclass(frozen=True, slots=True)
class ContextWish:
    """What of the passages goes into the context; `budget_tokens` None: what the backend's own context leaves."""

    budget_tokens: int | None
    most_passages: int
    method: Literal["greedy", "beam"]
    redundancy: float | None
    cost: float | None
    order: Order
    may_be_whole: bool


@dataclass(frozen=True, slots=True)
class Asking:
    """A checked question of a tenant. `backends` in the order in which they are to be tried, at least one."""

    question: Question
    caller: Caller
    tenant_id: int
    collection: CollectionDocument
    search: Search
    parsed_filter: Filter | None
    vector: NDArray[np.float32] | None
    backends: Sequence[Backend]
    context: ContextWish
    template: Template
    threshold: float
    cache: CacheChoice | None

    def at(self, pointer: str) -> str:
        """The pointer of one of the options."""
        return self.question.options_at + pointer

    @property
    def may_be_kept(self) -> bool:
        """Whether results of its search may be kept, or be those of an earlier one: not where the cache is off."""
        cache = self.question.options.cache
        return (cache.use if isinstance(cache, AnswerCache) else cache) != "off"

    @property
    def fingerprint(self) -> str:
        """What has to be equal for one answer to stand for another, beside the question and its search."""
        question = self.question
        backends = sorted((one.name, one.model, one.context_tokens, one.max_tokens) for one in self.backends)
        made = (question.max_tokens, question.temperature, question.top_p, question.seed, question.stop)
        return fingerprint_of(self.template, backends, self.context, self.threshold, made)


def asking_of(services: Services, caller: Caller, question: Question) -> Asking:
    """The question checked, in the order of the members; nothing is read from the collection yet.

    Raises CollectionNotFound, TenantNotFound, SequenceTimeout, ModelNotFound, TemplateNotFound, CacheNotFound,
    InvalidArgument and its kinds, TooLarge, each at the member at fault.
    """
    collection = services.usable(caller, question.collection)
    tenant_id = check_tenant_exists(caller)
    options = question.options
    _check_generation(question)
    with services.shard_for_read(collection, options):
        pass  # whoever waits for a sequence has nothing answered before it is there
    vector = _vector_of(question, collection)
    stated = answering_of(collection)
    search = _search_of(question, stated, vector)
    parsed = _checked_search(services, collection, question, search)
    return Asking(
        question=question,
        caller=caller,
        tenant_id=tenant_id,
        collection=collection,
        search=search,
        parsed_filter=parsed,
        vector=vector,
        backends=backends_for(services, collection, question),
        context=_context_of(question, stated),
        template=template_of(services, collection, given(question.options.template), f"{question.options_at}/template"),
        threshold=_threshold_of(question, stated),
        cache=cache_choice(services, caller, collection, question.options.cache, question.options_at),
    )


def _check_generation(question: Question) -> None:
    if question.max_tokens is not None and not 1 <= question.max_tokens <= MAX_BUDGET:
        raise InvalidArgument.at(question.max_tokens_at, f"max_tokens is 1 to {MAX_BUDGET}")
    if question.temperature is not None and not 0 <= question.temperature <= MAX_TEMPERATURE:
        raise InvalidArgument.at("/temperature", f"temperature is 0 to {MAX_TEMPERATURE:g}")
    if question.top_p is not None and not 0 < question.top_p <= 1:
        raise InvalidArgument.at("/top_p", "top_p is above 0, and at most 1")


def _vector_of(question: Question, collection: CollectionDocument) -> NDArray[np.float32] | None:
    vector = question.options.vector
    if vector is UNSET:
        return None
    row: NDArray[np.float32] = matrix_of([vector], collection.dimension, lambda _: f"{question.options_at}/vector")[0]
    return row


def _search_of(question: Question, stated: AnsweringDocument, vector: NDArray[np.float32] | None) -> Search:
    options = question.options
    limit: Any = stated.limit if options.limit is UNSET else options.limit
    return Search(
        text=question.text,
        vector=UNSET if vector is None else vector,  # type: ignore[arg-type]
        limit=DEFAULT_LIMIT if limit is None else limit,
        mode=options.mode,
        fusion=options.fusion,
        reranker=options.reranker,
        filter=options.filter,
        params=options.params,
        min_sequence=options.min_sequence,
        timeout_s=options.timeout_s,
        with_payload=True,
    )


def _checked_search(
    services: Services, collection: CollectionDocument, question: Question, search: Search
) -> Filter | None:
    """The filter, where the search may be made; what is wrong with it is told at the question's own members."""
    most = services.settings.limits.max_limit
    if not 1 <= search.limit <= most:
        raise InvalidArgument.at(f"{question.options_at}/limit", f"limit is 1 to {most}")
    try:
        wish_of(services, collection, search, None)
        plan_of(search, services.settings.limits)
        return filter_of(search.filter, collection)
    except CollectionNotFound:
        raise
    except VdbError as exc:
        raise _pointed_anew(exc, question) from exc


def _pointed_anew(error: VdbError, question: Question) -> VdbError:
    """An error of a search at the members of the question that it was made of."""
    problems = tuple(
        Problem(question.text_at if fault.pointer == "/text" else question.options_at + fault.pointer, fault.detail)
        for fault in error.problems
    )
    return type(error)(error.detail, problems=problems, retry_after_s=error.retry_after_s)


def _context_of(question: Question, stated: AnsweringDocument) -> ContextWish:
    options = question.options
    asked = options.context if isinstance(options.context, ContextOptions) else ContextOptions()
    at = f"{question.options_at}/context"
    tokens, redundancy, cost = given(asked.tokens), given(asked.redundancy), given(asked.cost)
    if tokens is not None and not 1 <= tokens <= MAX_BUDGET:
        raise InvalidArgument.at(f"{at}/tokens", f"tokens is 1 to {MAX_BUDGET}")
    most = given(asked.passages)
    if most is not None and not 1 <= most <= MAX_BUDGET:
        raise InvalidArgument.at(f"{at}/passages", f"passages is 1 to {MAX_BUDGET}")
    for name, weight in (("redundancy", redundancy), ("cost", cost)):
        if weight is not None and not (math.isfinite(weight) and 0 <= weight <= MAX_WEIGHT):
            raise InvalidArgument.at(f"{at}/{name}", f"{name} is 0 to {MAX_WEIGHT:g}")
    return ContextWish(
        budget_tokens=stated.context_tokens if tokens is None else tokens,
        most_passages=DEFAULT_PASSAGES if most is None else most,
        method=asked.method,
        redundancy=redundancy,
        cost=cost,
        order=given(asked.order) or stated.order or "score",
        may_be_whole=asked.whole,
    )


def _threshold_of(question: Question, stated: AnsweringDocument) -> float:
    threshold = given(question.options.threshold)
    if threshold is None:
        return DEFAULT_THRESHOLD if stated.threshold is None else stated.threshold
    if not 0 <= threshold <= 1:
        raise InvalidArgument.at(f"{question.options_at}/threshold", "threshold is 0 to 1")
    return float(threshold)
