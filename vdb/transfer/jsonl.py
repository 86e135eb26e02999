"""JSON Lines, plain or gzip: one object per line, judged line by line and as strictly as the server judges a body.

A line that is no point is put aside with its number, counted from 1; empty lines are passed over. Text is read as a
stream: neither a line nor what gzip makes of a few bytes can take memory beyond the bounds below.
"""

import base64
import binascii
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from vdb.client.arrays import from_base64
from vdb.errors import VdbError
from vdb.protocol import strict_json
from vdb.transfer.fields import ALL, NONE, BadValue, Fields, grantees_of, id_of, moment_of, payload_of
from vdb.transfer.rows import CHUNK_BYTES, CHUNK_ROWS, Position, Rejected, Rows, damaged, without

MAX_LINE_BYTES = 4 << 20
MAX_RATIO = 200
"""More than text of points shrinks to; examined once FREE_BYTES have come out."""
FREE_BYTES = 64 << 20
MAX_SHOWN_BYTES = 16 << 10
"""What the report shows of a bad line."""
_MAX_PEEK_LINES = 10_000
_STEP_BYTES = 1 << 20

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NUMBERS = msgspec.json.Decoder(list[float])
_FOREIGN = (OSError, EOFError, zlib.error)


@dataclass(slots=True)
class _Point:
    """One line, understood; `vector` None where it has none."""

    id: str
    vector: Any
    payload: dict[str, Any] | None
    expires_at: Any
    shared_with: Any


class JsonlSource:
    """A `.jsonl`, `.ndjson` or `.jsonl.gz` file. Used by one thread; opened anew by every pass over it."""

    unit = "line"
    n_rows = None
    fixed_dimension = None
    metric = None

    def __init__(self, path: Path, fields: Fields) -> None:
        self._path, self._fields = path, fields
        self.ids_differ = fields.id_prefix is not None
        self._lines(Position()).close()  # what cannot be opened says so before anything is written

    def dimension(self) -> int | None:
        """Length of the first vector that can be read."""
        lines = self._lines(Position())
        try:
            for _, (line, _) in zip(range(_MAX_PEEK_LINES), lines, strict=False):
                vector = self._peeked(line)
                if vector is not None:
                    return len(vector)
            return None
        finally:
            lines.close()

    def chunks(self, start: Position, dimension: int) -> Iterator[Rows]:
        """See Source."""
        lines = self._lines(start)
        try:
            chunk = _Chunk(self._fields, dimension)
            for line, position in lines:
                chunk.add(line, position)
                if chunk.is_full:
                    yield chunk.rows(lines.fraction())
                    chunk = _Chunk(self._fields, dimension)
            if chunk.next is not None:
                yield chunk.rows(1.0)
        finally:
            lines.close()

    def close(self) -> None:
        """Nothing is held between passes."""

    def _lines(self, start: Position) -> "_Lines":
        return _Lines(self._path, start)

    def _peeked(self, line: bytes | None) -> Any:
        try:
            return _point(line, self._fields, 0).vector if line else None
        except VdbError:
            return None


