"""Answers a question: what the cache has, or retrieval, context, a backend, citations; then the cache learns of it.

Order of an answer: everything that can be wrong with the question is checked first (`asking`); then, on a thread of
`Services.generations`, the passages are found (`retrieval`), and held against the threshold: too little support is
answered with "not found", and no backend is asked. What is found is packed into the prompt (`context`) and written
(`writing`). Whoever asked may stop it between any two of these, and while a backend writes.

A key that is revoked meanwhile does not end an answer under way: it is of the moment in which it was asked for.
"""

import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

from vdb.engine.answering.asking import Asking, asking_of
from vdb.engine.answering.backends import EXTRACTIVE
from vdb.engine.answering.cited import cited_answer, not_found
from vdb.engine.answering.context import Prompt
from vdb.engine.answering.figures import Outcome, Stage
from vdb.engine.answering.question import Question
from vdb.engine.answering.retrieval import Found, retrieve
from vdb.engine.answering.telling import Emit, Telling
from vdb.engine.answering.writing import Writer, Written
from vdb.engine.services import Services
from vdb.errors import ShuttingDown
from vdb.protocol.answer_answers import CitedAnswer, FromCache, Timings
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
        future = services.generations.submit(asking.tenant_id, stop, services.in_context(run.answer))
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
            outcome = "found" if answer.found else "not_found"
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
        found = self._retrieved()
        self._check_wanted()
        support = self._support(found)
        if support is None or support < self.asking.threshold:
            answer = not_found(self.asking, found, support or 0.0, self.cache, self.timings)
            self.telling.whole(answer)
            return answer
        return cited_answer(self.asking, found, support, self._written(found), self.cache, self.timings)

    def _check_wanted(self) -> None:
        if self.stop.is_requested or self.services.is_stopping.is_set():
            raise Cancelled

    def _retrieved(self) -> Found:
        began = time.perf_counter()
        found = retrieve(self.services, self.asking, self._whole_tokens())
        self.timings.retrieval_ms = self._noted("retrieval", began, time.perf_counter() - began)
        return found

    def _whole_tokens(self) -> int:
        """How long a context that holds everything may be; 0 where none is to."""
        if not self.asking.context.may_be_whole:
            return 0
        largest = max((one.context_tokens for one in self.asking.backends if one.name != EXTRACTIVE), default=0)
        budget = self.asking.context.budget_tokens
        return largest if budget is None else min(budget, largest)

    def _support(self, found: Found) -> float | None:
        """How well the passages bear an answer; None where there is nothing to answer from."""
        return 1.0 if any(passage.text.strip() for passage in found.passages) else None

    def _written(self, found: Found) -> Written:
        tell = partial(self._tell_prompt, found)
        writer = Writer(self.asking, found, (), self.services.answers, self.stop, tell, self.telling.text)
        began = time.perf_counter()
        written = writer.write()
        answers = self.services.answers
        answers.note_usage(written.backend.name, written.generated.usage)
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
