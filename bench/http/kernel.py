"""The server's own searches of one tenant's vectors, in the process that asks: all else comes on top of them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdb import kernels
from vdb.index.curator.index import CuratorIndex, Effort
from vdb.index.curator.model import Encoding, Form, prepared
from vdb.index.curator.training import train
from vdb.index.flat import FlatSegment
from vdb.storage.vectors_file import VectorsFile
from vdb.types import EVERYONE_ID, Metric

Search = Callable[[NDArray[np.float32]], object]
"""Searches for one query, float32 (d,)."""

_TENANT = 1


def flat(vectors: NDArray[np.float32], k: int) -> Search:
    """The exact scan of `vectors` (n, d) for the `k` nearest by cosine."""
    kernels.warm(background=False)
    pids = np.arange(len(vectors), dtype=np.uint32)
    ages = np.zeros(len(vectors), dtype=np.int64)
    segment = FlatSegment.bulk(vectors.shape[1], Metric.COSINE, pids, pids, ages, ages, vectors, 0)
    rows = segment.state
    of_rows = (rows.vectors, rows.scales, rows.pids, rows.versions, rows.dead_at, rows.expires_at)
    no_mask, distance, row = np.zeros(0, np.uint8), np.empty(k, np.float32), np.empty(k, np.int64)
    how = (no_mask, rows.n_rows, 1, 1, kernels.METRIC_NUMBER[Metric.COSINE])
    scan = kernels.current().scan_rows
    return lambda query: scan(query, *of_rows, *how, distance, row)


def indexed(vectors: NDArray[np.float32], explain: Mapping[str, Any], k: int) -> Search:
    """The index of `vectors` (n, d), all of one tenant, with the encoding and the effort that the server explains."""
    kernels.warm(background=False)
    form, dimension = explain["encoding"].split(", ")
    encoding = Encoding(Form[form.upper()], int(dimension.split()[0]))
    rows = prepared(vectors, Metric.COSINE)
    n = len(rows)
    folder = Path(mkdtemp(prefix="vdb-bench-"))
    file = VectorsFile(folder / "vectors.vdb", rows.shape[1])
    file.put(np.arange(n, dtype=np.uint32), rows)
    nobody = (np.zeros(1, np.int64), np.zeros(0, np.uint32))
    index = CuratorIndex.build(
        train(rows, n, Metric.COSINE, encoding), np.arange(n, dtype=np.uint32), np.full(n, _TENANT, np.uint32),
        np.zeros(n, np.int64), np.zeros(0, np.uint32), nobody, file, 1,
    )  # fmt: skip
    (folder / "vectors.vdb").unlink()  # mapped: it lives as long as the index
    folder.rmdir()
    effort = Effort(int(explain["budget"]), int(explain["candidates"]))

    def search(query: NDArray[np.float32]) -> object:
        state = index.state
        return index.search(state, state.reading(_TENANT), state.reading(EVERYONE_ID), query, k, 1, 0, effort)

    return search
