"""Vectors of texts that were searched for lately, so that a slow model is not asked for the same one again.

By tenant: how fast a search is tells nobody what another tenant has searched for. Texts are kept as digests only.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

__all__ = ["ENTRY_BYTES", "MAX_BYTES", "Key", "QueryVectors"]

MAX_BYTES = 16 << 20
ENTRY_BYTES = 300
"""What an entry takes beyond the components of its vector."""

Key = tuple[str, int, int, bytes]


class QueryVectors:
    """The least recently asked for go first. Any thread may call it; nothing to close."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._rows: OrderedDict[Key, NDArray[np.float32]] = OrderedDict()
        self.n_bytes = 0

    def found(
        self, model: str, tenant_id: int, texts: Sequence[str], dimension: int
    ) -> list[NDArray[np.float32] | None]:
        """The vector of each text, read-only; None of one that is not known."""
        keys = [_key(model, tenant_id, text, dimension) for text in texts]
        with self._lock:
            rows = [self._rows.get(key) for key in keys]
            for key, row in zip(keys, rows, strict=True):
                if row is not None:
                    self._rows.move_to_end(key)
        return rows

    def keep(self, model: str, tenant_id: int, texts: Sequence[str], dimension: int, rows: NDArray[np.float32]) -> None:
        """Keep the vectors of texts."""
        kept = [row.copy() for row in rows]  # each by itself: one that is kept holds no other, and nobody writes to it
        for row in kept:
            row.setflags(write=False)
        keys = [_key(model, tenant_id, text, dimension) for text in texts]
        n_bytes = ENTRY_BYTES + 4 * dimension
        with self._lock:
            for key, row in zip(keys, kept, strict=True):
                self.n_bytes += n_bytes if key not in self._rows else 0
                self._rows[key] = row
                self._rows.move_to_end(key)
            while self.n_bytes > self._max_bytes:
                (_, _, dropped, _), _ = self._rows.popitem(last=False)
                self.n_bytes -= ENTRY_BYTES + 4 * dropped


def _key(model: str, tenant_id: int, text: str, dimension: int) -> Key:
    return model, tenant_id, dimension, blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
