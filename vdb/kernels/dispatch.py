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

from vdb.kernels import (
    reference,
    reference_cells,
    reference_clustering,
    reference_coded,
    reference_layout,
    reference_lists,
    reference_postings,
    reference_sketch,
)
from vdb.kernels.reference import COSINE, IP, L2, Float32s, Int64s, UInt32s
from vdb.kernels.signatures import (
    CompareRows,
    CutEntries,
    Fold,
    ListRows,
    NameRows,
    NearestCells,
    NearestCellsBelow,
    RankPostings,
    ResidualOf,
    ScanCodes,
    ScanMany,
    ScanRows,
    ScorePoints,
    SearchCells,
    SearchLists,
    SharingKeys,
    SketchWords,
    SumRows,
    TwoMeans,
)
from vdb.kernels.tables import ReadingTable, Table
from vdb.types import Metric

log = logging.getLogger(__name__)

METRIC_NUMBER: Final = {Metric.COSINE: COSINE, Metric.L2: L2, Metric.IP: IP}
"""The `metric` argument of kernels."""


@dataclass(frozen=True, slots=True)
class Kernels:
    """One implementation of every kernel; stateless, free for any thread."""

    name: str
    scan_rows: ScanRows
    scan_many: ScanMany
    search_cells: SearchCells
    search_lists: SearchLists
    residual_of: ResidualOf
    nearest_cells: NearestCells
    nearest_cells_below: NearestCellsBelow
    sharing_keys: SharingKeys
    name_rows: NameRows
    list_rows: ListRows
    cut_entries: CutEntries
    fold: Fold
    sum_rows: SumRows
    two_means: TwoMeans
    scan_codes: ScanCodes
    compare_rows: CompareRows
    sketch_words: SketchWords
    rank_postings: RankPostings
    score_points: ScorePoints


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
        lambda query, model: reference_cells.residual_of(query, model.arrays[0]),
        reference_layout.nearest_cells,
        reference_layout.nearest_cells_below,
        reference_layout.sharing_keys,
        reference_layout.name_rows,
        reference_layout.list_rows,
        reference_layout.cut_entries,
        reference_layout.fold,
        reference_clustering.sum_rows,
        reference_clustering.two_means,
        reference_coded.scan_codes,
        reference_coded.compare_rows,
        reference_sketch.sketch_words,
        reference_postings.rank_postings,
        reference_postings.score_points,
    )


def cpu_kernels() -> Kernels:
    """The compiled kernels: imports numba and compiles or loads them (seconds). Raises whatever numba raises."""
    scan = importlib.import_module("vdb.kernels.cpu.scan")
    cells = importlib.import_module("vdb.kernels.cpu.cells")
    lists = importlib.import_module("vdb.kernels.cpu.lists")
    residuals = importlib.import_module("vdb.kernels.cpu.residuals")
    layout = importlib.import_module("vdb.kernels.cpu.layout")
    clustering = importlib.import_module("vdb.kernels.cpu.clustering")
    coded = importlib.import_module("vdb.kernels.cpu.coded")
    sketch = importlib.import_module("vdb.kernels.cpu.sketch")
    postings = importlib.import_module("vdb.kernels.cpu.postings")
    return Kernels(
        "cpu",
        scan.scan_rows,
        scan.scan_many,
        _of_addresses(cells.search_cells),
        _lists_of_addresses(lists.search_lists),
        lambda query, model: residuals.residual_of(query, model.at),
        layout.nearest_cells,
        layout.nearest_cells_below,
        layout.sharing_keys,
        layout.name_rows,
        layout.list_rows,
        layout.cut_entries,
        layout.fold,
        clustering.sum_rows,
        clustering.two_means,
        coded.scan_codes,
        coded.compare_rows,
        sketch.sketch_words,
        postings.rank_postings,
        postings.score_points,
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
