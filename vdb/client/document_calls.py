"""The calls on documents: put in pieces of a bounded size, listed, read, deleted."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec import UNSET, Raw

from vdb.client.calls import aware
from vdb.client.point_calls import listed, or_unset
from vdb.client.wire import Call, call, encode
from vdb.errors import InvalidArgument, Problem, VdbError
from vdb.protocol import document_answers as answers

MAX_REQUEST_BYTES = 16 << 20
"""Estimated body size at which a request ends: a quarter of the server's usual cap."""
MAX_REQUEST_DOCUMENTS = 256

_PREFIX = "/documents/"


@dataclass(frozen=True, slots=True)
class Piece:
    """Documents from number `start` on, ready to send."""

    start: int
    call: Call[answers.DocumentsPut]


def pieces(
    collection: str,
    documents: Sequence[Mapping[str, Any]],
    sizes: dict[str, int | None],
    owner: str | None,
) -> Iterator[Piece]:
    """The calls that put documents: one, empty, if there are none. `sizes`: size and overlap of chunks, or None."""
    given = listed(documents, "/documents")
    chunking = {name: words for name, words in sizes.items() if words is not None}
    fields = {"chunking": chunking or UNSET, "owner": or_unset(owner)}
    bodies: list[Raw] = []
    start = n_bytes = 0
    for i, document in enumerate(given):
        body = Raw(encode(_shaped(document, f"{_PREFIX}{i}"), f"{_PREFIX}{i}"))
        size = len(memoryview(body))
        if bodies and (n_bytes + size > MAX_REQUEST_BYTES or len(bodies) == MAX_REQUEST_DOCUMENTS):
            yield Piece(start, call("put_documents", (collection,), {"documents": bodies, **fields}))
            start, bodies, n_bytes = i, [], 0
        bodies.append(body)
        n_bytes += size
    yield Piece(start, call("put_documents", (collection,), {"documents": bodies, **fields}))


def moved(found: answers.DocumentsPut, start: int) -> answers.DocumentsPut:
    """The answer to a piece, its pointers counted in the caller's own list."""
    for result in found.documents if start else ():
        if result.error is not UNSET:
            for fault in result.error.errors:
                fault.pointer = _moved(fault.pointer, start)
    return found


def in_pieces(error: VdbError, start: int) -> VdbError:
    """The error of a piece, its pointers counted in the caller's own list."""
    if not start:
        return error
    problems = tuple(Problem(_moved(fault.pointer, start), fault.detail) for fault in error.problems)
    detail = f"{error.detail} (documents before number {start} were put)"
    return type(error)(detail, problems=problems, retry_after_s=error.retry_after_s)


def list_page(
    collection: str, prefix: str | None, cursor: str | None, limit: int
) -> Call[tuple[list[answers.Document], str | None]]:
    """One page: its documents, and the cursor of the next page or None."""
    fields = {"limit": limit, "cursor": or_unset(cursor), "prefix": or_unset(prefix)}
    return call("list_documents", (collection,), fields, finish=lambda found: (found.documents, found.next_cursor))


def get(collection: str, ids: Sequence[str], owner: str | None, fields: dict[str, Any]) -> Call[list[answers.Document]]:
    """`fields`: with_chunks, min_sequence, timeout_s."""
    head = fields | {"ids": listed(ids, "/ids"), "owner": or_unset(owner)}
    return call("get_documents", (collection,), head, finish=lambda found: list(found.documents))


def delete(collection: str, ids: Sequence[str], owner: str | None) -> Call[answers.DocumentsDeleted]:
    return call("delete_documents", (collection,), {"ids": listed(ids, "/ids"), "owner": or_unset(owner)})


def _shaped(document: Any, pointer: str) -> dict[str, Any]:
    """A document as the wire has it: bytes as base64, vectors of chunks too; None is not given."""
    if not isinstance(document, Mapping):
        raise InvalidArgument.at(pointer, "a document is a mapping, with an id")
    shape = {name: value for name, value in document.items() if value is not None}
    if isinstance(shape.get("data"), (bytes, bytearray, memoryview)):
        shape["data"] = base64.b64encode(shape["data"]).decode()
    if "expires_at" in shape:
        aware(shape["expires_at"], f"{pointer}/expires_at")
    if isinstance(shape.get("chunks"), Sequence) and not isinstance(shape["chunks"], (str, bytes)):
        shape["chunks"] = [_shaped_chunk(chunk) for chunk in shape["chunks"]]
    return shape


def _shaped_chunk(chunk: Any) -> Any:
    if not isinstance(chunk, Mapping):
        return chunk
    shape = {name: value for name, value in chunk.items() if value is not None}
    vector = shape.get("vector")
    if isinstance(vector, np.ndarray) and vector.ndim == 1 and vector.dtype.kind in "iuf":
        shape["vector"] = base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return shape


def _moved(pointer: str, start: int) -> str:
    if not pointer.startswith(_PREFIX):
        return pointer
    place, slash, rest = pointer.removeprefix(_PREFIX).partition("/")
    return f"{_PREFIX}{int(place) + start}{slash}{rest}" if place.isdecimal() else pointer
