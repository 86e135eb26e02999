"""Answers a question: what the cache has, or retrieval, context, a backend, citations; then the cache learns of it.

Order of an answer: everything that can be wrong with the question is checked first (`asking`); then, on a thread of
`Services.generations`, the passages are found (`retrieval`), and held against the threshold: too little support is
answered with "not found", and no backend is asked. What is found is packed into the prompt (`context`) and written
(`writing`). Whoever asked may stop it between any two of these, and while a backend writes.

A key that is revoked meanwhile does not end an answer under way: it is of the moment in which it was asked for.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial

from vdb.engine.answering.asking import Asking, asking_of
from vdb.engine.answering.context import Prompt
from vdb.engine.answering.figures import AnswerFigures, Outcome, Stage
from vdb.engine.answering.question import Question
from vdb.engine.answering.retrieval import Found, everything, retrieve
from vdb.engine.answering.writing import Writer, Written
from vdb.engine.services import Services
from vdb.errors import ShuttingDown
from vdb.protocol.answer_answers import (
    CitationsEvent,
    CitedAnswer,
    Context,
    DeltaEvent,
    DoneEvent,
    Event,
    FromCache,
    Reference,
    RetrievalEvent,
    Sentence,
    Timings,
    TokenUsage,
    UsageEvent,
)
from vdb.rag.generate.base import Cancelled, Stop
from vdb.rag.passage import Passage
from vdb.types import Caller

__all__ = ["NOT_FOUND", "Emit", "Running", "ask"]

Emit = Callable[[Event], None]
"""Takes the events of an answer, in order, on the thread that makes them."""

NOT_FOUND = "The documents do not say."


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
    except Exception:
        services.answers.note_outcome("error")
        raise
    stop = Stop()
    run = _Run(services, asking, emit, stop)
    work: Callable[[], CitedAnswer] = run.answer
    if services.stages is not None:  # its stages belong to the span of whoever asked
        work = partial(copy_context().run, run.answer)
    return Running(services.generations.submit(asking.tenant_id, stop, work), stop)


@dataclass(slots=True)
class _Run:
    """One question on its thread."""

    services: Services
    asking: Asking
    emit: Emit | None
    stop: Stop
    began: float = field(default_factory=time.perf_counter)
    timings: Timings = field(default_factory=Timings)
    cache: FromCache = field(default_factory=lambda: FromCache(hit=None, reason="off"))

    @property
    def figures(self) -> AnswerFigures:
        return self.services.answers

    def answer(self) -> CitedAnswer:
        outcome: Outcome = "error"
        try:
            answer = self._answer()
            outcome = "found" if answer.found else "not_found"
            return answer
        except Cancelled:
            outcome = "cancelled"
            if self.services.is_stopping.is_set():
                raise ShuttingDown("the server is shutting down", retry_after_s=1.0) from None
            raise
        finally:
            self.figures.note_outcome(outcome)

    def _answer(self) -> CitedAnswer:
        self._check_wanted()
        found = self._retrieved()
        self._check_wanted()
        support = self._support(found)
        if support is None or support < self.asking.threshold:
            return self._finished(self._not_found(found, support))
        tell = partial(self._tell_prompt, found)
        writer = Writer(self.asking, found, self.figures, self.stop, tell, self._tell_text)
        written = writer.write()
        self.timings.context_ms = writer.context_s * 1e3
        self.timings.first_token_ms = written.first_token_s * 1e3
        self.timings.generation_ms = written.generation_s * 1e3
        return self._finished(self._cited(found, support, written))

    def _check_wanted(self) -> None:
        if self.stop.is_requested or self.services.is_stopping.is_set():
            raise Cancelled

    # Retrieval

    def _retrieved(self) -> Found:
        began = time.perf_counter()
        found = None
        if self.asking.context.may_be_whole:
            found = everything(self.services, self.asking, self._largest_budget())
        if found is None:
            found = retrieve(self.services, self.asking)
        self.timings.retrieval_ms = self._note("retrieval", began) * 1e3
        return found

    def _largest_budget(self) -> int:
        largest = max(backend.context_tokens for backend in self.asking.backends)
        budget = self.asking.context.budget_tokens
        return largest if budget is None else min(budget, largest)

    def _support(self, found: Found) -> float | None:
        """How well the passages bear an answer; None where there is nothing to answer from."""
        return 1.0 if any(passage.text.strip() for passage in found.passages) else None

    # What comes of it

    def _not_found(self, found: Found, support: float | None) -> CitedAnswer:
        backend = self.asking.backends[0]
        answer = CitedAnswer(
            answer=[Sentence(text=NOT_FOUND, citations=[])],
            text=NOT_FOUND,
            references=[],
            found=False,
            support=support or 0.0,
            threshold=self.asking.threshold,
            finish_reason="stop",
            backend=backend.name,
            model=backend.model,
            template="default@1",
            sequence=found.sequence,
            usage=TokenUsage(prompt_tokens=0, completion_tokens=0, counted=True),
            context=Context(passages=0, tokens=0, budget_tokens=0, exact=backend.counter.is_exact),
            cache=self.cache,
            timings=self.timings,
        )
        if self.emit is not None:
            self.emit(RetrievalEvent(passages=[], context=answer.context, cache=self.cache, sequence=found.sequence))
            self.emit(DeltaEvent(text=NOT_FOUND))
        return answer

    def _cited(self, found: Found, support: float, written: Written) -> CitedAnswer:
        passages, citations, usage = written.prompt.asked.passages, written.citations, written.generated.usage
        self.figures.note_usage(written.backend.name, usage)
        self.figures.note_unknown_citations(citations.n_unknown)
        self.figures.note_stage("context", self.timings.context_ms / 1e3)
        self.figures.note_stage("first_token", written.first_token_s)
        self.figures.note_stage("generation", written.generation_s)
        places = {place: i for i, place in enumerate(citations.order)}
        return CitedAnswer(
            answer=[
                Sentence(text=text, citations=[places[place] for place in cited])
                for text, cited in citations.sentences()
            ],
            text=written.text,
            references=[self._reference(passages[place]) for place in citations.order],
            found=True,
            support=support if written.generated.support is None else written.generated.support,
            threshold=self.asking.threshold,
            finish_reason=written.generated.finish_reason,
            backend=written.backend.name,
            model=written.generated.model,
            template="default@1",
            sequence=found.sequence,
            usage=TokenUsage(
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
                counted=usage.is_counted,
            ),
            context=written.prompt.context,
            cache=self.cache,
            timings=self.timings,
            unknown_citations=citations.n_unknown,
        )

    def _finished(self, answer: CitedAnswer) -> CitedAnswer:
        self.timings.total_ms = (time.perf_counter() - self.began) * 1e3
        for name in Timings.__struct_fields__:
            setattr(self.timings, name, round(getattr(self.timings, name), 3))
        if self.emit is not None:
            self.emit(
                CitationsEvent(
                    answer=answer.answer,
                    references=answer.references,
                    found=answer.found,
                    support=answer.support,
                    unknown_citations=answer.unknown_citations,
                )
            )
            self.emit(UsageEvent(usage=answer.usage, timings=self.timings))
            self.emit(DoneEvent(answer=answer))
        return answer

    def _reference(self, passage: Passage) -> Reference:
        reference = Reference(
            id=passage.id,
            owner=passage.owner,
            version=passage.version,
            score=passage.score,
            document=passage.document,
            chunk=passage.chunk,
            title=passage.title,
            heading=list(passage.heading),
            start=passage.start,
            end=passage.end,
            page=passage.page,
        )
        if self.asking.question.options.with_texts:
            reference.text = passage.text
        return reference

    # Who hears of it

    def _tell_prompt(self, found: Found, prompt: Prompt) -> None:
        if self.asking.question.options.explain:
            prompt.context.dropped = prompt.dropped
        if self.emit is not None:
            passages = [self._reference(passage) for passage in prompt.asked.passages]
            self.emit(
                RetrievalEvent(passages=passages, context=prompt.context, cache=self.cache, sequence=found.sequence)
            )

    def _tell_text(self, text: str) -> None:
        if self.emit is not None:
            self.emit(DeltaEvent(text=text))

    def _note(self, stage: Stage, began: float) -> float:
        """Count a stage that began then and ends now; its seconds."""
        seconds = time.perf_counter() - began
        self.figures.note_stage(stage, seconds)
        if self.services.stages is not None:
            self.services.stages.note(stage, began, seconds)
        return seconds
