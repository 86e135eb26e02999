"""What a file gives and an upsert takes: rows in columns, where to go on after them, and the rows put aside.

Shapes: a chunk has m good rows; `vectors` is float32 (m, d), C order, with zeros for a row that has no vector.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vdb.errors import InvalidArgument

CHUNK_ROWS = 2_000
CHUNK_BYTES = 8 << 20
"""A chunk ends at either: one request, and what is lost of the progress when the importer dies."""
MAX_DIMENSION = 65_536
"""Beyond any server's: what claims more is refused before memory is taken for it."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where to go on: rows (for text: lines) behind us, and for text the byte after them."""

    row: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row put aside: its number as the source counts, why, and what it held as far as JSON can show it."""

    number: int
    reason: str
    value: Any = None


@dataclass(slots=True)
class Rows:
    """One chunk. `numbers[i]` is the number of row i in its source; `fraction` is how much of the source is done.

    `has_vector` None means every row has one; the other columns are None where the source has no such column.
    """

    numbers: Sequence[int]
    ids: list[str]
    vectors: NDArray[np.float32]
    next: Position
    has_vector: list[bool] | None = None
    payloads: list[Any] | None = None
    expires_at: list[datetime | None] | None = None
    shared_with: list[list[str] | None] | None = None
    rejected: list[Rejected] = field(default_factory=list)
    fraction: float | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, places: Sequence[int]) -> "Rows":
        """The rows at `places`, without what was rejected."""
        return Rows(
            _picked(self.numbers, places) or [],
            _picked(self.ids, places) or [],
            self.vectors[np.array(places, np.int64)],
            self.next,
            _picked(self.has_vector, places),
            _picked(self.payloads, places),
            _picked(self.expires_at, places),
            _picked(self.shared_with, places),
        )

    def value_of(self, place: int) -> dict[str, Any]:
        """A row as a line of JSON would hold it."""
        has_vector = self.has_vector is None or self.has_vector[place]
        value = {"id": self.ids[place], "vector": self.vectors[place].tolist() if has_vector else None}
        columns = {"payload": self.payloads, "expires_at": self.expires_at, "shared_with": self.shared_with}
        return value | {name: column[place] for name, column in columns.items() if column and column[place] is not None}


class Source(Protocol):
    """An open file. Used by one thread; whoever opened it closes it.

    `unit` names what is counted: "line" or "row". `n_rows` is None where only reading to the end would tell;
    `fixed_dimension` where rows may differ; `metric` is what the file says of it, read when it is asked for.
    `ids_differ`: no two rows can have the same id.
    """

    @property
    def unit(self) -> str: ...

    @property
    def n_rows(self) -> int | None: ...

    @property
    def fixed_dimension(self) -> int | None: ...

    @property
    def metric(self) -> str | None: ...

    @property
    def ids_differ(self) -> bool: ...

    def dimension(self) -> int | None:
        """Numbers in a vector, by the file's head or its first vector; None where none is found."""

    def chunks(self, start: Position, dimension: int) -> Iterator[Rows]:
        """Chunks from `start` on. Raises InvalidArgument where the file is damaged, after the chunks before."""

    def close(self) -> None: ...


def damaged(path: Path, what: str) -> InvalidArgument:
    """The error of a file that cannot be read, or not beyond some place."""
    return InvalidArgument(f"{path.name}: {what}")


def rows_per_chunk(row_bytes: int) -> int:
    """How many rows of a size make a chunk."""
    return max(1, min(CHUNK_ROWS, CHUNK_BYTES // max(row_bytes, 1)))


def without(rows: Rows, rejected: list[Rejected], bad: set[int]) -> Rows:
    """`rows` without those at the places `bad`, which `rejected` tells of."""
    kept = rows.take([place for place in range(len(rows)) if place not in bad]) if bad else rows
    kept.rejected = sorted([*rows.rejected, *rejected], key=lambda entry: entry.number)
    kept.fraction = rows.fraction
    return kept


def _picked(column: Sequence[Any] | None, places: Sequence[int]) -> list[Any] | None:
    return None if column is None else [column[place] for place in places]