class _Lines:
    """The lines from a position on, each with the position after it; None for a line that is too long. Close it."""

    def __init__(self, path: Path, start: Position) -> None:
        self._path = path
        self._row, self._offset = start.row, start.offset
        self._is_zipped = path.suffix == ".gz"
        try:
            self._file = path.open("rb")
            self._size = path.stat().st_size
            self._text: IO[bytes] = gzip.GzipFile(fileobj=self._file) if self._is_zipped else self._file  # type: ignore[assignment]
            if self._is_zipped:
                self._text.peek(1)  # type: ignore[attr-defined]
        except _FOREIGN as exc:
            raise damaged(path, f"cannot be read: {_reason(exc)}") from exc
        self._skip(start.offset)

    def __iter__(self) -> Iterator[tuple[bytes | None, Position]]:
        while True:
            line = self._read(MAX_LINE_BYTES + 1)
            if not line:
                return
            is_long = len(line) > MAX_LINE_BYTES
            piece = line
            while is_long and piece and not piece.endswith(b"\n"):
                piece = self._read(_STEP_BYTES)
            self._row += 1
            if self._row == 1 and line.startswith(b"\xef\xbb\xbf"):
                line = line[3:]
            yield (None if is_long else line), Position(self._row, self._offset)

    def fraction(self) -> float:
        """How much of the file is behind us."""
        return self._file.tell() / max(self._size, 1) if self._is_zipped else self._offset / max(self._size, 1)

    def close(self) -> None:
        self._text.close()
        self._file.close()

    def _read(self, n_bytes: int) -> bytes:
        try:
            data = self._text.readline(n_bytes)
        except _FOREIGN as exc:
            raise damaged(self._path, f"cannot be read beyond line {self._row}: {_reason(exc)}") from exc
        self._offset += len(data)
        self._check_ratio()
        return data

    def _skip(self, n_bytes: int) -> None:
        if not self._is_zipped:
            self._text.seek(n_bytes)
            return
        try:
            while n_bytes:
                data = self._text.read(min(n_bytes, _STEP_BYTES))
                if not data:
                    raise damaged(self._path, "is shorter than before")
                n_bytes -= len(data)
        except _FOREIGN as exc:
            raise damaged(self._path, f"cannot be read: {_reason(exc)}") from exc

    def _check_ratio(self) -> None:
        if self._is_zipped and self._offset > FREE_BYTES and self._offset > MAX_RATIO * self._file.tell():
            raise damaged(self._path, f"expands to more than {MAX_RATIO} times its size after line {self._row}")


class _Chunk:
    """The lines of a chunk as they come."""

    def __init__(self, fields: Fields, dimension: int) -> None:
        self._fields, self._dimension = fields, dimension
        self._points: list[_Point] = []
        self._lines: list[bytes] = []
        self._numbers: list[int] = []
        self._rejected: list[Rejected] = []
        self._n_bytes = 0
        self.next: Position | None = None

    @property
    def is_full(self) -> bool:
        n_bytes = max(self._n_bytes, 4 * self._dimension * len(self._points))
        return len(self._points) + len(self._rejected) >= CHUNK_ROWS or n_bytes >= CHUNK_BYTES

    def add(self, line: bytes | None, position: Position) -> None:
        self.next = position
        if line is None:
            self._rejected.append(Rejected(position.row, f"the line is longer than {MAX_LINE_BYTES} bytes"))
            return
        self._n_bytes += len(line)
        if not line.strip():
            return
        try:
            point = _point(line, self._fields, position.row)
            self._check_length(point.vector)
        except VdbError as exc:
            self._rejected.append(Rejected(position.row, exc.detail, shown(line)))
            return
        self._points.append(point)
        self._lines.append(line)
        self._numbers.append(position.row)

    def rows(self, fraction: float) -> Rows:
        """The chunk as columns, without the lines whose numbers float32 cannot hold."""
        assert self.next is not None
        points = self._points
        matrix, has_vector = self._matrix()
        rows = Rows(self._numbers, [point.id for point in points], matrix, self.next, has_vector)
        rows.payloads = _column([point.payload for point in points])
        rows.expires_at = _column([point.expires_at for point in points])
        rows.shared_with = _column([point.shared_with for point in points])
        rows.rejected, rows.fraction = self._rejected, fraction
        bad = not_finite(matrix)
        reason = "the vector holds numbers beyond float32"
        return without(rows, [Rejected(self._numbers[i], reason, shown(self._lines[i])) for i in bad], bad)

    def _matrix(self) -> tuple[NDArray[np.float32], list[bool] | None]:
        has_vector = [point.vector is not None for point in self._points]
        matrix = np.zeros((len(self._points), self._dimension), np.float32)
        vectors = [point.vector for point in self._points if point.vector is not None]
        with np.errstate(over="ignore"):
            if vectors:
                matrix[has_vector] = np.array(vectors, np.float32)
        return matrix, None if all(has_vector) else has_vector

    def _check_length(self, vector: Any) -> None:
        if vector is not None and len(vector) != self._dimension:
            raise BadValue(f"the vector has {len(vector)} numbers, not {self._dimension}")


def not_finite(matrix: NDArray[np.float32]) -> set[int]:
    """The rows that hold NaN or an infinity."""
    finite = np.isfinite(matrix).all(axis=1)
    return set() if finite.all() else {int(row) for row in np.flatnonzero(~finite)}


