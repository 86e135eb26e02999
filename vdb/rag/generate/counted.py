"""What backends were asked and how they did, counted."""

import threading
import time
from collections.abc import Callable
from math import isinf

from vdb.errors import InvalidArgument
from vdb.rag.generate.base import Asked, Backend, Cancelled, ContextTooLong, Generated, Stop

__all__ = ["BackendFigures", "CountedBackend"]


class BackendFigures:
    """Of one backend since the start. Any thread may read; its counted backend writes.

    Failed calls are those that the backend failed: neither cancelled ones nor prompts that it refused.
    """

    def __init__(self, counted: Backend) -> None:
        self._counted = counted
        self._lock = threading.Lock()
        self.n_calls = self.n_failed = self.n_refused = self.n_cancelled = 0
        self.seconds = 0.0
        self.n_first = 0
        self.first_token_seconds = 0.0
        self.prompt_tokens = self.completion_tokens = 0

    @property
    def n_retries(self) -> int:
        """Attempts after the first."""
        return int(getattr(self._counted, "n_retries", 0))

    @property
    def load(self) -> float:
        return self._counted.load

    @property
    def is_open(self) -> bool:
        """Whether it is left alone because it failed."""
        return isinf(self._counted.load)

    def note(self, error: BaseException | None, took_s: float, first_s: float | None, made: Generated | None) -> None:
        """One call that is over."""
        with self._lock:
            self.n_calls += 1
            self.seconds += took_s
            if isinstance(error, Cancelled):
                self.n_cancelled += 1
            elif isinstance(error, (ContextTooLong, InvalidArgument)):
                self.n_refused += 1
            elif error is not None:
                self.n_failed += 1
            if first_s is not None:
                self.n_first += 1
                self.first_token_seconds += first_s
            if made is not None:
                self.prompt_tokens += made.usage.prompt_tokens
                self.completion_tokens += made.usage.completion_tokens


class CountedBackend:
    """Another backend, its calls counted."""

    def __init__(self, counted: Backend) -> None:
        self._counted = counted
        self.figures = BackendFigures(counted)
        self.name, self.model = counted.name, counted.model
        self.context_tokens, self.max_tokens = counted.context_tokens, counted.max_tokens
        self.message_tokens, self.categories = counted.message_tokens, counted.categories
        self.counter = counted.counter
        self.is_verbatim = bool(getattr(counted, "is_verbatim", False))
        """Whether it quotes passages, with escapes that are taken out again; a backend need not say."""

    @property
    def load(self) -> float:
        return self._counted.load

    def generate(self, asked: Asked, emit: Callable[[str], None], stop: Stop) -> Generated:
        began = time.perf_counter()
        first_s: float | None = None

        def emitted(piece: str) -> None:
            nonlocal first_s
            if first_s is None:
                first_s = time.perf_counter() - began
            emit(piece)

        error: BaseException | None = None
        made: Generated | None = None
        try:
            made = self._counted.generate(asked, emitted, stop)
            return made
        except BaseException as exc:
            error = exc
            raise
        finally:
            self.figures.note(error, time.perf_counter() - began, first_s, made)

    def close(self) -> None:
        self._counted.close()
