"""Answers a question: what the cache has, or retrieval, context, a backend, citations; then the cache learns of it.

Order of an answer: everything that can be wrong with the question is checked first (`asking`). Then, on a thread of
`Services.generations`, the cache is asked (`cached`), the passages are found (`retrieval`) and held against the
threshold (`supporting`): too little support is answered with "not found", and no backend is asked. What is found is
packed into the prompt (`context`) and written (`writing`), and the cache is told. Whoever asked may stop it between
any two of these, and while a backend writes; what was stopped, or failed, is not kept.

A key that is revoked meanwhile does not end an answer under way: it is of the moment in which it was asked for.
"""

import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from msgspec import UNSET, UnsetType
from msgspec.structs import replace
from numpy.typing import NDArray

from vdb.engine.acceleration.wanted import Abandoned, wanted_while
from vdb.engine.answering.asking import Asking, asking_of
from vdb.engine.answering.cached import Front, FrontFound
from vdb.engine.answering.cited import cited_answer, not_found
from vdb.engine.answering.context import Material, Prompt
from vdb.engine.answering.figures import Outcome, Stage
from vdb.engine.answering.question import Question
from vdb.engine.answering.retrieval import Found, retrieve
from vdb.engine.answering.supporting import Supported, supported
from vdb.engine.answering.telling import Emit, Telling
from vdb.engine.answering.writing import Writer, Written
from vdb.engine.services import Services
from vdb.errors import ShuttingDown
from vdb.protocol.answer_answers import CitedAnswer, FromCache, Timings
from vdb.rag.extractive import EXTRACTIVE
from vdb.rag.generate.base import Cancelled, Stop
from vdb.types import Caller

__all__ = ["Running", "ask"]


@dataclass(frozen=True, slots=True)
class Running:
    """An answer under way: its future, and what stops it. A stopped one raises Cancelled."""

    future: "Future[CitedAnswer]"
    stop: Stop


def ask(services: Services, caller: Caller, question: Question, emit: Emit | None) -> Running:
    """Begin to answer. Raises what is wrong with the question, and QueueFull; the rest is the future's to raise.

    Its future raises Cancelled where it was stopped, ShuttingDown, ModelUnavailable, BudgetTooSmall and what `search`
    raises.
    """
    try:
        asking = asking_of(services, caller, question)
        stop = Stop()
        run = _Run(services, asking, stop, Telling(emit, question.options.with_texts))
        is_here = all(backend.name == EXTRACTIVE for backend in asking.backends)
        future = services.generations.submit(asking.tenant_id, stop, is_here, services.in_context(run.answer))
    except Exception:
        services.answers.note_outcome("error")
        raise
    return Running(future, stop)


