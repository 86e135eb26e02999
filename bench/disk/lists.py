"""One index on disk: built from a file of vectors, then searched warm, and cold beside the floor of the same pages.

Cold: every mapping is given up, the system forgets the pages of both files, what stayed is counted, and one search is
timed from its first byte of a query to its answer. Floor: the pages that it left in RAM, read by `WILLNEED` on all of
them and `pread` of each, in a run of its own. Memory is what the index accounts for, and what the anonymous memory of a
process grows by that opens and searches it; heads' full vectors, which no search reads, are not in it. Indexes are kept
in `--cache`, so that a run can be measured on a machine that does nothing else.
"""

import ctypes
import gc
import multiprocessing
import os
import pickle
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import MAP_SHARED, PROT_READ, mmap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.index.arena import world
from bench.report import Figure
from bench.tenants.ours import pairs_of
from bench.tenants.store import Store
from bench.tenants.workload import K, Workload
from vdb.engine.free_memory import release_free_memory
from vdb.index.curator.model import Model, prepared
from vdb.index.curator.state import NO_PLACES, Directories
from vdb.index.curator.training import train
from vdb.index.spann.coding import default_encoding
from vdb.index.spann.index import SpannIndex
from vdb.index.spann.search import Effort
from vdb.index.spann.state import Laid
from vdb.kernels import warm
from vdb.storage.lists import Lists
from vdb.storage.vectors_file import VectorsFile
from vdb.types import Metric

EFFORT = Effort(budget=1_700, candidates=60, ratio=1.2, spreads=2.5)
RECALL_BAR, LISTS_BAR, PAGES_BAR, MEMORY_BAR, COLD_BAR, RESIDENT_BAR = 0.95, 32, 150, 6.0, 2.0, 5.0
SAMPLE_ROWS = 100_000
BLOCK_ROWS = 65_536
N_COLD = 100
PAGE_BYTES = 4096
_LISTS, _VECTORS, _MADE = "lists", "vectors.vdb", "made.pickle"
_FORMAT = "v1"
"""In the key of what is kept: changed when an index is built another way."""


@dataclass(frozen=True, slots=True)
class Made:
    """What of an index is in RAM; the rest lies in the folder beside it."""

    model: Model
    directories: Directories
    generation: int
    spread: float
    build_s: float

    @contextmanager
    def opened(self, folder: Path) -> Iterator[SpannIndex]:
        """The index as a start would have it, but for what only writes and folds read."""
        lists, vectors = Lists(folder / _LISTS), VectorsFile(folder / _VECTORS, self.model.dimension)
        pages = lists.open(self.generation)
        try:
            nothing = NO_PLACES, NO_PLACES, NO_PLACES
            laid = Laid(self.model, pages, self.directories, vectors.rows, *nothing, False, self.spread, 1)
            yield SpannIndex(laid, vectors, vectors.n_slots)
            del laid
        finally:
            vectors.close()
            lists.close()


def measure(cache: Path, name: str, seed: int, is_quick: bool) -> list[Figure]:
    """The figures of a workload of `bench tenants`."""
    workload = world(cache, name, seed, is_quick)
    warm(background=False)
    key = f"disk-{_FORMAT}-{workload.key}"
    folder = Store(cache).made(key, lambda place: _build(workload, place))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        anonymous = pool.apply(_anonymous_growth, (folder, np.array(workload.queries[:200]), workload.askers[:200]))
    made: Made = pickle.loads((folder / _MADE).read_bytes())
    raw, n = workload.vectors.nbytes, len(workload.vectors)
    with made.opened(folder) as index:
        figures = _warm(workload, index)
        figures += [
            Figure("memory, as the index accounts for it", 100 * index.nbytes / raw, "% of raw"),
            Figure("bytes in RAM per row, as the index accounts for them", index.nbytes / n, "B"),
            Figure("anonymous memory of an index in use", 100 * anonymous / raw, "% of raw", MEMORY_BAR),
        ]
        del index
    disk = sum(path.stat().st_blocks * 512 for path in _files(folder))
    figures += [
        Figure("lists", len(made.model.leaves), ""),
        Figure("lists and vectors on disk / raw", disk / raw, ""),
        Figure("build", made.build_s, "s"),
    ]
    return figures + _cold(workload, made, folder)


