"""Projection of rows: 1,000,000 × 384 to 160, as an index that reduces its rows does; the result goes to the host.

Least work: rows and matrix read, the result written; 123 G operations of float32. At 50 TFLOP/s they are 2.5 ms, 2.2 GB
at 4.3 TB/s 0.5, and 0.64 GB over the host link some 30 to 100: that binds, and is why small blocks are projected where
they are. About 15 s.
"""

import statistics

import numpy as np

from bench.gpu.clock import runs_of
from bench.gpu.generated import Spectrum
from bench.gpu.machine import Machine
from bench.gpu.work import Unit, Work, seconds
from bench.report import Figure
from vdb.kernels.reference import Float32s

__all__ = ["measure", "work"]

_D, _KEPT = 384, 160
_N_CHECKED = 1_000
_SLACK = 1e-4
"""Of 384 products of rows of length 1, summed in float32 in another order."""


def work(n: int, dimension: int = _D, kept: int = _KEPT) -> Work:
    """Of one call."""
    n_bytes = 4 * (n * dimension + kept * dimension + n * kept)
    n_carried = 4 * (n * kept + kept * dimension)
    return Work(
        f"projection, {n:,} × {dimension} to {kept}", n_bytes, 2.0 * n * dimension * kept, Unit.FLOAT, n_carried
    )


def measure(machine: Machine) -> list[Figure]:
    """Time and shares of the floors; no bar."""
    n = machine.sized(1_000_000, 4_096)
    least = work(n)
    print(least.counted(machine.ceilings), flush=True)
    rows = Spectrum(_D, machine.seed).rows(n)
    drawn = np.random.default_rng(machine.seed).standard_normal((_D, _D))
    matrix: Float32s = np.ascontiguousarray(np.linalg.qr(drawn)[0][:_KEPT], np.float32)
    block = machine.device.put(rows)
    runs = runs_of(lambda i: machine.device.project(block, matrix), machine.repeats, 1)
    took = statistics.median(runs)
    projected = machine.device.project(block, matrix)
    sample = np.linspace(0, n - 1, min(n, _N_CHECKED)).astype(np.int64)
    gap = float(np.abs(projected[sample] - rows[sample] @ matrix.T).max())
    link = least.times_s(machine.ceilings)["host link"]
    return [
        seconds("projection: all rows", runs),
        machine.figure("projection: of the float32 matrix rate", least.product_share(machine.ceilings, took), "share"),
        machine.figure("projection: of the host link", link / took, "share"),
        Figure("projection: largest gap to NumPy", gap, "", _SLACK),
    ]
