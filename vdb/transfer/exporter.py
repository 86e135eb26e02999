"""An export: one tenant's own points of a collection, page by page, into a file that appears when it is complete.

Pages go to `<target>.part` as JSON Lines, which for a jsonl target is the file itself; the state beside it holds the
cursor behind the last page on disk, so a run that was killed goes on there. npz, HDF5 and parquet are then made of the
part in one go. Pages follow one another by insertion order: a point written meanwhile is in it or not, but what was
there all the time is in it once. (A point deleted and inserted again meanwhile may be in it twice; the later line is
the newer.)
"""

import gzip
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from vdb.client import Collection
from vdb.client.sync import Operations
from vdb.errors import InvalidArgument, InvalidCursor
from vdb.protocol import answers
from vdb.transfer import state as states
from vdb.transfer.fields import Fields
from vdb.transfer.jsonl import JsonlSource, encoded
from vdb.transfer.progress import Progress
from vdb.transfer.rows import Position, Rows, damaged
from vdb.transfer.source import format_of
from vdb.transfer.writers import WRITERS

PAGE_SIZE = 1_000
_SAVE_S = 0.5


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What to export. `place` names the server or the data directory, for the state; the client reaches it."""

    collection: str
    place: str
    tenant: str | None = None
    filter: Mapping[str, Any] | None = None
    file_format: str | None = None
    base64: bool = False
    state_path: Path | None = None
    restart: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export did; the rate is of this run (points per second)."""

    target: str
    collection: str
    n_points: int
    n_bytes: int
    resumed_at_point: int
    took_s: float
    points_per_s: float


def export_file(client: Operations, target: Path, options: ExportOptions, progress: Progress) -> ExportReport:
    """Export the tenant's own points, going on where an earlier run stopped.

    Raises InvalidArgument for a target that is there (but with `force`), for a state that is of another export, and
    what the server answers. The target is complete or not there.
    """
    return _Export(client, target, options, progress).run()


