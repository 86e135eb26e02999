"""An upsert request, checked and turned into columns before it is queued.

All that can be refused without the store is refused here, with a pointer to the place: `/points/3/vector` for a JSON
body, `/vectors/3` for a columnar one.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from msgspec import UNSET, Raw
from numpy.typing import NDArray

from vdb.config import Limits
from vdb.engine.filters import check_fields
from vdb.engine.payloads import check_payload_size
from vdb.engine.vectors import matrix_of, reshape
from vdb.errors import DuplicateId, EmptyBatch, IntegerOutOfRange, InvalidArgument, InvalidId, TooLarge
from vdb.protocol.columns import UpsertHead
from vdb.protocol.requests import Upsert
from vdb.protocol.strict_json import decode_payload
from vdb.storage.catalog import CollectionDocument

Pointer = Callable[[int, str], str]
"""JSON pointer of a field of the i-th point."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_NULL = Raw(b"null")
MAX_VERSION = (1 << 63) - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold for a point to be written; None asks nothing."""

    if_version: int | None = None
    if_absent: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Columns of n points. `rows[i]` is the point's row in `vectors`, -1 where it has none; None means i itself."""

    ids: list[bytes]
    payloads: list[bytes]
    vectors: NDArray[np.float32]
    rows: list[int] | None
    expires_at_ms: list[int] | None
    shared_with: list[list[str] | None] | None
    conditions: list[Condition] | None
    pointer: Pointer

    @property
    def n_bytes(self) -> int:
        """Bytes that the batch adds to the store, about."""
        return self.vectors.nbytes + sum(map(len, self.payloads)) + 128 * len(self.ids)

    @property
    def is_plain(self) -> bool:
        """Whether the points have neither expiry, grants nor conditions."""
        return self.expires_at_ms is None and self.shared_with is None and self.conditions is None


def batch_of_points(request: Upsert, collection: CollectionDocument, limits: Limits) -> Batch:
    """Columns of a JSON upsert."""
    points = request.points
    _check_size(len(points), limits, "/points")

    def pointer(i: int, field: str) -> str:
        return f"/points/{i}/{field}"

    ids = check_ids([point.id for point in points], lambda i: pointer(i, "id"))
    with_vector = [i for i, point in enumerate(points) if point.vector is not None]
    vectors = matrix_of(
        [points[i].vector for i in with_vector], collection.dimension, lambda i: pointer(with_vector[i], "vector")
    )
    return Batch(
        ids,
        check_payloads([point.payload for point in points], collection, limits, pointer),
        vectors,
        None if len(with_vector) == len(points) else _rows(len(points), with_vector),
        _expiries([point.expires_at for point in points], pointer),
        _shared([point.shared_with for point in points], limits, pointer),
        _conditions([point.if_version for point in points], [point.if_absent for point in points], pointer),
        pointer,
    )


_PLURALS = {"id": "ids", "vector": "vectors", "payload": "payloads"}


def batch_of_columns(
    head: UpsertHead, vectors: NDArray[np.float32], collection: CollectionDocument, limits: Limits
) -> Batch:
    """Columns of a binary upsert, or of one in process."""
    n = len(head.ids)
    _check_size(n, limits, "/ids")

    def pointer(i: int, field: str) -> str:
        return f"/{_PLURALS.get(field, field)}/{i}"

    def column(name: str) -> list[Any]:
        given = getattr(head, name)
        if given is UNSET:
            return [None] * n
        if len(given) != n:
            raise InvalidArgument.at(f"/{name}", f"{n} ids, but {len(given)} values")
        return list(given)

    has_vector = column("has_vector")
    with_vector = [i for i in range(n) if has_vector[i] is not False]
    return Batch(
        check_ids(head.ids, lambda i: pointer(i, "id")),
        check_payloads(column("payloads"), collection, limits, pointer),
        reshape(vectors, len(with_vector), collection.dimension, "/vectors"),
        None if len(with_vector) == n else _rows(n, with_vector),
        _expiries(column("expires_at"), pointer),
        _shared(column("shared_with"), limits, pointer),
        _conditions(column("if_version"), column("if_absent"), pointer),
        pointer,
    )


