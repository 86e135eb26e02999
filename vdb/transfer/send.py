"""One chunk on its way in: upserted, with the rows that the server refuses put aside and the rest sent again.

The rows of a chunk keep their order: of two rows with one id the later wins, as in two upserts, unless it is refused.
"""

import re
from dataclasses import dataclass, field
from threading import Event
from time import monotonic

from vdb.client import Collection
from vdb.errors import InvalidArgument, RateLimited, TooLarge, TransportError, TransportTimeout, Unavailable, VdbError
from vdb.transfer.rows import Rejected, Rows

PATIENCE_S = 60.0
"""How long a server that is busy or restarts may take no chunk; one that limits the rate is waited for as it says."""
_PAUSE_S = 0.25
_ROW = re.compile(r"\A/(?P<column>\w+)/(?P<place>\d+)(?P<rest>.*)", re.DOTALL)
_COLUMNS = {"ids", "vectors", "payloads", "expires_at", "shared_with"}


@dataclass(slots=True)
class Sent:
    """What became of a chunk's rows."""

    n_written: int = 0
    rejected: list[Rejected] = field(default_factory=list)


class Sender:
    """Sends chunks to one collection. Safe to share between threads; `stop` makes all of them give up waiting."""

    def __init__(self, collection: Collection, patience_s: float = PATIENCE_S) -> None:
        self._collection, self._patience_s = collection, patience_s
        self._stopped = Event()
        self._taken_at = monotonic()  # when the server last took a chunk of any thread

    def stop(self) -> None:
        self._stopped.set()

    def send(self, rows: Rows) -> Sent:
        """Write the rows; returns how many, and those that are refused. Raises what stands in the way of all rows."""
        sent = Sent()
        self._send(rows, list(range(len(rows))), sent)
        sent.rejected.sort(key=lambda entry: entry.number)
        return sent

    def _send(self, rows: Rows, places: list[int], sent: Sent) -> None:
        """Rows at `places`. After a refusal the rest goes in halves, so that many bad rows cost few repeats."""
        if not places:
            return
        kept = _last_of_each(rows, places)
        try:
            self._upsert(rows if len(kept) == len(rows) else rows.take(kept))
        except (InvalidArgument, TooLarge) as exc:
            bad = _refused_place(exc, rows, kept)
            if bad is None and isinstance(exc, TooLarge) and len(places) == 1:
                bad = places[0]
            if bad is not None:
                sent.rejected.append(Rejected(rows.numbers[bad], _reason(exc), rows.value_of(bad)))
            elif not isinstance(exc, TooLarge):
                raise
            rest = [place for place in places if place != bad]
            self._send(rows, rest[: len(rest) // 2], sent)
            self._send(rows, rest[len(rest) // 2 :], sent)
        else:
            sent.n_written += len(places)

    def _upsert(self, rows: Rows) -> None:
        began = monotonic()
        while True:
            try:
                self._collection.upsert(
                    rows.ids,
                    rows.vectors
                    if rows.has_vector is None
                    else [v if has else None for v, has in zip(rows.vectors, rows.has_vector, strict=True)],
                    rows.payloads,
                    expires_at=rows.expires_at,
                    shared_with=rows.shared_with,
                    chunk_size=max(len(rows), 1),
                )
                self._taken_at = monotonic()
                return
            except RateLimited as exc:
                if self._stopped.wait(max(exc.retry_after_s or 0.0, _PAUSE_S)):
                    raise
            except (Unavailable, TransportError) as exc:
                pause_s = max(exc.retry_after_s or 0.0, _PAUSE_S)
                is_over = monotonic() + pause_s > max(began, self._taken_at) + self._patience_s
                if not may_pass(exc) or is_over or self._stopped.wait(pause_s):
                    raise


def may_pass(exc: VdbError) -> bool:
    """Whether the same upsert may succeed later; doing it twice is harmless."""
    return isinstance(exc, (Unavailable, TransportTimeout)) or exc.retry_after_s is not None


def _last_of_each(rows: Rows, places: list[int]) -> list[int]:
    """The places without those whose id comes again."""
    last = {rows.ids[place]: place for place in places}
    return places if len(last) == len(places) else sorted(last.values())


def _refused_place(exc: VdbError, rows: Rows, kept: list[int]) -> int | None:
    """The place of the row that an error points at; None where it points at no row."""
    for problem in exc.problems:
        found = _ROW.match(problem.pointer)
        if found is None or found["column"] not in _COLUMNS:
            continue
        place = int(found["place"])
        if found["column"] == "vectors" and rows.has_vector is not None:  # counts the rows that have one
            kept = [row for row in kept if rows.has_vector[row]]
        if place < len(kept):
            return kept[place]
    return None


def _reason(exc: VdbError) -> str:
    """What is wrong, with the field of the payload where the error names one."""
    found = _ROW.match(exc.problems[0].pointer) if exc.problems else None
    where = f"{found['column']}{found['rest']}: " if found and found["rest"] else ""
    return f"{where}{exc.detail} ({exc.code})"
