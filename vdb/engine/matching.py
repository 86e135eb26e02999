"""A request's filter, parsed against the collection's fields, as a test on stored payload bytes."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET

from vdb.engine.filters import Filter, compile_filter, parse_filter
from vdb.storage.catalog import CollectionDocument

Matches = Callable[[bytes], bool]
"""Whether a payload (its JSON bytes, b"" for {}) satisfies a filter."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def filter_of(given: Any, collection: CollectionDocument) -> Filter | None:
    """The filter of a request, None where it gives none; raises InvalidFilter, UnknownField, FieldTypeMismatch."""
    if given is None or given is UNSET:
        return None
    return parse_filter(given, collection.fields)


def matches_of(parsed: Filter | None) -> Matches | None:
    """The compiled test, None where everything matches."""
    if parsed is None:
        return None
    test = compile_filter(parsed)
    empty = test({})
    return lambda payload: test(_decode(payload)) if payload else empty
