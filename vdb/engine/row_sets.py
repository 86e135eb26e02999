"""Row sets of filters, and masks made of them, kept for as long as nothing is written to their collection.

One cache for the server, capped by bytes, the least recently used first to go. What it holds spans all tenants and
never leaves the engine: an answer has points of it only after each record was checked for who may see it.
"""

import logging
import threading
from array import array
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from vdb.engine.filters import Filter, RowSet, row_set
from vdb.engine.shard import Snapshot
from vdb.errors import CorruptData
from vdb.index.flat import FlatState
from vdb.storage.catalog import CollectionDocument
from vdb.storage.env import Transaction
from vdb.storage.payload_index import read_indexes

if TYPE_CHECKING:
    from vdb.engine.services import Services

logger = logging.getLogger(__name__)

CACHE_BYTES = 64 << 20
ENTRY_BYTES = 512
"""What an entry costs beside its bitmap or mask."""
DENSE_SPAN = 16
"""Pids spread over at most as many times their number are looked up in an array over all of them."""

Mask = NDArray[np.uint8]


class RowSetCache:
    """Values by key, each of one sequence of its collection: a newer one takes the older one's place. Thread-safe."""

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, tuple[int, Any, int]] = OrderedDict()
        self.n_bytes = 0

    def get(self, key: Hashable, sequence: int) -> Any:
        """The value of this key at this sequence, or None."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry[0] != sequence:
                return None
            self._entries.move_to_end(key)
            return entry[1]

    def put(self, key: Hashable, sequence: int, value: Any, n_bytes: int) -> None:
        """Keep a value, unless there is one of a later sequence, or it is as large as all may be together."""
        n_bytes += ENTRY_BYTES
        with self._lock:
            known = self._entries.get(key)
            if n_bytes > self._max_bytes or (known is not None and known[0] > sequence):
                return
            self.n_bytes += n_bytes - (known[2] if known is not None else 0)
            self._entries[key] = (sequence, value, n_bytes)
            self._entries.move_to_end(key)
            while self.n_bytes > self._max_bytes:
                _, (_, _, gone) = self._entries.popitem(last=False)
                self.n_bytes -= gone


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """A filter as masks over the rows of a search's segments, in their order: uint8, 1 = may match.

    `is_exact`: all that are allowed match. `n_allowed` and `n_rows` count rows, those of dead points too.
    """

    masks: list[Mask]
    is_exact: bool
    n_allowed: int
    n_rows: int


def row_set_of(
    services: "Services", collection: CollectionDocument, snapshot: Snapshot, parsed: Filter | None
) -> RowSet | None:
    """What the collection's payload indexes know of a filter at a snapshot; None where they are of no help."""
    if parsed is None or not collection.indexes:
        return None
    key = (collection.id, parsed.key)
    found: RowSet | None = services.row_sets.get(key, snapshot.sequence)
    if found is None:
        found = row_set_in(services, snapshot.txn, collection, parsed)
        if found is not None:
            services.row_sets.put(key, snapshot.sequence, found, len(parsed.key) + _bitmap_bytes(found.pids))
    return found


def row_set_in(
    services: "Services", txn: Transaction, collection: CollectionDocument, parsed: Filter | None
) -> RowSet | None:
    """The same, of a transaction, and not kept: in one that writes, the indexes are as the last commit left them."""
    if parsed is None or not collection.indexes:
        return None
    try:
        return row_set(txn, parsed, read_indexes(txn))
    except CorruptData as exc:
        logger.error("a payload index is damaged", exc_info=exc, extra={"collection": collection.id})
        services.damaged_indexes.add(collection.id)
        return None