@dataclass(slots=True)
class _Run:
    """One question on its thread."""

    services: Services
    asking: Asking
    stop: Stop
    telling: Telling
    began: float = field(default_factory=time.perf_counter)
    timings: Timings = field(default_factory=Timings)
    cache: FromCache = field(default_factory=lambda: FromCache(hit=None, reason="off"))

    def answer(self) -> CitedAnswer:
        outcome: Outcome = "error"
        try:
            answer = self._answer()
            outcome = "cached" if answer.cache.hit else "found" if answer.found else "not_found"
            self._finish(answer)
            return answer
        except Cancelled:
            outcome = "cancelled"
            if self.services.is_stopping.is_set():
                raise ShuttingDown("the server is shutting down", retry_after_s=1.0) from None
            raise
        finally:
            self.services.answers.note_outcome(outcome)

    def _answer(self) -> CitedAnswer:
        self._check_wanted()
        with self._front() as front:  # whoever waits for this answer goes on when it ends, however it does
            known = self._looked_up(front)
            self._check_wanted()
            if known.answer is not None:
                return known.answer
            found = self._retrieved(known.vector)
            self._check_wanted()
            reached = self._supported(found)
            if not self._is_borne(found, reached):
                return self._not_found(front, found, reached.support)
            written = self._written(Material(found, reached, known.examples))
            self._check_wanted()
            if not written.text.strip():
                return self._not_found(front, found, reached.support)
            answer = cited_answer(self.asking, found, reached.support, written, self.cache, self.timings)
            prompt = written.prompt
            answer.cache = front.store(answer, prompt.asked.passages, None if prompt.context.whole else found.answer)
            return answer

    def _is_wanted(self) -> bool:
        return not (self.stop.is_requested or self.services.is_stopping.is_set())

    def _check_wanted(self) -> None:
        if not self._is_wanted():
            raise Cancelled

    # What the cache has

    def _front(self) -> Front:
        asking = self.asking
        return Front(
            self.services, asking.caller, asking.tenant_id, asking.cache, asking.collection, asking.search,
            asking.vector, asking.question.history, "" if asking.cache is None else asking.fingerprint,
            asking.backends[0].load,
        )  # fmt: skip

    def _looked_up(self, front: Front) -> FrontFound:
        if self.asking.cache is None:
            return front.look_up()
        began = time.perf_counter()
        known = front.look_up(self.stop, with_texts=self.asking.question.options.with_texts)
        self.timings.cache_ms = self._noted("cache", began, time.perf_counter() - began)
        self.cache = known.cache
        if known.answer is not None:
            known.answer.timings = self.timings
            self.telling.whole(known.answer)
        return known

    # What the collection has

    def _retrieved(self, vector: NDArray[np.float32] | None) -> Found:
        """What is found; `vector` of the question, where the cache was asked with one."""
        began = time.perf_counter()
        request = self.asking.search
        if vector is not None and request.vector is UNSET and request.mode != "sparse":
            request = replace(request, vector=vector)
        try:
            with wanted_while(self._is_wanted):
                found = retrieve(self.services, self.asking, request, self._whole_tokens())
        except Abandoned:
            raise Cancelled from None
        self.timings.retrieval_ms = self._noted("retrieval", began, time.perf_counter() - began)
        return found

    def _whole_tokens(self) -> int:
        """How long a context that holds everything may be; 0 where none is to."""
        if not self.asking.context.may_be_whole:
            return 0
        largest = max((one.context_tokens for one in self.asking.backends if one.name != EXTRACTIVE), default=0)
        budget = self.asking.context.budget_tokens
        return largest if budget is None else min(budget, largest)

    def _supported(self, found: Found) -> Supported:
        asking = self.asking
        hits = [] if isinstance(found.answer.hits, UnsetType) else found.answer.hits
        return supported(self.services, asking.collection, asking.tenant_id, asking.question.text, found.passages, hits)

    def _is_borne(self, found: Found, reached: Supported) -> bool:
        has_text = any(passage.text.strip() for passage in found.everything or found.passages)
        return has_text and reached.support >= self.asking.threshold

    def _not_found(self, front: Front, found: Found, support: float) -> CitedAnswer:
        answer = not_found(self.asking, found, support, self.cache, self.timings)
        self.telling.whole(answer)
        answer.cache = front.store(answer, (), None)
        return answer

    # What a backend writes

    def _written(self, material: Material) -> Written:
        answers = self.services.answers
        tell = partial(self._tell_prompt, material.found)
        writer = Writer(self.asking, material, answers, self.stop, tell, self.telling.text)
        began = time.perf_counter()
        written = writer.write()
        answers.note_unknown_citations(written.citations.n_unknown)
        self.timings.context_ms = self._noted("context", began, writer.context_s)
        self.timings.first_token_ms = self._noted("first_token", written.began, written.first_token_s, is_span=False)
        self.timings.generation_ms = self._noted("generation", written.began, written.generation_s)
        return written

    def _tell_prompt(self, found: Found, prompt: Prompt) -> None:
        if self.asking.question.options.explain:
            prompt.context.dropped = prompt.dropped
        self.telling.prompt(prompt, found.sequence, self.cache)

    def _noted(self, stage: Stage, began: float, seconds: float, *, is_span: bool = True) -> float:
        """Count a stage that began then and took so long; its milliseconds."""
        self.services.answers.note_stage(stage, seconds)
        if self.services.stages is not None and is_span:
            self.services.stages.note("generate" if stage == "generation" else stage, began, seconds)
        return round(seconds * 1e3, 3)

    def _finish(self, answer: CitedAnswer) -> None:
        self.timings.total_ms = round((time.perf_counter() - self.began) * 1e3, 3)
        self.telling.end(answer)