def shown(line: bytes) -> Any:
    """A line for the report: its value where it is short JSON, else the beginning of its text."""
    if len(line) <= MAX_SHOWN_BYTES:
        try:
            return strict_json.decode(line)
        except VdbError:
            return line.decode("utf-8", "backslashreplace").rstrip("\r\n")
    return line[:MAX_SHOWN_BYTES].decode("utf-8", "backslashreplace") + "…"


def _point(line: bytes, fields: Fields, number: int) -> _Point:
    """One line as a point; raises a VdbError that says what is wrong with it."""
    members = _members(line)
    given, n_keys = _values(members, fields)
    strict_json.check_body(line, len(members) + n_keys)
    if fields.id_prefix is not None:
        point_id = f"{fields.id_prefix}{number}"
    else:
        point_id = id_of(given.get(fields.id or "id"))
    if (fields.vector or "vector") not in members:
        raise BadValue(f"no {fields.vector or 'vector'} (null says that a point has none)")
    vector = _vector(members[fields.vector or "vector"])
    expires_at = moment_of(given.get(fields.expires_at or "expires_at"))
    shared_with = grantees_of(given.get(fields.shared_with or "shared_with"))
    return _Point(point_id, vector, _payload(given, fields), expires_at, shared_with)


def _members(line: bytes) -> dict[str, msgspec.Raw]:
    """The line's members, as text still."""
    try:
        return _MEMBERS.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        strict_json.decode(line)  # says what is wrong with the text
        raise BadValue("the line is not a JSON object") from exc


def _values(members: dict[str, msgspec.Raw], fields: Fields) -> tuple[dict[str, Any], int]:
    """Every member but the vector, decoded, and how many keys they hold within."""
    names = {fields.id or "id", fields.expires_at or "expires_at", fields.shared_with or "shared_with"}
    left_out = {"expires_at"} if fields.expires_at == NONE else set()
    left_out |= {"shared_with"} if fields.shared_with == NONE else set()
    vector = fields.vector or "vector"
    payload = {name.removesuffix(".*"): name.endswith(".*") for name in fields.payload_names}
    values: dict[str, Any] = {}
    n_keys = 0
    for name, raw in members.items():
        if name == vector or name in left_out:
            continue
        is_wanted = name in names or fields.payload == ALL or name in payload
        if not is_wanted and fields.payload is None:
            raise BadValue(f"unknown field {name[:64]!r}: --payload says what becomes of it")
        if is_wanted:
            values[name] = _value(bytes(raw), is_payload=payload.get(name, False))
            n_keys += strict_json.count_keys(values[name])
    return values, n_keys


def _value(raw: bytes, *, is_payload: bool) -> Any:
    """A member's value; nesting counts from the payload, whose member it may be."""
    if is_payload and raw[:1] == b"{":
        return strict_json.decode_payload(raw, "")
    return strict_json.decode_payload(b'{"":%b}' % raw, "")[""]


def _payload(values: dict[str, Any], fields: Fields) -> dict[str, Any] | None:
    if fields.payload == NONE:
        return None
    if fields.payload != ALL:
        return payload_of(values, fields.payload_names) or None
    own = {fields.id or "id", fields.expires_at or "expires_at", fields.shared_with or "shared_with"}
    return {name: value for name, value in values.items() if name not in own} or None


def _vector(raw: msgspec.Raw) -> Any:
    """A list of numbers, or an array; None for null."""
    text = bytes(raw)
    try:
        if text == b"null":
            return None
        return from_base64(msgspec.json.decode(text, type=str)) if text[:1] == b'"' else _NUMBERS.decode(text)
    except (msgspec.MsgspecError, ValueError, binascii.Error, RecursionError) as exc:
        raise BadValue("the vector is neither a list of numbers nor base64 of float32") from exc


def _column(values: list[Any]) -> list[Any] | None:
    return None if all(value is None for value in values) else values


def _reason(exc: Exception) -> str:
    return exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc) or type(exc).__name__


def encoded(vector: NDArray[np.float32]) -> str:
    """A vector as base64 of little-endian float32, which `vector` may hold."""
    return base64.b64encode(np.ascontiguousarray(vector, "<f4").tobytes()).decode()