def masks_of(
    services: "Services",
    collection: CollectionDocument,
    snapshot: Snapshot,
    parsed: Filter | None,
    states: Sequence[FlatState],
) -> Masks | None:
    """The filter over the rows of these states; None where the payload indexes are of no help."""
    rows = row_set_of(services, collection, snapshot, parsed)
    if rows is None or parsed is None:
        return None
    found = [_mask(services, collection.id, snapshot.sequence, parsed.key, rows.pids, state) for state in states]
    n_allowed = sum(n for _, n in found)
    return Masks([mask for mask, _ in found], rows.is_exact, n_allowed, sum(state.n_rows for state in states))


class Narrowed(Protocol):
    """What a filter left of the rows that are searched; None where the payload indexes were of no help."""

    @property
    def n_rows(self) -> int: ...

    @property
    def n_allowed(self) -> int: ...

    @property
    def is_by_index(self) -> bool: ...

    @property
    def is_filtered(self) -> bool: ...


def filter_explained(is_filtered: bool, source: Narrowed) -> dict[str, Any]:
    """What `explain` says of a filter: by index, or tested during the scan, or in rounds; and by index the share of the
    caller's rows that may match."""
    if not is_filtered:
        return {}
    if not source.is_by_index:
        return {"filter": "mask" if source.is_filtered else "rounds"}
    return {"filter": "index", "selectivity": round(source.n_allowed / max(1, source.n_rows), 6)}


def flags_of(services: "Services", collection_id: int, snapshot: Snapshot, key: bytes, pids: BitMap) -> Mask:
    """A row set as uint8 by pid, 1 where it is in the set, and a 0 behind; kept like the set itself."""
    place = (collection_id, key, "flags")
    found: Mask | None = services.row_sets.get(place, snapshot.sequence)
    if found is None:
        found = np.zeros(pids.max() + 2 if pids else 1, np.uint8)
        found[np.frombuffer(pids.to_array(), np.uint32)] = 1
        services.row_sets.put(place, snapshot.sequence, found, found.nbytes)
    return found


def _mask(
    services: "Services", collection_id: int, sequence: int, filter_key: bytes, allowed: BitMap, state: FlatState
) -> tuple[Mask, int]:
    """The mask of a state, and how many rows it allows. Rows of an array of pids are never another point's later on."""
    key = (collection_id, filter_key, id(state.pids))
    known = services.row_sets.get(key, sequence)
    if known is not None and known[0] is state.pids and len(known[1]) == state.n_rows:
        return known[1], known[2]
    mask = row_mask(state.pids[: state.n_rows], allowed)
    n_allowed = int(np.count_nonzero(mask))
    services.row_sets.put(
        key, sequence, (state.pids, mask, n_allowed), len(filter_key) + mask.nbytes + state.pids.nbytes
    )
    return mask, n_allowed


def row_mask(pids: NDArray[np.uint32], allowed: BitMap) -> Mask:
    """uint8 (n,): 1 where `pids` (n,), in any order, is in the set."""
    n_rows = len(pids)
    mask = np.zeros(n_rows, np.uint8)
    if not n_rows:
        return mask
    low, high = int(pids.min()), int(pids.max())
    n_between = allowed.range_cardinality(low, high + 1)
    if not n_between:
        return mask
    if n_between > n_rows:  # a small tenant's points, and a set over all tenants
        allowed = allowed & BitMap(array("I", pids.tobytes()))
    elif n_between < len(allowed):
        allowed = allowed & BitMap(range(low, high + 1))
    chosen = np.frombuffer(allowed.to_array(), np.uint32)
    if high - low < DENSE_SPAN * n_rows:
        flags = np.zeros(high - low + 1, np.uint8)
        flags[chosen - np.uint32(low)] = 1
        return np.take(flags, pids - np.uint32(low), out=mask)
    mask[np.isin(pids, chosen)] = 1
    return mask


def _bitmap_bytes(pids: BitMap) -> int:
    """About what a bitmap takes: 2 bytes per pid, and never more than a bit for each that it could hold."""
    return min(2 * len(pids), (pids.max() >> 3) + 8192) if pids else 0
