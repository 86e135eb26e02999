"""Which kernels answer now: the NumPy twins at once, the compiled ones from the moment they are loaded.

Compiling takes seconds on a first start and loading numba a third of one, so neither happens at import: `warm` does it
on a daemon thread and then swaps one reference. A search takes `current()` once and uses it to the end. Where numba
cannot be loaded the twins stay, slower and equal in their answers.
"""

import importlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from vdb.kernels import reference, reference_cells, reference_clustering, reference_layout, reference_lists
from vdb.kernels.reference import COSINE, IP, L2, Float32s, Int64s, UInt8s, UInt32s
from vdb.kernels.reference_clustering import Float64s
from vdb.kernels.reference_layout import Bools, Int32s, UInt64s
from vdb.kernels.tables import ReadingTable, Table
from vdb.types import Metric

log = logging.getLogger(__name__)

METRIC_NUMBER: Final = {Metric.COSINE: COSINE, Metric.L2: L2, Metric.IP: IP}
"""The `metric` argument of kernels."""

ScanRows = Callable[
    [
        Float32s,  # query (d,)
        Float32s,  # vectors (capacity, d)
        Float32s,  # scales (capacity,); (0,) unless cosine
        UInt32s,  # pids
        Int64s,  # added_at
        Int64s,  # dead_at
        Int64s,  # expires_at, ms; 0 = never
        UInt8s,  # mask; (0,) = none
        int,  # n_rows
        int,  # sequence
        int,  # now_ms
        int,  # metric
        Float32s,  # heap_distance (m,)
        Int64s,  # heap_row (m,)
    ],
    int,
]
ScanMany = Callable[
    [
        Float32s,  # queries (q, d)
        Float32s,
        Float32s,
        UInt32s,
        Int64s,
        Int64s,
        Int64s,
        UInt8s,
        int,
        int,
        int,
        int,
        Float32s,  # heap_distance (q, m)
        Int64s,  # heap_row (q, m)
        Int64s,  # found (q,)
    ],
    None,
]
SearchCells = Callable[
    [
        Float32s,  # query (D,)
        Table,  # of the model
        Table,  # of the rows
        Table,  # of the vectors
        ReadingTable,  # of the tenant
        ReadingTable,  # of everyone
        int,  # sequence, from the layout's
        int,  # now_s
        int,  # budget
        int,  # m
        Float32s,  # distance (k,)
        Int64s,  # row (k,)
        Int64s,  # statistics (4,)
    ],
    None,
]
SearchLists = Callable[
    [
        Float32s,  # query (D,)
        Table,  # of the model
        Table,  # of the pages
        Table,  # of the vectors
        Table,  # of the tenant's reading
        Table,  # of everyone's
        int,  # sequence, from the layout's
        int,  # now_s
        int,  # budget
        float,  # ratio
        float,  # margin
        int,  # m
        Float32s,  # distance (k,)
        Int64s,  # row (k,)
        UInt32s,  # pid (k,)
        Int64s,  # statistics (8,)
    ],
    None,
]
NearestCells = Callable[
    [
        Float32s,  # kept (n, d)
        UInt8s,  # cell_codes (c, W)
        Float32s,  # cell_constants
        Float32s,  # cell_offset
        UInt32s,  # cell (n,)
    ],
    None,
]
NearestCellsBelow = Callable[
    [
        Float32s,  # kept (n, d)
        UInt8s,  # top_codes (g, W)
        Float32s,  # top_constants
        Float32s,  # top_offset
        UInt32s,  # first (g + 1,)
        UInt8s,  # cell_codes (c, W)
        Float32s,  # cell_constants
        Float32s,  # cell_offset
        int,  # n_tops
        UInt32s,  # cell (n,)
    ],
    None,
]
SharingKeys = Callable[
    [
        Int64s,  # starts (t + 1,)
        UInt32s,  # rows (p,)
        UInt64s,  # key (n,)
    ],
    None,
]
NameRows = Callable[
    [
        int,  # tenant
        UInt32s,  # listed
        int,  # first
        int,  # stop
        UInt32s,  # tail
        Bools,  # is_kept (n,)
        UInt32s,  # owners
        UInt32s,  # place (n,)
        Bools,  # is_late (n,)
        UInt32s,  # named
    ],
    int,
]
ListRows = Callable[
    [
        Int64s,  # starts (t + 1,)
        UInt32s,  # rows (p,)
        UInt32s,  # place (n,)
        UInt32s,  # cells (n,)
        UInt32s,  # listed (p,)
    ],
    None,
]
CutEntries = Callable[
    [
        Int64s,  # spans (t, 9)
        UInt32s,  # listed
        UInt32s,  # cells
        Int32s,  # children (v, 2)
        UInt32s,  # low (v,)
        UInt32s,  # high
        int,  # limit
        int,  # own_least
        int,  # list_least
        UInt32s,  # entries (2, e)
    ],
    int,
]
Fold = Callable[
    [
        UInt32s,  # listed
        int,  # first
        int,  # stop
        UInt32s,  # tail
        UInt32s,  # cells
        UInt32s,  # dead_at
        int,  # sequence
        UInt32s,  # merged
    ],
    int,
]
SumRows = Callable[[Float32s, Int32s, Float64s], None]
"""rows (n, d), labels (n,), sums (k, d)."""
TwoMeans = Callable[[Float32s, int, Float32s], None]
"""rows (n, d), n_iterations, pair (2, d)."""


