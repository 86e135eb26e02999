"""Has an answer written: by one backend after the other until one begins, its citations read as they come."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from vdb.engine.answering.asking import Asking
from vdb.engine.answering.context import Material, Prompt, prompt_for
from vdb.engine.answering.figures import AnswerFigures
from vdb.errors import BudgetTooSmall, ModelUnavailable, VdbError
from vdb.rag.citations import CitationStream
from vdb.rag.generate.base import Backend, Cancelled, ContextTooLong, Generated, Stop

__all__ = ["LESS", "MARGIN", "Writer", "Written"]

LESS = 0.25
"""By so much the context shrinks where a backend found it too long and did not say by how much."""
MARGIN = 1.1
"""Of what it said: its tokens may be more than ours."""


@dataclass(frozen=True, slots=True)
class Written:
    """A whole answer; `text` has markers that count `citations.order`. Seconds from `began` on, the call
    of the backend (of `perf_counter`).
    """

    backend: Backend
    prompt: Prompt
    generated: Generated
    citations: CitationStream
    text: str
    began: float
    first_token_s: float
    generation_s: float


@dataclass(slots=True)
class Writer:
    """One question. `on_prompt` hears what the answer will be written from, `on_text` its pieces."""

    asking: Asking
    material: Material
    figures: AnswerFigures
    stop: Stop
    on_prompt: Callable[[Prompt], None]
    on_text: Callable[[str], None]
    context_s: float = 0.0
    _pieces: list[str] = field(default_factory=list)
    _first_at: float | None = None

    def write(self) -> Written:
        """Ask backends in turn, the next only where the one before failed without a piece.

        Raises ModelUnavailable, InvalidArgument (the backend refuses the request), BudgetTooSmall, Cancelled.
        """
        first: VdbError | None = None
        for i, backend in enumerate(self.asking.backends):
            if i:
                self.figures.note_failover()
            try:
                return self._write_by(backend)
            except (ModelUnavailable, BudgetTooSmall) as exc:
                first = first or exc
                if self._first_at is not None:
                    raise
        assert first is not None, "a question has a backend"
        raise first

    def _write_by(self, backend: Backend) -> Written:
        prompt = self._prompt(backend, None)
        try:
            return self._generate(backend, prompt)
        except ContextTooLong as exc:
            self._refuse_second_beginning(exc)
            less = exc.n_over * MARGIN or prompt.context.tokens * LESS
            prompt = self._prompt(backend, prompt.context.tokens - math.ceil(less))
        self.figures.note_repacked()
        try:
            return self._generate(backend, prompt)
        except ContextTooLong as exc:
            self._refuse_second_beginning(exc)
            raise BudgetTooSmall.at(
                self.asking.at("/context/tokens"), f"backend {backend.name!r} finds even a shorter prompt too long"
            ) from exc

    def _refuse_second_beginning(self, cause: ContextTooLong) -> None:
        if self._first_at is not None:
            raise ModelUnavailable("the backend broke off") from cause

    def _prompt(self, backend: Backend, at_most: int | None) -> Prompt:
        began = time.perf_counter()
        prompt = prompt_for(self.asking, backend, self.material, at_most)
        self.context_s += time.perf_counter() - began
        if self.stop.is_requested:
            raise Cancelled
        return prompt

    def _generate(self, backend: Backend, prompt: Prompt) -> Written:
        self.on_prompt(prompt)
        citations = CitationStream(len(prompt.asked.passages), is_quoted=getattr(backend, "is_verbatim", False))
        began = time.perf_counter()

        def take(piece: str) -> None:
            if self._first_at is None:
                self._first_at = time.perf_counter()
            self._pass_on(citations.feed(piece))

        generated = backend.generate(prompt.asked, take, self.stop)
        self._pass_on(citations.finish())
        ended = time.perf_counter()
        first_s = (ended if self._first_at is None else self._first_at) - began
        return Written(backend, prompt, generated, citations, "".join(self._pieces), began, first_s, ended - began)

    def _pass_on(self, text: str) -> None:
        if text:
            self._pieces.append(text)
            self.on_text(text)
