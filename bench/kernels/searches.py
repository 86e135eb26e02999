"""Calls to measure: arguments of the kernels for random rows."""

from collections.abc import Callable
from typing import Any

import numpy as np

from vdb.kernels import Kernels, cpu_kernels
from vdb.kernels.reference import ALIVE, COSINE, L2, Float32s
from vdb.kernels.reference_cells import (
    FLOAT16,
    FLOAT32,
    LIST_STOP,
    LVQ4,
    LVQ8,
    OWN_ENTRIES,
    OWN_STOP,
)
from vdb.kernels.tables import DIRECTORY, MODEL, ROWS, VECTORS, ReadingTable, Table

FORMS = {"int8": LVQ8, "int4": LVQ4, "float16": FLOAT16, "float32": FLOAT32}
K, M = 10, 40
_NO_PLACES = np.zeros(0, np.uint32)
_NO_ENTRIES = np.zeros((2, 0), np.uint32)
_N_VECTORS = 64


def _width(form: str, d: int) -> int:
    n_bytes = {"int8": d, "int4": (d + 1) // 2, "float16": 2 * d, "float32": 4 * d}[form]
    return -(-n_bytes // 32) * 32


def _coded(rng: np.random.Generator, form: str, n: int, d: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Random rows: constants of similar size, small components."""
    width = _width(form, d)
    if form in ("float16", "float32"):
        block = rng.standard_normal((min(n, 4096), d)).astype(np.float16 if form == "float16" else np.float32)
        return np.resize(block.view(np.uint8), (n, width))
    codes = np.resize(rng.integers(0, 256, (min(n, 4096), width + 8), np.uint8), (n, width + 8))
    codes[:, width:] = rng.uniform(0.01, 0.02, (n, 2)).astype(np.float32).view(np.uint8)
    return codes


class Search:
    """`search_cells` over as many rows of a form as `n_bytes` hold, cosine, for one tenant; a query of n_queried."""

    def __init__(self, rng: np.random.Generator, form: str, d: int, n_bytes: int, n_queried: int = 0) -> None:
        self.codes = _coded(rng, form, n_bytes // (_width(form, d) + (8 if form in ("int8", "int4") else 0)), d)
        self.n, self.row_bytes = self.codes.shape
        self._rng = rng
        n_queried = n_queried or d
        projection = _coded(rng, "int8", d if n_queried > d else 0, n_queried)
        nodes = _coded(rng, "int8", 4_096, d)
        vectors = rng.standard_normal((_N_VECTORS, n_queried)).astype(np.float32)
        self._query = rng.standard_normal(n_queried).astype(np.float32)
        alive = np.full(self.n, 0xFFFF_FFFF, np.uint32)
        of_rows = (
            self.codes, np.zeros(0, np.float32), np.arange(self.n, dtype=np.uint32),
            (np.arange(self.n) % _N_VECTORS).astype(np.uint32), alive, _NO_PLACES, _NO_PLACES,
        )  # fmt: skip
        numbers = (COSINE, FORMS[form], _width(form, d))
        self._world = (
            Table(MODEL, (projection, nodes, np.ones(len(nodes), np.float32)), numbers),
            Table(ROWS, of_rows, (self.n,)),
            Table(VECTORS, (vectors,)),
        )

    def call(self, n: int, *, is_list: bool = False) -> Callable[[], None]:
        """A search of the first `n` rows as a run, or of `n` random ones as a list."""
        spans = np.zeros(9, np.int64)
        spans[LIST_STOP if is_list else OWN_STOP] = n
        listed = self._rng.permutation(self.n)[:n].astype(np.uint32) if is_list else _NO_PLACES
        return self._calling(spans, _NO_ENTRIES, listed, 0)

    def call_entries(self, n_entries: int, budget: int) -> Callable[[], None]:
        """A search of a run that is cut into `n_entries`."""
        spans = np.zeros(9, np.int64)
        spans[OWN_STOP], spans[OWN_ENTRIES] = self.n, n_entries
        bounds = np.linspace(0, self.n, n_entries + 1).astype(np.uint32)
        nodes = self._rng.integers(0, 4_096, n_entries)
        entries = np.stack([nodes, bounds[:-1]]).astype(np.uint32)
        return self._calling(spans, entries, _NO_PLACES, budget)

    def _calling(self, spans: Any, entries: Any, listed: Any, budget: int) -> Callable[[], None]:
        kernel = cpu_kernels().search_cells
        mine = ReadingTable(spans, Table(DIRECTORY, (entries, listed, _NO_PLACES)))
        nobodys = ReadingTable(np.zeros(9, np.int64), Table(DIRECTORY, (_NO_ENTRIES, _NO_PLACES, _NO_PLACES)))
        outputs = (np.empty(K, np.float32), np.empty(K, np.int64), np.empty(4, np.int64))
        arguments: Any = (self._query, *self._world, mine, nobodys, 1, 1, budget, M, *outputs)
        return lambda: kernel(*arguments)


def scan_call(rng: np.random.Generator, n: int, d: int) -> Callable[[], None]:
    """`scan_rows` of `n` vectors, L2."""
    vectors: Float32s = np.resize(rng.standard_normal((min(n, 4096), d)).astype(np.float32), (n, d))
    zeros = np.zeros(n, np.int64)
    rows: Any = (
        vectors[0] + 1, vectors, np.zeros(0, np.float32), np.arange(n, dtype=np.uint32), zeros, zeros + ALIVE, zeros,
        np.zeros(0, np.uint8), n, 1, 1, L2, np.empty(K, np.float32), np.empty(K, np.int64),
    )  # fmt: skip
    kernel = cpu_kernels().scan_rows
    return lambda: _ignore(kernel(*rows))


def nearest_call(rng: np.random.Generator, n: int, n_cells: int, d: int) -> Callable[[], None]:
    """`nearest_cells` of `n` rows among `n_cells`."""
    codes = _coded(rng, "int8", n_cells, d)
    rows = rng.standard_normal((n, d)).astype(np.float32)
    arguments = (rows, codes, codes.view(np.float32), np.ones(n_cells, np.float32), np.empty(n, np.uint32))
    kernel = cpu_kernels().nearest_cells
    return lambda: kernel(*arguments)


def layout_calls(rng: np.random.Generator, kernels: Kernels) -> tuple[int, dict[str, Callable[[], None]]]:
    """Layouts of 100,000 rows in 1,000 cells, ten tenants of 100 for each; and over how many pairs they go."""
    n, n_cells, n_tenants, n_each = 100_000, 1_024, 100, 10_000
    n_pairs = n_tenants * n_each
    parts = [np.sort(rng.choice(n, n_each, replace=False)) for _ in range(n_tenants)]
    rows = np.concatenate(parts).astype(np.uint32)
    starts = np.arange(n_tenants + 1, dtype=np.int64) * n_each
    place = rng.permutation(n).astype(np.uint32)
    cells = np.sort(rng.integers(0, n_cells, n)).astype(np.uint32)
    key, listed, merged = np.zeros(n, np.uint64), np.zeros(n_pairs, np.uint32), np.zeros(n_pairs, np.uint32)
    nodes = np.arange(n_cells - 1, dtype=np.int32)
    children = np.full((2 * n_cells - 1, 2), -1, np.int32)
    children[: n_cells - 1] = np.stack([2 * nodes + 1, 2 * nodes + 2], axis=1)
    size = n_cells >> (np.floor(np.log2(np.arange(1, 2 * n_cells))).astype(np.int64))
    low = (np.arange(1, 2 * n_cells) * size - n_cells).astype(np.uint32)
    spans = np.zeros((n_tenants, 9), np.int64)
    spans[:, 3], spans[:, 4] = starts[:-1], starts[1:]
    entries = np.empty((2, n_pairs), np.uint32)
    high = (low + size).astype(np.uint32)
    alive = np.full(n, 0xFFFF_FFFF, np.uint32)
    kernels.list_rows(starts, rows, place, cells, listed)
    calls = {
        "sharing_keys": lambda: kernels.sharing_keys(starts, rows, key),
        "list_rows": lambda: kernels.list_rows(starts, rows, place, cells, listed),
        "cut_entries": lambda: _ignore(
            kernels.cut_entries(spans, listed, cells, children, low, high, 64, 0, 0, entries)
        ),
        "fold": lambda: _ignore(
            [
                kernels.fold(listed, first, first + n_each, listed[:256], cells, alive, 1, merged)
                for first in range(0, n_pairs, n_each)
            ]
        ),
    }
    return n_pairs, calls


def _ignore(_: object) -> None:
    """What a kernel returns is not looked at."""