@dataclass(frozen=True, slots=True)
class Kernels:
    """One implementation of every kernel; stateless, free for any thread."""

    name: str
    scan_rows: ScanRows
    scan_many: ScanMany
    search_cells: SearchCells
    search_lists: SearchLists
    nearest_cells: NearestCells
    nearest_cells_below: NearestCellsBelow
    sharing_keys: SharingKeys
    name_rows: NameRows
    list_rows: ListRows
    cut_entries: CutEntries
    fold: Fold
    sum_rows: SumRows
    two_means: TwoMeans


def _of_arrays(kernel: Callable[..., None]) -> SearchCells:
    """The twin, which takes what the tables hold one by one."""

    def search_cells(
        query: Float32s, model: Table, rows: Table, vectors: Table, mine: ReadingTable, everyones: ReadingTable,
        sequence: int, now_s: int, budget: int, m: int, distance: Float32s, row: Int64s, statistics: Int64s,
    ) -> None:  # fmt: skip
        kernel(
            query, *model.arrays, *rows.arrays, *vectors.arrays, *mine.arrays, *everyones.arrays,
            *model.numbers, *rows.numbers, sequence, now_s, budget, m, distance, row, statistics,
        )  # fmt: skip

    return search_cells


def _lists_of_arrays(kernel: Callable[..., None]) -> SearchLists:
    """The same for `search_lists`."""

    def search_lists(
        query: Float32s, model: Table, pages: Table, vectors: Table, mine: Table, everyones: Table,
        sequence: int, now_s: int, budget: int, ratio: float, margin: float, m: int,
        distance: Float32s, row: Int64s, pid: UInt32s, statistics: Int64s,
    ) -> None:  # fmt: skip
        kernel(
            query, *model.arrays, *pages.arrays, *vectors.arrays, *mine.arrays, *everyones.arrays,
            *model.numbers, *pages.numbers, sequence, now_s, budget, ratio, margin, m, distance, row, pid, statistics,
        )  # fmt: skip

    return search_lists


def _lists_of_addresses(kernel: Callable[..., None]) -> SearchLists:
    """The same for `search_lists`."""

    def search_lists(
        query: Float32s, model: Table, pages: Table, vectors: Table, mine: Table, everyones: Table,
        sequence: int, now_s: int, budget: int, ratio: float, margin: float, m: int,
        distance: Float32s, row: Int64s, pid: UInt32s, statistics: Int64s,
    ) -> None:  # fmt: skip
        kernel(
            query, model.at, pages.at, vectors.at, mine.at, everyones.at, sequence, now_s, budget, ratio, margin, m,
            distance, row, pid, statistics,
        )  # fmt: skip

    return search_lists


