"""k-means: 1,000,000 × 128, 1,000 centroids, 10 iterations, the rows already on the device; beside faiss on the CPU.

Least work of an iteration: rows read once, 256 G operations of float32; ten of them at 50 TFLOP/s are 51 ms, and 5.1 GB
at 4.3 TB/s are 1.2. Where faiss is not installed, the comparison is with our own CPU path on all cores, and the figure
says so: the bar is only judged against faiss. About 40 s, most of them for the CPU.
"""

import os
import statistics
import time
from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np

from bench.gpu.clock import runs_of
from bench.gpu.generated import Spectrum
from bench.gpu.machine import Machine
from bench.gpu.work import Unit, Work, seconds
from bench.report import Figure
from vdb.index.kmeans import nearest
from vdb.kernels import current, wait_ready, warm
from vdb.kernels.reference import Float32s

__all__ = ["measure", "on_the_cpu", "spread", "work"]

_D, _BAR = 128, 10.0
_WORSE = 0.001
"""By so much, of itself, may the spread of our centroids be above that of the CPU's: sums are rounded differently."""
_COMPILING_S = 120.0


def work(n: int, n_centroids: int, n_iterations: int, dimension: int = _D) -> Work:
    """Of one call: each iteration reads the rows, and every row is multiplied with every centroid."""
    n_bytes = 4.0 * n_iterations * dimension * (n + 2 * n_centroids)
    n_operations = 2.0 * n * n_centroids * dimension * n_iterations
    return Work(f"k-means, {n:,} × {dimension}, {n_centroids:,} centroids", n_bytes, n_operations, Unit.FLOAT)


def measure(machine: Machine) -> Iterator[Figure]:
    """Time, shares, how many times as fast as the CPU, and whether the centroids are as good and always the same."""
    n, c = machine.sized(1_000_000, 4_096), machine.sized(1_000, 32)
    n_iterations = machine.sized(10, 3)
    least = work(n, c, n_iterations)
    print(least.counted(machine.ceilings), flush=True)
    rows = Spectrum(_D, machine.seed).rows(n)
    rng = np.random.default_rng(machine.seed)
    firsts = [rows[np.sort(rng.choice(n, c, replace=False))] for _ in range(2)]
    block = machine.device.put(rows)
    runs = runs_of(lambda i: machine.device.kmeans(block, firsts[i % 2], n_iterations), machine.repeats, 1)
    took = statistics.median(runs)
    ours = machine.device.kmeans(block, firsts[0], n_iterations)
    again = machine.device.kmeans(block, firsts[0], n_iterations)
    if not machine.is_quick:
        warm(background=False)
        wait_ready(_COMPILING_S)
    yield seconds("k-means: all iterations", runs)
    yield machine.figure("k-means: of the float32 matrix rate", least.product_share(machine.ceilings, took), "share")
    yield Figure("k-means: numbers that differ a second time", int((ours != again).sum()), "", 0)
    name, cpu_s, theirs = _beside(rows, firsts[0], n_iterations)
    yield Figure(f"k-means: {name} on {os.cpu_count()} cores", cpu_s * 1e3, "ms")
    yield machine.figure(f"k-means: {name} / ours", cpu_s / took, "×", _BAR if name == "faiss" else None)
    worse = spread(rows, ours) / spread(rows, theirs) - 1
    yield Figure(f"k-means: spread above that of {name}", worse, "share", _WORSE)


def _beside(rows: Float32s, first: Float32s, n_iterations: int) -> tuple[str, float, Float32s]:
    """Who it was, seconds, and the centroids; the same rows, first centroids and number of iterations."""
    if find_spec("faiss") is None:
        print("k-means: faiss is not here: the comparison is with our CPU path, without a bar", flush=True)
        on_the_cpu(rows[: len(first)], first, 1)
        began = time.perf_counter()
        moved = on_the_cpu(rows, first, n_iterations)
        return "our CPU path", time.perf_counter() - began, moved
    import faiss

    training = faiss.Kmeans(
        rows.shape[1], len(first), niter=n_iterations, max_points_per_centroid=len(rows), min_points_per_centroid=1
    )
    began = time.perf_counter()
    training.train(rows, init_centroids=first)
    took = time.perf_counter() - began
    centroids: Float32s = training.centroids
    return "faiss", took, centroids


def on_the_cpu(rows: Float32s, first: Float32s, n_iterations: int) -> Float32s:
    """Lloyd's iterations as the index does them on the CPU, float32 (c, d); one without rows stays."""
    moved = first.copy()
    for _ in range(n_iterations):
        labels, _distances = nearest(rows, moved)
        sums = np.zeros(moved.shape)
        current().sum_rows(rows, labels, sums)
        counts = np.bincount(labels, minlength=len(moved))
        held = counts > 0
        moved[held] = (sums[held] / counts[held, None]).astype(np.float32)
    return moved


def spread(rows: Float32s, centroids: Float32s) -> float:
    """The mean squared distance of a row from its nearest centroid."""
    return float(nearest(rows, centroids)[1].mean(dtype=np.float64))
