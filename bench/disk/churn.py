"""Points replaced for a long time: what recall, latency and the files come to, with folds whenever they are due.

A step ends a hundredth of the points, chosen at random, and puts as many new ones that lie as the others do. Then all
queries are asked. In the end the same points are built anew, for the size of its files and its recall.
"""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.disk.lists import EFFORT, NO_GRANTS, Rows, UInt32s
from bench.index.arena import world
from bench.report import Figure
from bench.tenants.workload import Float32s, K, Workload
from vdb.index.curator.training import train
from vdb.index.spann.coding import default_encoding
from vdb.index.spann.fold import folded
from vdb.index.spann.index import SpannIndex
from vdb.kernels import warm
from vdb.storage.lists import Lists
from vdb.storage.vectors_file import VectorsFile
from vdb.types import Metric

WORKLOAD, STEPS, SHARE, N_JUDGED = "single-500k", 100, 0.01, 300
ENDS = 10
"""Steps at the beginning, and at the end, that are compared."""
DROP_BAR, TAIL_BAR, FILE_BAR = 1.0, 1.2, 1.5
OWNER = 1
BLOCK_ROWS = 16_384


@dataclass(slots=True)
class Churned:
    """An index in a folder, and the rows of the workload that it holds: a row's number is its pid."""

    index: SpannIndex
    lists: Lists
    vectors: VectorsFile
    live: UInt32s
    sequence: int = 1
    folds_s: list[float] = field(default_factory=list)
    n_split: int = 0
    n_moved: int = 0

    def replace(self, ended: UInt32s, new: UInt32s, vectors: Float32s) -> None:
        """One step, and a fold where it is due."""
        self.sequence += 1
        self.index.kill(ended, self.sequence)
        self.sequence += 1
        self.index.put(OWNER, new, vectors, np.zeros(len(new), np.int64), {OWNER: None}, self.sequence)
        self.live = np.sort(np.concatenate((np.setdiff1d(self.live, ended), new)))
        if self.index.should_lay_out:
            self.fold()

    def fold(self) -> None:
        """A successor takes the index's place, and what only the old one had is given up."""
        began = time.thread_time()
        outcome = folded(self.index, self.index.begin_layout(self.sequence), self.lists)
        self.index.replay(outcome.index)
        self.index.abandon_layout()
        self.index = outcome.index
        self.index.reuse(outcome.ended_slots)
        self.folds_s.append(time.thread_time() - began)
        self.n_split, self.n_moved = self.n_split + outcome.n_split, self.n_moved + outcome.n_moved
        del outcome
        gc.collect()  # of the old one, whose pages go when nobody holds them
        self.lists.sweep(self.index.state.laid.pages.generation)

    def ask(self, queries: Float32s) -> tuple[list[UInt32s], list[float]]:
        """What each query finds, and the µs that it takes."""
        found, took_us = [], []
        state = self.index.state
        for query in queries:
            began = time.perf_counter_ns()
            hits = self.index.search(state, OWNER, query, K, self.sequence, 0, EFFORT)
            took_us.append((time.perf_counter_ns() - began) / 1e3)
            found.append(hits.pid[hits.row >= 0])
        return found, took_us