def _of_addresses(kernel: Callable[..., None]) -> SearchCells:
    """The compiled kernel, which takes the addresses of the tables; they are held here until it returns."""

    def search_cells(
        query: Float32s, model: Table, rows: Table, vectors: Table, mine: ReadingTable, everyones: ReadingTable,
        sequence: int, now_s: int, budget: int, m: int, distance: Float32s, row: Int64s, statistics: Int64s,
    ) -> None:  # fmt: skip
        kernel(
            query, model.at, rows.at, vectors.at, mine.at, mine.spans_at, everyones.at, everyones.spans_at,
            sequence, now_s, budget, m, distance, row, statistics,
        )  # fmt: skip

    return search_cells


def reference_kernels() -> Kernels:
    """The NumPy twins."""
    return Kernels(
        "numpy",
        reference.scan_rows,
        reference.scan_many,
        _of_arrays(reference_cells.search_cells),
        _lists_of_arrays(reference_lists.search_lists),
        reference_layout.nearest_cells,
        reference_layout.nearest_cells_below,
        reference_layout.sharing_keys,
        reference_layout.name_rows,
        reference_layout.list_rows,
        reference_layout.cut_entries,
        reference_layout.fold,
        reference_clustering.sum_rows,
        reference_clustering.two_means,
    )


def cpu_kernels() -> Kernels:
    """The compiled kernels: imports numba and compiles or loads them (seconds). Raises whatever numba raises."""
    scan = importlib.import_module("vdb.kernels.cpu.scan")
    cells = importlib.import_module("vdb.kernels.cpu.cells")
    lists = importlib.import_module("vdb.kernels.cpu.lists")
    layout = importlib.import_module("vdb.kernels.cpu.layout")
    clustering = importlib.import_module("vdb.kernels.cpu.clustering")
    return Kernels(
        "cpu",
        scan.scan_rows,
        scan.scan_many,
        _of_addresses(cells.search_cells),
        _lists_of_addresses(lists.search_lists),
        layout.nearest_cells,
        layout.nearest_cells_below,
        layout.sharing_keys,
        layout.name_rows,
        layout.list_rows,
        layout.cut_entries,
        layout.fold,
        clustering.sum_rows,
        clustering.two_means,
    )


class Loader:
    """Loads kernels once and publishes them by one reference. Any thread may call anything; nothing to close."""

    def __init__(self, load: Callable[[], Kernels]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._finished = threading.Event()
        self._is_loaded = False
        self.current = reference_kernels()

    def warm(self, background: bool = True) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="vdb-kernels", daemon=True)
                self._thread.start()
        if not background:
            self._finished.wait()

    def _run(self) -> None:
        try:
            self.current = self._load()
            self._is_loaded = True
        except Exception:  # a broken numba must not take the server down: the twins answer
            log.warning("compiled kernels are not available; NumPy answers instead", exc_info=True)
        finally:
            self._finished.set()

    def is_ready(self) -> bool:
        return self._is_loaded

    def wait_ready(self, timeout_s: float) -> bool:
        self._finished.wait(timeout_s)
        return self._is_loaded


_loader: Final = Loader(cpu_kernels)


def current() -> Kernels:
    """The fastest kernels that are ready."""
    return _loader.current


def warm(background: bool = True) -> None:
    """Start loading the compiled kernels; once per process, later calls do nothing.

    With `background=False` returns when loading has ended, well or not.
    """
    _loader.warm(background)


def is_ready() -> bool:
    """Whether `current()` are the compiled kernels."""
    return _loader.is_ready()


def wait_ready(timeout_s: float) -> bool:
    """Wait until loading has ended, at most `timeout_s`; whether `current()` are the compiled kernels.

    False at once if loading failed; `warm` must have been called, or the whole timeout passes.
    """
    return _loader.wait_ready(timeout_s)
