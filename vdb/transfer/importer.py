"""An import: chunks of a source in flight several at a time, acknowledged in the order of the source.

The state is written behind what is acknowledged, so a run that is killed at any moment goes on without a gap; what was
in flight is written twice, which upserts allow. Two rows with one id are never in flight together: the later wins.
"""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import Any

from vdb.client import Collection
from vdb.client.sync import Operations
from vdb.errors import CollectionNotFound, InvalidArgument, VdbError
from vdb.protocol import answers
from vdb.transfer import state as states
from vdb.transfer.fields import Fields
from vdb.transfer.progress import Progress
from vdb.transfer.rejects import Rejects
from vdb.transfer.rows import Position, Rows, Source
from vdb.transfer.send import PATIENCE_S, Sender, Sent
from vdb.transfer.source import open_source

MAX_REJECTED = 10_000
N_IN_FLIGHT = 4
_SAVE_S = 0.2


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What to import where. `place` names the server or the data directory, for the state; the client reaches it."""

    collection: str
    place: str
    tenant: str | None = None
    fields: Fields = field(default_factory=Fields)
    file_format: str | None = None
    create: bool = False
    metric: str | None = None
    state_path: Path | None = None
    rejected_path: Path | None = None
    restart: bool = False
    max_rejected: int = MAX_REJECTED
    n_in_flight: int = N_IN_FLIGHT
    patience_s: float = PATIENCE_S


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did. Rows count over all runs of a resumed import, the rate over this one (rows per second).

    Of two rows with one id the later is the point, so `n_written` rows may make fewer points.
    """

    source: str
    collection: str
    n_rows: int
    n_written: int
    n_rejected: int
    rejected_path: str | None
    resumed_at_row: int
    took_s: float
    rows_per_s: float


def import_file(client: Operations, path: Path, options: ImportOptions, progress: Progress) -> ImportReport:
    """Import the file into a collection, going on where an earlier run stopped.

    Raises InvalidArgument for a source, a state or options that do not fit, CollectionNotFound, and what the server
    answers; the error says what was written before it. Nothing is written for a source that cannot be opened.
    """
    source = open_source(path, options.fields, options.file_format)
    try:
        return _Import(client, path, source, options, progress).run()
    finally:
        source.close()