def _files(folder: Path) -> list[Path]:
    return [folder / _LISTS / "data.mdb", folder / _VECTORS]


def _anonymous_growth(folder: Path, queries: NDArray[np.float32], askers: NDArray[np.int32]) -> int:
    """Bytes that the anonymous memory of this process grows by as it opens and searches an index."""
    warm(background=False)
    before = _anonymous_bytes()
    made: Made = pickle.loads((folder / _MADE).read_bytes())
    with made.opened(folder) as index:
        for query, asker in zip(queries, askers.tolist(), strict=True):
            index.search(index.state, asker + 1, query, K, 1, 0, EFFORT)
        gc.collect()
        release_free_memory()
        grown = _anonymous_bytes() - before
        del index
    return grown


def _build(workload: Workload, folder: Path) -> None:
    metric = Metric(workload.metric)
    n = len(workload.vectors)
    given = VectorsFile(folder / "given.vdb", workload.dimension)
    for first in range(0, n, BLOCK_ROWS):
        some = np.arange(first, min(first + BLOCK_ROWS, n), dtype=np.uint32)
        given.put(some, prepared(np.array(workload.vectors[first : first + BLOCK_ROWS]), metric))
    ordered, lists = VectorsFile(folder / _VECTORS, workload.dimension), Lists(folder / _LISTS)
    began = time.perf_counter()
    sample = np.sort(np.random.default_rng(1).choice(n, min(n, SAMPLE_ROWS), replace=False))
    model = train(np.array(given.rows[sample]), n, metric, default_encoding(workload.dimension))
    tenants, granted = pairs_of(workload.access)
    owners = (workload.access.owners + 1).astype(np.uint32)
    numbers = np.arange(n, dtype=np.uint32), owners, np.zeros(n, np.int64), tenants, granted
    index = SpannIndex.build(model, *numbers, given, ordered, lists, 1)
    ordered.flush()
    build_s = time.perf_counter() - began
    laid = index.state.laid
    kept = laid.model.resting_on(np.zeros((0, workload.dimension), np.float32))
    kept.__dict__.pop("table")  # of addresses, which mean nothing to another process
    made = Made(kept, laid.directories, laid.pages.generation, laid.spread, build_s)
    (folder / _MADE).write_bytes(pickle.dumps(made))
    for file in (given, ordered, lists):
        file.close()
    (folder / "given.vdb").unlink()


def _warm(workload: Workload, index: SpannIndex) -> list[Figure]:
    state = index.state
    found, statistics, cpu_us, wall_us = [], [], [], []
    for is_timed in (False, True):
        for query, asker in zip(workload.queries, workload.askers.tolist(), strict=True):
            cpu, wall = time.thread_time_ns(), time.perf_counter_ns()
            hits = index.search(state, asker + 1, query, K, 1, 0, EFFORT)
            if is_timed:
                wall_us.append((time.perf_counter_ns() - wall) / 1e3)
                cpu_us.append((time.thread_time_ns() - cpu) / 1e3)
                found.append(hits)
                statistics.append(hits.statistics)
    ids = np.array([np.where(hits.row >= 0, hits.pid.astype(np.int64), -1) for hits in found])
    n_wanted = int((workload.truth.ids[:, :K] >= 0).sum())
    n_right = sum(
        len(set(mine[mine >= 0].tolist()) & set(right[right >= 0].tolist()))
        for mine, right in zip(ids, workload.truth.ids[:, :K], strict=True)
    )
    _, n_lists, n_rows, n_compared, n_pages, n_vectors = np.mean(statistics, axis=0)[:6].tolist()
    return [
        Figure(f"recall@{K}", n_right / n_wanted, "", RECALL_BAR, at_least=True),
        Figure("lists per query", n_lists, "", LISTS_BAR),
        Figure("pages per query", n_pages + n_vectors, "", PAGES_BAR),
        Figure("pages of lists per query", n_pages, ""),
        Figure("rows scanned per query", n_rows, ""),
        Figure("vectors compared per query", n_compared, ""),
        Figure("warm, CPU, median", float(np.median(cpu_us)), "µs"),
        Figure("warm, median", float(np.median(wall_us)), "µs"),
        Figure("warm, p99", float(np.percentile(wall_us, 99)), "µs"),
    ]


