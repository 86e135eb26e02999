"""What an index is made of, read from one snapshot of a collection: points with vectors, and who may see them.

Numbers are collected in arrays: as objects those of 120,000 points with ten grants each leave 12 MB behind that the
interpreter cannot give back, beside the new objects in the same blocks.
"""

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vdb.engine.trust import trusted_record
from vdb.index.curator.model import prepared
from vdb.storage.catalog import CollectionDocument
from vdb.storage.env import Transaction
from vdb.storage.points import iterate_all_vectored

BLOCK_POINTS = 1_024
"""Points read before others have a turn at the interpreter."""
SAMPLE_POINTS = 100_000


class Vectors(Protocol):
    """Where full-precision vectors go, by slot."""

    @property
    def rows(self) -> NDArray[np.float32]: ...

    def put(self, pids: NDArray[np.uint32], vectors: NDArray[np.float32]) -> None: ...


@dataclass(slots=True)
class Points:
    """Columns of n points in the order of (owner, pid), which is that of their slots; `shared`: tenant → slots, u32."""

    pids: NDArray[np.uint32]
    owners: NDArray[np.uint32]
    expires_at_ms: NDArray[np.int64]
    shared: dict[int, "array[int]"] = field(default_factory=dict)

    def sample(self, rows: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
        """Up to 100,000 of the vectors, in their order; copied, so that nothing is read from the file again."""
        n = len(self.pids)
        if n <= SAMPLE_POINTS:
            return np.array(rows[:n])
        chosen = np.random.default_rng(seed).choice(n, SAMPLE_POINTS, replace=False)
        return np.array(rows[np.sort(chosen)])

    def readings(self) -> dict[int, int]:
        """How many points each tenant may see: its own and those granted to it."""
        owners, counts = np.unique(self.owners, return_counts=True)
        found = dict(zip(owners.tolist(), counts.tolist(), strict=True))
        for tenant, slots in self.shared.items():
            found[tenant] = found.get(tenant, 0) + len(slots)
        return found

    def granted(self) -> tuple[NDArray[np.uint32], tuple[NDArray[np.int64], NDArray[np.uint32]]]:
        """Tenants that are granted something, ascending; where each one's slots start, and the slots."""
        tenants = sorted(self.shared)
        lists = [np.frombuffer(self.shared[tenant], np.uint32) for tenant in tenants]
        starts = np.zeros(len(tenants) + 1, np.int64)
        np.cumsum([len(slots) for slots in lists], out=starts[1:])
        return np.array(tenants, np.uint32), (starts, np.concatenate(lists) if lists else np.zeros(0, np.uint32))


def read_points(
    txn: Transaction, collection: CollectionDocument, vectors: Vectors, check: Callable[[], None]
) -> Points:
    """All points that have a sound vector; the vectors go to `vectors`, prepared, in slots from 0 on.

    `check` is called now and then, and raises when it is to end.
    """
    pids, owners, expiries = array("I"), array("I"), array("q")
    shared: dict[int, array[int]] = {}
    block: list[bytes] = []

    def write_block() -> None:
        first = len(pids) - len(block)
        given = np.frombuffer(b"".join(block), "<f4").reshape(len(block), collection.dimension)
        vectors.put(np.arange(first, len(pids), dtype=np.uint32), prepared(given, collection.metric))
        block.clear()
        check()
        time.sleep(0)  # gives the interpreter to whoever waits for it

    for owner, pid, value, vector in iterate_all_vectored(txn):
        record = trusted_record(value, vector, pid)
        if record is None:
            continue
        for tenant in record.shared:
            slots = shared.get(tenant)
            if slots is None:
                slots = shared[tenant] = array("I")
            slots.append(len(pids))
        pids.append(pid)
        owners.append(owner)
        expiries.append(record.expires_at_ms)
        block.append(vector)
        if len(block) == BLOCK_POINTS:
            write_block()
    if block:
        write_block()
    return Points(np.array(pids, np.uint32), np.array(owners, np.uint32), np.array(expiries, np.int64), shared)