def check_ids(ids: Sequence[str], pointer: Callable[[int], str]) -> list[bytes]:
    """The ids as UTF-8; raises InvalidId or DuplicateId at the id's pointer."""
    encoded = [_id_bytes(point_id, pointer, i) for i, point_id in enumerate(ids)]
    if len(set(encoded)) != len(encoded):
        seen: set[bytes] = set()
        for i, point_id in enumerate(encoded):
            if point_id in seen:
                raise DuplicateId.at(pointer(i), "the id is in the request twice")
            seen.add(point_id)
    return encoded


def check_payload(raw: Any, collection: CollectionDocument, limits: Limits, pointer: str) -> bytes:
    """A payload's JSON, checked; b"" for none."""
    if raw is UNSET or raw is None:
        return b""
    data = bytes(raw) if isinstance(raw, Raw) else raw
    check_payload_size(data, limits.max_payload_bytes, pointer)
    payload = decode_payload(data, pointer)
    if collection.fields:
        check_fields(payload, collection.fields, pointer)
    return data


def check_payloads(
    payloads: Sequence[Any], collection: CollectionDocument, limits: Limits, pointer: Pointer
) -> list[bytes]:
    """Every payload's JSON, checked; null is none."""
    return [
        b"" if raw is None or raw == _NULL else check_payload(raw, collection, limits, pointer(i, "payload"))
        for i, raw in enumerate(payloads)
    ]


def epoch_ms_of(moment: datetime, pointer: str) -> int:
    """Epoch milliseconds of an expiry; raises InvalidArgument for a time without an offset or outside 1970 to 9999."""
    if moment.tzinfo is None:
        raise InvalidArgument.at(pointer, "the time needs an offset, such as Z")
    milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1)
    if not 0 < milliseconds <= _LAST_MS:  # later ones have no name in UTC, so no answer could show them
        raise InvalidArgument.at(pointer, "the time lies outside the years 1970 to 9999 UTC")
    return milliseconds


def check_version(version: int, pointer: str) -> int:
    """A version that could be one; raises IntegerOutOfRange or InvalidArgument."""
    if version > MAX_VERSION:
        raise IntegerOutOfRange.at(pointer, "the number does not fit 64 bits")
    if version < 0:
        raise InvalidArgument.at(pointer, "a version is not negative")
    return version


def _check_size(n: int, limits: Limits, pointer: str) -> None:
    if not n:
        raise EmptyBatch.at(pointer, "the batch has no points")
    if n > limits.max_points_per_request:
        raise TooLarge.at(pointer, f"a request takes up to {limits.max_points_per_request} points")


def _id_bytes(point_id: str, pointer: Callable[[int], str], i: int) -> bytes:
    try:
        data = point_id.encode()
    except UnicodeEncodeError as exc:
        raise InvalidId.at(pointer(i), "the id is not valid Unicode") from exc
    if not 1 <= len(data) <= 256:
        raise InvalidId.at(pointer(i), "an id is 1 to 256 bytes of UTF-8")
    if not point_id.isprintable() and _CONTROL.search(point_id):
        raise InvalidId.at(pointer(i), "an id has no control characters")
    return data


def _rows(n: int, with_vector: list[int]) -> list[int]:
    rows = [-1] * n
    for row, i in enumerate(with_vector):
        rows[i] = row
    return rows


def _expiries(moments: Sequence[datetime | None], pointer: Pointer) -> list[int] | None:
    if all(moment is None for moment in moments):
        return None
    return [0 if m is None else epoch_ms_of(m, pointer(i, "expires_at")) for i, m in enumerate(moments)]


def _shared(columns: Sequence[Any], limits: Limits, pointer: Pointer) -> list[list[str] | None] | None:
    shared = [None if names is UNSET else names for names in columns]
    for i, names in enumerate(shared):
        if names is not None and len(names) > limits.max_grantees_per_point:
            raise TooLarge.at(pointer(i, "shared_with"), f"up to {limits.max_grantees_per_point} grantees per point")
    return None if all(names is None for names in shared) else shared


def _conditions(versions: Sequence[Any], absents: Sequence[Any], pointer: Pointer) -> list[Condition] | None:
    if all(v is UNSET or v is None for v in versions) and not any(absent is True for absent in absents):
        return None
    found = [
        Condition(
            None if version is UNSET or version is None else check_version(version, pointer(i, "if_version")),
            absent is True,
        )
        for i, (version, absent) in enumerate(zip(versions, absents, strict=True))
    ]
    for i, condition in enumerate(found):
        if condition.if_absent and condition.if_version is not None:
            raise InvalidArgument.at(pointer(i, "if_absent"), "if_version and if_absent exclude each other")
    return found