class _Export:
    """One run. Used by one thread."""

    def __init__(self, client: Operations, target: Path, options: ExportOptions, progress: Progress) -> None:
        self._client, self._target, self._options, self._progress = client, target, options, progress
        self._format = options.file_format or format_of(target)
        if self._format not in WRITERS and self._format != "jsonl":
            raise InvalidArgument(f"{target.name}: vdb export writes jsonl, {', '.join(WRITERS)}")
        self._part = target.with_name(target.name + ".part")
        self._state_path = options.state_path or target.with_name(target.name + ".vdb-export.json")
        self._is_zipped = self._format == "jsonl" and target.suffix == ".gz"
        self._as_text = options.base64 or self._format != "jsonl"

    def run(self) -> ExportReport:
        """Do it all."""
        self._check_free()
        collection = self._client.get_collection(self._options.collection)
        self._state = self._resumed(collection)
        n_before, began = self._state.n_points, monotonic()
        try:
            if not self._state.is_read:
                self._read_all(collection.name)
            self._finish(collection)
        finally:
            self._progress.finish()
        took_s = monotonic() - began
        rate = round((self._state.n_points - n_before) / max(took_s, 1e-9), 1)
        size = self._target.stat().st_size
        return ExportReport(
            str(self._target), collection.name, self._state.n_points, size, n_before, round(took_s, 3), rate
        )

    def _read_all(self, name: str) -> None:
        options = self._options
        points = self._client.collection(name, tenant=options.tenant)
        n_total = points.count(options.filter)
        spool = _Spool(self._part, self._state.n_bytes, is_zipped=self._is_zipped)
        saved_at = monotonic()
        try:
            while not self._state.is_read:
                page = self._page(points)
                spool.write(self._line(point) for point in page)
                n_done = self._state.n_points
                self._progress.update(n_done, min(1.0, n_done / n_total) if n_total else None)
                if self._state.is_read or monotonic() - saved_at >= _SAVE_S:
                    self._state.n_bytes = spool.sync()
                    states.save(self._state_path, self._state)
                    saved_at = monotonic()
        except OSError as exc:
            raise InvalidArgument(f"{self._part} cannot be written: {exc.strerror}") from exc
        finally:
            spool.close()

    def _page(self, points: Collection) -> list[answers.Point]:
        """The next page; the state then stands behind it."""
        state = self._state
        try:
            page, cursor = points.scroll_page(
                self._options.filter, cursor=state.cursor, page_size=PAGE_SIZE, with_vector=True
            )
        except InvalidCursor as exc:
            raise InvalidCursor(f"{exc.detail}: --restart begins anew") from exc
        state.n_points += len(page)
        state.cursor, state.is_read = cursor, cursor is None
        return page

    def _line(self, point: answers.Point) -> bytes:
        line: dict[str, Any] = {"id": point.id, "vector": None}
        if point.vector is not None:
            line["vector"] = encoded(point.vector) if self._as_text else point.vector.tolist()
        if point.payload:
            line["payload"] = point.payload
        if point.expires_at is not None:
            line["expires_at"] = point.expires_at
        if point.shared_with:  # an empty list would need the right to share when it is imported
            line["shared_with"] = point.shared_with
        return msgspec.json.encode(line) + b"\n"

    def _finish(self, collection: answers.Collection) -> None:
        """The target, complete, from the part."""
        made = self._part
        try:
            if self._format != "jsonl":
                made = self._target.with_name(self._target.name + ".tmp")
                with made.open("w+b") as file:
                    WRITERS[self._format](file, self._rows(collection.dimension), self._state.n_points, collection)
                    file.flush()
                    os.fsync(file.fileno())
            self._check_free()
            made.replace(self._target)
        except OSError as exc:
            raise InvalidArgument(f"{self._target} cannot be written: {exc.strerror}") from exc
        self._part.unlink(missing_ok=True)
        self._state_path.unlink(missing_ok=True)

    def _rows(self, dimension: int) -> Iterator[Rows]:
        if not self._state.n_points:
            return
        for rows in JsonlSource(self._part, Fields()).chunks(Position(), dimension):
            if rows.rejected:
                raise damaged(self._part, f"line {rows.rejected[0].number} was changed: --restart begins anew")
            yield rows

    def _resumed(self, collection: answers.Collection) -> states.ExportState:
        """The state of the run before, if there is one to go on with; else a new one, and no part."""
        options = self._options
        target: dict[str, Any] = {"place": options.place, "collection": options.collection, "tenant": options.tenant}
        target |= {"collection_id": collection.id, "created_at": collection.created_at.isoformat()}
        form = {"format": self._format, "base64": options.base64, "filter": options.filter}
        new = states.ExportState(target, form)
        if options.restart:
            self._state_path.unlink(missing_ok=True)
            self._part.unlink(missing_ok=True)
        old = states.load(self._state_path, states.ExportState)
        if old is None:
            if self._part.exists():
                raise InvalidArgument(f"{self._part} is there, and no state belongs to it: --restart replaces it")
            return new
        what = states.difference(old, new, ("target", "form"))
        if what is not None:
            raise InvalidArgument(f"{self._state_path} is of another export: {what}; --restart begins anew")
        if not self._part.exists() or self._part.stat().st_size < old.n_bytes:
            raise InvalidArgument(f"{self._part} is not what {self._state_path.name} tells of: --restart begins anew")
        return old

    def _check_free(self) -> None:
        if self._target.exists() and not (self._options.force and self._target.is_file()):
            raise InvalidArgument(f"{self._target} is there: --force replaces a file")


class _Spool:
    """The part: appended to, cut off behind what the state knows. Used by one thread; close it.

    With `is_zipped` what lies between two `sync` is one member of a gzip file.
    """

    def __init__(self, path: Path, n_bytes: int, *, is_zipped: bool) -> None:
        try:
            self._file = path.open("r+b" if n_bytes else "wb")
            self._file.truncate(n_bytes)
            self._file.seek(n_bytes)
        except OSError as exc:
            raise InvalidArgument(f"{path} cannot be written: {exc.strerror}") from exc
        self._is_zipped = is_zipped
        self._member: gzip.GzipFile | None = None

    def write(self, lines: Iterator[bytes]) -> None:
        text = b"".join(lines)
        if not self._is_zipped:
            self._file.write(text)
            return
        if self._member is None:
            self._member = gzip.GzipFile(filename="", fileobj=self._file, mode="wb", compresslevel=6, mtime=0)
        self._member.write(text)

    def sync(self) -> int:
        """Make what was written durable; returns the length of the file."""
        if self._member is not None:
            self._member.close()
            self._member = None
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
