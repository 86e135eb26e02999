"""Which backends to ask, in which order."""

from collections.abc import Sequence
from math import isinf

from vdb.rag.extractive import EXTRACTIVE
from vdb.rag.generate.base import Backend

__all__ = ["route"]


def route(backends: Sequence[Backend], wanted: str | None, default: str | None, category: str | None) -> list[Backend]:
    """The backends to try, the first first; empty where the one that is wanted, or the default, is not there.

    The one that is `wanted` alone. Else those of the category, the least busy first, and then the default. Where
    neither says anything, all of them, the least busy first, the built-in one behind the others. Those that are left
    alone for a while come last. An answer never goes to a backend that nobody chose: what a tenant asks stays where it
    was meant to go.
    """
    by_name = {backend.name: backend for backend in backends}
    if wanted is not None:
        return [by_name[wanted]] if wanted in by_name else []
    by_load = _by_load(backends)
    if category is None and default is None:
        return by_load
    found = [backend for backend in by_load if category is not None and category in backend.categories]
    if default is not None and default in by_name and by_name[default] not in found:
        found.append(by_name[default])
    if not found and default is None:
        return by_load
    return sorted(found, key=lambda backend: isinf(backend.load))


def _by_load(backends: Sequence[Backend]) -> list[Backend]:
    loads = {backend.name: backend.load for backend in backends}  # once: it changes meanwhile
    return sorted(
        backends,
        key=lambda backend: (
            isinf(loads[backend.name]),
            backend.name == EXTRACTIVE,
            loads[backend.name],
            backend.name,
        ),
    )
