"""Recent queries of a collection, kept so that it is tuned to what is asked of it: vectors only, of all tenants alike.

The first ones are all kept; then about one in `ONE_IN` takes the place of a random one, so that what was asked last is
there most. D = dimension.
"""

import random
import threading

import numpy as np

from vdb.kernels.reference import Float32s

MOST_KEPT = 2_000
MAX_BYTES = 16 << 20
"""Fewer long queries are kept."""
ONE_IN = 32
FIRST_ROOM = 64


class RecordedQueries:
    """Any thread may call any method; `note` is for the path of every search. `is_on` False keeps none."""

    def __init__(self, dimension: int, is_on: bool = True, seed: int | None = None) -> None:
        self.n_recorded = 0
        """Queries that were kept since this object was made, replaced ones included."""
        self._most = min(MOST_KEPT, max(1, MAX_BYTES // (4 * dimension))) if is_on else 0
        self._rows: Float32s = np.empty((0, dimension), np.float32)
        self._n = 0
        self._passed_over: float = 0 if is_on else float("inf")
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._n

    @property
    def nbytes(self) -> int:
        return self._rows.nbytes

    @property
    def rows(self) -> Float32s:
        """A copy, float32 (n, D), in no order."""
        with self._lock:
            return self._rows[: self._n].copy()

    def note(self, queries: Float32s) -> None:
        """These were asked, float32 (m, D), as they came; some of them are kept."""
        self._passed_over -= len(queries)
        if self._passed_over < 0:
            self._keep(queries)

    def restore(self, rows: Float32s) -> None:
        """Take up what was saved, beside what was kept since."""
        if self._most:
            with self._lock:
                self._append(rows[: self._most - self._n])

    def _keep(self, queries: Float32s) -> None:
        with self._lock:
            n_room = self._most - self._n
            if n_room > 0:
                n_new = min(n_room, len(queries))
                self._append(queries[:n_new])
                self.n_recorded += n_new
                self._passed_over = 0
                return
            draw = self._random.randrange
            for _ in range(1 + len(queries) // ONE_IN):
                self._rows[draw(self._most)] = queries[draw(len(queries))]
                self.n_recorded += 1
            self._passed_over = draw(2 * ONE_IN)

    def _append(self, queries: Float32s) -> None:
        stop = self._n + len(queries)
        if stop > len(self._rows):
            roomy = np.empty((min(self._most, max(FIRST_ROOM, 2 * stop)), self._rows.shape[1]), np.float32)
            roomy[: self._n] = self._rows[: self._n]
            self._rows = roomy
        self._rows[self._n : stop] = queries
        self._n = stop
