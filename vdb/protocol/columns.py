"""The binary body: a JSON head and a block of little-endian float32 vectors. Media type `application/x-vdb`.

    bytes 0..3     b"VDB1"
    bytes 4..7     u32 little-endian: length of the head in bytes
    head           JSON object, UTF-8, padded with spaces to a multiple of 4 bytes
    vectors        float32 little-endian, C order, shape (n, dimension) with n from the head

Upsert head: columns `ids`, and optionally `payloads`, `expires_at`, `shared_with`, `if_version`, `if_absent` (each a
list as long as `ids`, null where not given), `has_vector` (list of booleans; absent means all), `owner`, `ack`.
The vectors block holds one row per point that has a vector. Search head: the fields of a JSON search without
`vector` and `vectors`, and `n_queries` (absent: one query, answered with `hits`; given: `results`).
"""

import struct
from datetime import datetime
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import UNSET, Raw, UnsetType
from numpy.typing import NDArray

from vdb.errors import InvalidArgument
from vdb.protocol.requests import Request, SearchOptions

MEDIA_TYPE = "application/x-vdb"
MAGIC = b"VDB1"
_FRAME = struct.Struct("<4sI")


class UpsertHead(Request):
    """Columns of a binary upsert; see the module."""

    ids: list[str]
    payloads: list[Raw] | UnsetType = UNSET
    expires_at: list[datetime | None] | UnsetType = UNSET
    shared_with: list[list[str] | None] | UnsetType = UNSET
    if_version: list[int | None] | UnsetType = UNSET
    if_absent: list[bool | None] | UnsetType = UNSET
    has_vector: list[bool] | UnsetType = UNSET
    owner: str | UnsetType = UNSET
    ack: Literal["durable", "queued"] | UnsetType = UNSET


class SearchHead(SearchOptions):
    """Fields of a binary search; see the module."""

    n_queries: int | UnsetType = UNSET


def split_frame(body: bytes) -> tuple[bytes, NDArray[np.float32]]:
    """The head's bytes and the vectors, flat float32, without copying; raises InvalidArgument for a broken frame."""
    if len(body) < _FRAME.size:
        raise InvalidArgument("binary body is shorter than its frame")
    magic, head_length = _FRAME.unpack_from(body)
    start = _FRAME.size + head_length
    if magic != MAGIC:
        raise InvalidArgument("binary body does not begin with VDB1")
    if start > len(body) or (len(body) - start) % 4:
        raise InvalidArgument("binary body has a wrong length")
    return body[_FRAME.size : start], np.frombuffer(body, dtype="<f4", offset=start)


def join_frame(head: Any, vectors: NDArray[np.float32]) -> bytes:
    """The binary body of a head (anything msgspec encodes) and float32 vectors of any shape."""
    text = msgspec.json.encode(head)
    text += b" " * (-len(text) % 4)
    block = np.ascontiguousarray(vectors, dtype="<f4")
    return b"".join((_FRAME.pack(MAGIC, len(text)), text, block.tobytes()))