def measure(cache: Path, seed: int, is_quick: bool) -> list[Figure]:
    """The figures of the first and last steps, and of the files beside those of a fresh build."""
    warm(background=False)
    workload = world(cache, WORKLOAD, seed, is_quick)
    n = len(workload.vectors) // 4
    n_step = max(1, int(SHARE * n))
    queries = np.array(workload.queries)
    rng = np.random.default_rng([seed, 21])
    recalls, tails, sizes = [], [], []
    with _built(np.array(workload.vectors[:n]), np.arange(n, dtype=np.uint32)) as one:
        one.ask(queries)
        for step in range(STEPS):
            new = np.arange(n + step * n_step, n + (step + 1) * n_step, dtype=np.uint32)
            ended = np.sort(rng.choice(one.live, n_step, replace=False))
            one.replace(ended, new, np.array(workload.vectors[new]))
            found, took_us = one.ask(queries)
            sizes.append(_file_bytes(one))
            if step < ENDS or step >= STEPS - ENDS:
                tails.append(took_us)
                recalls.append(_recall(workload, queries, one.live, found))
        one.fold()
        final = _file_bytes(one)
        with _built(np.array(workload.vectors[one.live]), one.live) as fresh:
            fresh_recall = _recall(workload, queries, one.live, fresh.ask(queries)[0])
            fresh_bytes = _file_bytes(fresh)
        first, last = np.concatenate(tails[:ENDS]), np.concatenate(tails[ENDS:])
        before, after = float(np.mean(recalls[:ENDS])), float(np.mean(recalls[ENDS:]))
        p999 = [float(np.percentile(some, 99.9)) for some in (first, last)]
        return [
            Figure("points", n, ""),
            Figure("steps", STEPS, ""),
            Figure(f"recall@{K}, first steps", before, ""),
            Figure(f"recall@{K}, last steps", after, ""),
            Figure("recall, drop", 100 * (before - after), "points", DROP_BAR),
            Figure(f"recall@{K}, built anew", fresh_recall, ""),
            Figure("p50, first steps", float(np.median(first)), "µs"),
            Figure("p50, last steps", float(np.median(last)), "µs"),
            Figure("p99.9, first steps", p999[0], "µs"),
            Figure("p99.9, last steps", p999[1], "µs"),
            Figure("p99.9, last / first", p999[1] / p999[0], "x", TAIL_BAR),
            Figure("files / built anew", final / fresh_bytes, "x", FILE_BAR),
            Figure("files at their largest / built anew", max(sizes) / fresh_bytes, "x"),
            Figure("folds", len(one.folds_s), ""),
            Figure("fold, CPU, median", float(np.median(one.folds_s)), "s"),
            Figure("lists split", one.n_split, ""),
            Figure("rows moved to another list", one.n_moved, ""),
        ]


@contextmanager
def _built(vectors: Float32s, pids: UInt32s) -> Iterator[Churned]:
    n, dimension = vectors.shape
    with TemporaryDirectory(prefix="vdb-bench-") as folder:
        file, lists = VectorsFile(Path(folder) / "vectors.vdb", dimension), Lists(Path(folder) / "lists")
        model = train(vectors[:: max(1, n // 100_000)], n, Metric.COSINE, default_encoding(dimension))
        owners, never = np.full(n, OWNER, np.uint32), np.zeros(n, np.int64)
        index = SpannIndex.build(model, pids, owners, never, *NO_GRANTS, Rows(vectors), file, lists, 1)
        try:
            yield Churned(index, lists, file, pids)
        finally:
            file.close()
            lists.close()


def _file_bytes(one: Churned) -> int:
    one.vectors.flush()
    folder = one.lists.path.parent
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def _recall(workload: Workload, queries: Float32s, live: UInt32s, found: list[UInt32s]) -> float:
    """Of the first `N_JUDGED` queries, by the k nearest of what is live."""
    queries, found = queries[:N_JUDGED], found[:N_JUDGED]
    best = np.full((len(queries), 0), 0, np.float32)
    named = np.full((len(queries), 0), 0, np.uint32)
    for first in range(0, len(live), BLOCK_ROWS):
        some = live[first : first + BLOCK_ROWS]
        best = np.concatenate((best, queries @ np.array(workload.vectors[some]).T), axis=1)
        named = np.concatenate((named, np.broadcast_to(some, (len(queries), len(some)))), axis=1)
        kept = np.argpartition(-best, K - 1, axis=1)[:, :K]
        best, named = np.take_along_axis(best, kept, 1), np.take_along_axis(named, kept, 1)
    n_right = sum(len(np.intersect1d(mine, right)) for mine, right in zip(found, named, strict=True))
    return n_right / named.size
