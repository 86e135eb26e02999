"""Which model answers: some servers take any name, and are warned of once where they name another."""

import logging
import threading

__all__ = ["AnsweringModel"]

logger = logging.getLogger(__name__)

_MAX_SHOWN = 100


class AnsweringModel:
    """Of one model of the server, whose `name` is in the warning. Any thread may compare."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._is_warned = False

    def compare(self, asked: str, answered: object) -> str:
        """The model that answers, as far as is told; warns, once, where it is not the one that was asked for."""
        if not isinstance(answered, str) or not answered:
            return asked
        if not _are_alike(asked, answered):
            with self._lock:
                is_first, self._is_warned = not self._is_warned, True
            if is_first:
                logger.warning("model %r: %r was asked for, %r answers", self._name, asked, answered[:_MAX_SHOWN])
        return answered[:_MAX_SHOWN] if answered.isprintable() else asked


def _are_alike(asked: str, answered: str) -> bool:
    """Whether the names may mean one model: servers add owners, dates and tags, and leave them out."""
    one, other = (name.casefold().rsplit("/", 1)[-1].split(":", 1)[0] for name in (asked, answered))
    return one.startswith(other) or other.startswith(one)
