"""What a collection says of its answers: checked when it is said, shown, and what holds where a request is silent."""

import math

from vdb.engine.services import Services
from vdb.engine.tenants import check_name
from vdb.errors import InvalidArgument
from vdb.protocol.answering import Answering
from vdb.protocol.requests import MAX_BUDGET
from vdb.storage.catalog import AnsweringDocument, CollectionDocument

__all__ = ["answering_answer", "answering_of", "checked_answering", "parted"]

_MAX_DIGITS = 9

_NOTHING = AnsweringDocument()


def checked_answering(services: Services, given: Answering | None) -> AnsweringDocument | None:
    """What is stored of a choice. Raises InvalidArgument, also for a backend or a cache that is not there.

    A cache that goes later is no error: the collection's answers then come without one. Whether the template is there
    is for the commit to say.
    """
    if given is None:
        return None
    if given.backend is not None and given.backend not in services.models.backend_names:
        raise InvalidArgument.at("/answering/backend", "the server knows no backend of that name")
    if given.cache is not None and services.catalog.cache(check_name(given.cache, "/answering/cache")) is None:
        raise InvalidArgument.at("/answering/cache", "there is no cache of that name")
    if given.category is not None:
        check_name(given.category, "/answering/category")
    if given.template is not None:
        parted(given.template, "/answering/template")
    _check_numbers(services, given)
    return AnsweringDocument(**{name: getattr(given, name) for name in Answering.__struct_fields__})


def answering_answer(stored: AnsweringDocument | None) -> Answering | None:
    """A choice as callers see it."""
    if stored is None:
        return None
    return Answering(**{name: getattr(stored, name) for name in Answering.__struct_fields__})


def answering_of(collection: CollectionDocument) -> AnsweringDocument:
    """What holds for answers from the collection where a request is silent; None in it: the server's default."""
    return _NOTHING if collection.answering is None else collection.answering


def parted(template: str, pointer: str) -> tuple[str, int | None]:
    """Name and version of `name` or `name@version`; raises InvalidArgument at `pointer`."""
    name, at, version = template.partition("@")
    check_name(name, pointer)
    if not at:
        return name, None
    if not (version.isascii() and version.isdecimal() and len(version) <= _MAX_DIGITS):
        raise InvalidArgument.at(pointer, "a template is a name, or name@version")
    return name, int(version)


def _check_numbers(services: Services, given: Answering) -> None:
    most = services.settings.limits.max_limit
    if given.limit is not None and not 1 <= given.limit <= most:
        raise InvalidArgument.at("/answering/limit", f"limit is 1 to {most}")
    if given.context_tokens is not None and not 1 <= given.context_tokens <= MAX_BUDGET:
        raise InvalidArgument.at("/answering/context_tokens", f"context_tokens is 1 to {MAX_BUDGET}")
    if given.threshold is not None and not (math.isfinite(given.threshold) and 0 <= given.threshold <= 1):
        raise InvalidArgument.at("/answering/threshold", "threshold is 0 to 1")
