"""Tells whoever streams an answer what comes of it, event by event; says nothing where nobody does."""

from collections.abc import Callable

from vdb.engine.answering.cited import reference_of
from vdb.engine.answering.context import Prompt
from vdb.protocol.answer_answers import (
    CitationsEvent,
    CitedAnswer,
    DeltaEvent,
    DoneEvent,
    Event,
    FromCache,
    RetrievalEvent,
    UsageEvent,
)

__all__ = ["Emit", "Telling"]

Emit = Callable[[Event], None]
"""Takes the events of an answer, in order, on the thread that makes them."""


class Telling:
    """The events of one answer. Belongs to the thread that answers."""

    def __init__(self, emit: Emit | None, with_texts: bool) -> None:
        self._emit = emit
        self._with_texts = with_texts

    def prompt(self, prompt: Prompt, sequence: int, cache: FromCache) -> None:
        """What the answer is being written from."""
        if self._emit is not None:
            passages = [reference_of(passage, self._with_texts) for passage in prompt.asked.passages]
            self._emit(RetrievalEvent(passages=passages, context=prompt.context, cache=cache, sequence=sequence))

    def whole(self, answer: CitedAnswer) -> None:
        """An answer that was there at once: what it was written from, and its text."""
        if self._emit is not None:
            self._emit(
                RetrievalEvent(
                    passages=answer.references, context=answer.context, cache=answer.cache, sequence=answer.sequence
                )
            )
            self.text(answer.text)

    def text(self, text: str) -> None:
        """A piece of the text."""
        if self._emit is not None:
            self._emit(DeltaEvent(text=text))

    def end(self, answer: CitedAnswer) -> None:
        """The whole answer."""
        if self._emit is None:
            return
        self._emit(
            CitationsEvent(
                answer=answer.answer,
                references=answer.references,
                found=answer.found,
                support=answer.support,
                unknown_citations=answer.unknown_citations,
            )
        )
        self._emit(UsageEvent(usage=answer.usage, timings=answer.timings))
        self._emit(DoneEvent(answer=answer))
