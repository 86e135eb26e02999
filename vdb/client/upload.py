"""Upsert in chunks: columns checked once, cut by points and bytes, one binary call per chunk.

A chunk is all or none, the upload is not: an error says how many points were written before it, and points at the
caller's own rows, not at the chunk's.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET, Raw
from numpy.typing import ArrayLike

from vdb.client.arrays import Vectors, to_points
from vdb.client.calls import aware
from vdb.client.point_calls import for_each, listed, or_unset, sequence_of
from vdb.client.retry import Repeat
from vdb.client.wire import Call, call, encode
from vdb.errors import InvalidArgument, Problem, VdbError
from vdb.protocol import answers

MAX_CHUNK_BYTES = 16 << 20
"""Estimated body size at which a chunk ends: a quarter of the server's usual cap, so that no body meets it."""

_ROW = re.compile(r"\A/(\w+)/(\d+)")
_POINT_BYTES = 80
"""Estimate of an id with its quotes and flags, and of one tenant's name in a sharing list."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Points `start` to `stop` of an upload, ready to send."""

    start: int
    stop: int
    call: Call[int]


class Upload:
    """The columns of one upsert. Used by one thread; nothing to close."""

    def __init__(
        self,
        collection: str,
        ids: Sequence[str],
        vectors: ArrayLike | Sequence[Any] | None,
        payloads: Sequence[Mapping[str, Any] | None] | None,
        owner: str | None,
        ack: str = "durable",
        **columns: Any,
    ) -> None:
        """`columns`: expires_at, shared_with, if_version, if_absent; each None, one value for all, or one per id."""
        self._collection, self._owner, self._ack = collection, owner, ack
        self._ids = listed(ids, "/ids")
        self._vectors, self._has_vector = to_points(vectors, len(self._ids))
        n = len(self._ids)
        self._columns = {name: _column(name, value, n) for name, value in columns.items() if value is not None}
        if payloads is not None:
            self._columns["payloads"] = _payloads(payloads, n)
        self._repeat = Repeat.NEVER if self._is_conditional() else Repeat.ALWAYS

    @property
    def n_points(self) -> int:
        return len(self._ids)

    def chunks(self, chunk_size: int) -> Iterator[Chunk]:
        """Chunks of at most `chunk_size` points and about MAX_CHUNK_BYTES; one, empty, if there are no points."""
        if not isinstance(chunk_size, int) or chunk_size < 1:
            raise InvalidArgument.at("/chunk_size", "must be a positive integer")
        if not self._ids:
            yield Chunk(0, 0, self._call(0, 0, self._vectors))
        start = row = 0
        while start < self.n_points:
            stop = self._stop(start, chunk_size)
            n_rows = stop - start if self._has_vector is None else sum(self._has_vector[start:stop])
            yield Chunk(start, stop, self._call(start, stop, self._vectors[row : row + n_rows]))
            start, row = stop, row + n_rows

    def _is_conditional(self) -> bool:
        versions, absences = self._columns.get("if_version", ()), self._columns.get("if_absent", ())
        return any(version is not None for version in versions) or any(absences)

    def _stop(self, start: int, chunk_size: int) -> int:
        stop, n_bytes = start, 0
        last = min(start + chunk_size, self.n_points)
        while stop < last:
            n_bytes += self._point_bytes(stop)
            if n_bytes > MAX_CHUNK_BYTES and stop > start:
                break
            stop += 1
        return stop

    def _point_bytes(self, index: int) -> int:
        payload: Any = self._columns["payloads"][index] if "payloads" in self._columns else None
        shared: Any = self._columns["shared_with"][index] if "shared_with" in self._columns else None
        n_bytes: int = _POINT_BYTES + 4 * self._vectors.shape[1] + _POINT_BYTES * len(shared or ())
        return n_bytes if payload is None else n_bytes + memoryview(payload).nbytes

    def _call(self, start: int, stop: int, vectors: Vectors) -> Call[int]:
        head: dict[str, Any] = {name: column[start:stop] for name, column in self._columns.items()}
        head["ids"] = self._ids[start:stop]
        head["owner"] = or_unset(self._owner)
        head["has_vector"] = UNSET if self._has_vector is None else self._has_vector[start:stop]
        path, options = (self._collection,), dict[str, Any](vectors=vectors, repeat=self._repeat)
        if self._ack == "durable":
            return call("upsert", path, head, answer=answers.Written, finish=sequence_of, **options)
        head["ack"] = self._ack
        return call("upsert", path, head, answer=answers.Queued, finish=_no_sequence, **options)


def _no_sequence(found: answers.Queued) -> int:
    """What reads take for "wait for nothing": a queued write has no sequence yet."""
    return 0


def in_upload(exc: VdbError, start: int) -> VdbError:
    """`exc` of the chunk that begins at point `start`, told in the caller's rows."""
    if start:
        exc.problems = tuple(Problem(_shifted(entry.pointer, start), entry.detail) for entry in exc.problems)
        exc.add_note(f"the first {start} points of this upload were written")
    return exc


def _shifted(pointer: str, start: int) -> str:
    return _ROW.sub(lambda found: f"/{found[1]}/{int(found[2]) + start}", pointer)


def _payloads(payloads: Any, n: int) -> list[Raw | None]:
    column = for_each(payloads, n, "/payloads", is_one=False)
    return [
        None if payload is None else Raw(encode(payload, f"/payloads/{index}")) for index, payload in enumerate(column)
    ]


def _column(name: str, value: Any, n: int) -> list[Any]:
    is_one = isinstance(value, str) or not hasattr(value, "__iter__")
    if name == "shared_with":
        value = listed(value, "/shared_with")
        is_one = all(isinstance(entry, str) for entry in value)
    column = for_each(value, n, f"/{name}", is_one=is_one)
    if name == "expires_at":
        for index, moment in enumerate(column):
            aware(moment, f"/expires_at/{index}" if not is_one else "/expires_at")
    return column