class _Import:
    """One run. Used by one thread; the chunks are sent by others."""

    def __init__(
        self, client: Operations, path: Path, source: Source, options: ImportOptions, progress: Progress
    ) -> None:
        self._client, self._path, self._source, self._options = client, path, source, options
        self._progress = progress
        self._state_path = options.state_path or path.with_name(path.name + ".vdb-import.json")
        self._rejected_path = options.rejected_path or path.with_name(path.name + ".rejected.jsonl")
        for other in (self._state_path, self._rejected_path):
            if other.resolve() == path.resolve():
                raise InvalidArgument(f"{other} is the source itself")
        self._pending: deque[tuple[Rows, set[str], Future[Sent]]] = deque()
        self._saved_at = monotonic() - _SAVE_S  # the first chunk is noted at once

    def run(self) -> ImportReport:
        """Do it all."""
        self._fingerprint = states.fingerprint(self._path)
        found = self._find_collection()
        self._name = self._options.collection if found is None else found.name  # not an alias, which may move meanwhile
        self._state = self._resumed(found)
        self._first = Position(self._state.row, self._state.offset)
        self._rejects = Rejects(self._rejected_path, self._source.unit, self._state.rejected_bytes)
        began = monotonic()
        try:
            self._write_all(found)
            self._check_unchanged()
        except BaseException as exc:
            if isinstance(exc, VdbError):
                raise self._told(exc) from exc
            raise
        finally:
            self._rejects.close()
            self._progress.finish()
        self._state_path.unlink(missing_ok=True)
        return self._report(monotonic() - began)

    def _write_all(self, found: answers.Collection | None) -> None:
        dimension = found.dimension if found is not None else self._source.dimension()
        if dimension is None:
            raise InvalidArgument(f"{self._path.name}: no vector was found that tells the dimension")
        fixed = self._source.fixed_dimension
        if fixed not in (None, dimension):
            raise InvalidArgument(f"{self._path.name}: vectors have dimension {fixed}, the collection {dimension}")
        chunks = self._source.chunks(self._first, dimension)
        head = next(chunks, None)
        if found is None:  # only now: what cannot be read leaves no collection behind
            self._create(dimension)
        if head is not None:
            self._send_all(chain((head,), chunks))

    def _send_all(self, chunks: Any) -> None:
        sender = Sender(self._points(), self._options.patience_s)
        with ThreadPoolExecutor(self._options.n_in_flight, "vdb-import") as pool:
            try:
                for rows in chunks:
                    ids = set() if self._source.ids_differ else set(rows.ids)
                    self._make_room(ids)
                    self._pending.append((rows, ids, pool.submit(sender.send, rows)))
                while self._pending:
                    self._acknowledge()
            except BaseException:
                sender.stop()
                self._acknowledge_finished()
                raise
            finally:
                self._save()

    def _make_room(self, ids: set[str]) -> None:
        """Wait until there is room for a chunk, and none in flight shares an id with it."""
        while self._pending and (
            len(self._pending) > self._options.n_in_flight
            or not all(ids.isdisjoint(others) for _, others, _ in self._pending)
        ):
            self._acknowledge()

    def _acknowledge(self) -> None:
        """Take the oldest chunk's result; raises what stopped it."""
        rows, _, future = self._pending[0]
        sent = future.result()
        self._pending.popleft()
        rejected = sorted([*rows.rejected, *sent.rejected], key=lambda entry: entry.number)
        self._rejects.write(rejected)
        state = self._state
        state.row, state.offset = rows.next.row, rows.next.offset
        state.n_written += sent.n_written
        if state.owner is None and sent.n_written:
            self._note_owner(rows, {entry.number for entry in sent.rejected})
        state.n_rejected += len(rejected)
        state.rejected_bytes = self._rejects.n_bytes
        self._progress.update(state.row, rows.fraction, state.n_rejected)
        if state.n_rejected > self._options.max_rejected:
            raise InvalidArgument(f"more than {self._options.max_rejected} rows were rejected")
        if monotonic() - self._saved_at >= _SAVE_S:
            self._save()

    def _acknowledge_finished(self) -> None:
        """After an error: what is in flight comes to its end, and counts up to the first chunk that failed."""
        while self._pending and self._pending[0][2].exception() is None:
            self._acknowledge()

    def _save(self) -> None:
        self._saved_at = monotonic()
        if (self._state.row, self._state.offset) != (0, 0):
            states.save(self._state_path, self._state)

    def _find_collection(self) -> answers.Collection | None:
        try:
            return self._client.get_collection(self._options.collection)
        except CollectionNotFound:
            if not self._options.create:
                raise CollectionNotFound(
                    f"collection {self._options.collection!r} does not exist: --create makes it"
                ) from None
            return None

    def _create(self, dimension: int) -> None:
        metric = self._options.metric or self._source.metric or "cosine"
        made = self._client.create_collection(self._options.collection, dimension, metric)
        self._state.target |= _identity(made)

    def _resumed(self, found: answers.Collection | None) -> states.ImportState:
        """The state of the run before, if there is one to go on with; else a new one."""
        options = self._options
        target = {"place": options.place, "collection": options.collection, "tenant": options.tenant}
        target |= _identity(found) if found is not None else {}
        mapping = asdict(options.fields) | {"format": options.file_format}
        new = states.ImportState(self._fingerprint, target, mapping)
        if options.restart:
            self._state_path.unlink(missing_ok=True)
        old = states.load(self._state_path, states.ImportState)
        if old is None:
            return new
        what = states.difference(
            old,
            new,
            (
                "source",
                "target",
                "mapping",
            ),
        )
        if what is not None:
            raise InvalidArgument(f"{self._state_path} is of another import: {what}; --restart begins anew")
        self._check_owner(old)
        return old

    def _note_owner(self, rows: Rows, refused: set[int]) -> None:
        """Remember whose the points are: the key may be bound to a tenant that nothing else names."""
        written = {name for name, number in zip(rows.ids, rows.numbers, strict=True) if number not in refused}
        found = self._points().get(sorted(written)[:100], with_payload=False)
        if found:
            self._state.written_id, self._state.owner = found[0].id, found[0].owner

    def _check_owner(self, state: states.ImportState) -> None:
        """Refuse to go on for another tenant."""
        if state.written_id is None:
            return
        found = self._points().get([state.written_id], with_payload=False)
        if [point.owner for point in found] != [state.owner]:
            raise InvalidArgument(
                f"{self._state_path} is of an import for tenant {state.owner!r}, whose point {state.written_id!r} this "
                "key does not see as its own; --restart begins anew"
            )

    def _points(self) -> Collection:
        return self._client.collection(self._name, tenant=self._options.tenant)

    def _check_unchanged(self) -> None:
        if states.fingerprint(self._path) != self._fingerprint:
            raise InvalidArgument(f"{self._path.name} was changed while it was read")

    def _told(self, exc: VdbError) -> VdbError:
        """The error, with what was written before it."""
        unit, state = self._source.unit, self._state
        if (state.row, state.offset) == (0, 0):
            written = "nothing is acknowledged"
        else:
            written = f"all up to {unit} {state.row} is imported, {state.n_rejected} rejected; run again to go on"
        return type(exc)(f"{exc.detail} ({written})", problems=exc.problems, retry_after_s=exc.retry_after_s)

    def _report(self, took_s: float) -> ImportReport:
        state = self._state
        n_rows = state.n_written + state.n_rejected
        return ImportReport(
            str(self._path),
            self._options.collection,
            n_rows,
            state.n_written,
            state.n_rejected,
            str(self._rejected_path) if state.n_rejected else None,
            self._first.row,
            round(took_s, 3),
            round((state.row - self._first.row) / max(took_s, 1e-9), 1),
        )


def _identity(collection: answers.Collection) -> dict[str, Any]:
    """What tells a collection from a later one of its name."""
    return {"collection_id": collection.id, "created_at": collection.created_at.isoformat()}