def _cold(workload: Workload, made: Made, folder: Path) -> list[Figure]:
    files = _files(folder)
    took, floor, n_read, stayed = [], [], [], []
    n_pages = sum(-(-path.stat().st_size // PAGE_BYTES) for path in files)
    asked = list(zip(workload.queries, workload.askers.tolist(), strict=True))[:N_COLD]
    for query, asker in asked:
        _forget(files)
        with made.opened(folder) as index:
            state = index.state
            state.laid.table(asker + 1)
            before = [_resident(path) for path in files]
            stayed.append(sum(map(len, before)) / n_pages)
            began = time.perf_counter()
            index.search(state, asker + 1, query, K, 1, 0, EFFORT)
            took.append(time.perf_counter() - began)
            del state, index
        read = [np.setdiff1d(_resident(path), old) for path, old in zip(files, before, strict=True)]
        n_read.append(sum(map(len, read)))
        _forget(files)
        floor.append(_floor(files, read))
    return [
        Figure("cold, p50", float(np.median(took)) * 1e6, "µs"),
        Figure("cold, p99", float(np.percentile(took, 99)) * 1e6, "µs"),
        Figure("floor of the same pages, p50", float(np.median(floor)) * 1e6, "µs"),
        Figure("cold, p50 / floor", float(np.median(took) / np.median(floor)), "", COLD_BAR),
        Figure("pages read per cold query", float(np.mean(n_read)), "", PAGES_BAR),
        Figure("in RAM before a cold query, at most", 100 * max(stayed), "% of the files", RESIDENT_BAR),
    ]


def _forget(files: list[Path]) -> None:
    gc.collect()
    for path in files:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def _floor(files: list[Path], pages: list[NDArray[np.int64]]) -> float:
    handles = [os.open(path, os.O_RDONLY) for path in files]
    wanted = [
        (handle, page * PAGE_BYTES) for handle, some in zip(handles, pages, strict=True) for page in some.tolist()
    ]
    began = time.perf_counter()
    for handle, at in wanted:
        os.posix_fadvise(handle, at, PAGE_BYTES, os.POSIX_FADV_WILLNEED)
    for handle, at in wanted:
        os.pread(handle, PAGE_BYTES, at)
    took = time.perf_counter() - began
    for handle in handles:
        os.close(handle)
    return took


def _resident(path: Path) -> NDArray[np.int64]:
    """The pages of a file that are in RAM."""
    with path.open("rb") as file:
        mapping = mmap(file.fileno(), path.stat().st_size, MAP_SHARED, PROT_READ)
    n = -(-len(mapping) // PAGE_BYTES)
    states = (ctypes.c_ubyte * n)()
    at = np.frombuffer(mapping, np.uint8).__array_interface__["data"][0]
    if ctypes.CDLL(None).mincore(ctypes.c_void_p(at), ctypes.c_size_t(len(mapping)), states):
        raise OSError(f"the pages of {path.name} that are in RAM cannot be told")
    return np.flatnonzero(np.frombuffer(bytes(states), np.uint8) & 1)


def _anonymous_bytes() -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))
