"""Whether anybody still waits for what a thread does: asked when its queries' turn on the accelerator comes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["Abandoned", "is_wanted_here", "wanted_while"]


class Abandoned(Exception):
    """Nobody waits any more for what was being searched."""


def _always() -> bool:
    return True


_is_wanted: ContextVar[Callable[[], bool]] = ContextVar("is_wanted", default=_always)


@contextmanager
def wanted_while(is_wanted: Callable[[], bool]) -> Iterator[None]:
    """What this thread searches in the block is wanted while `is_wanted`, which other threads call, says so."""
    token = _is_wanted.set(is_wanted)
    try:
        yield
    finally:
        _is_wanted.reset(token)


def is_wanted_here() -> Callable[[], bool]:
    """What tells whether this thread's searches are wanted; always where nobody said."""
    return _is_wanted.get()
