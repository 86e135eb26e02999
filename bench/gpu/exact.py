"""Exact search of a batch: 10,000,000 × 128 float16, 1,024 queries, k 10; beside `torch.matmul` and `topk`.

Least work of a call: every row is read once, every query is multiplied with every row. 2.6 T operations at 790
TFLOP/s are 3.3 ms, 2.6 GB at 4.3 TB/s are 0.6: products bind. Sixteen batches of queries rotate, and the rows are 43
times a cache of 60 MB. About 60 s, most of them for drawing rows and for the check on the host.
"""

import statistics
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bench.gpu.clock import runs_of
from bench.gpu.generated import normal
from bench.gpu.judged import largest_gap, recall
from bench.gpu.machine import Machine
from bench.gpu.torch_peer import TorchSearch, is_available
from bench.gpu.work import Unit, Work, seconds
from bench.report import Figure
from vdb.kernels.device import Block
from vdb.kernels.numpy_device import NumpyDevice
from vdb.kernels.reference import IP

__all__ = ["measure", "work"]

_D, _K = 128, 10
_N_ROTATED = 16
_N_CALLS = 8
_N_CHECKED = 16
_SLACK = 1e-5
"""Products of 128 terms, summed in float32 in another order, of rows of length 1."""
_BAR_SHARE, _BAR_TORCH = 0.25, 3.0

_Halves = NDArray[np.float16]


def work(n: int, n_queries: int, dimension: int = _D) -> Work:
    """Of one batch: rows and queries read, the best of each written, all pairs multiplied."""
    n_bytes = 2 * dimension * (n + n_queries) + n_queries * _K * 12
    return Work(f"exact, {n:,} × {dimension}", n_bytes, 2.0 * n * n_queries * dimension, Unit.HALF)


def measure(machine: Machine) -> Iterator[Figure]:
    """Time, shares, and how many times as fast as PyTorch."""
    n, q = machine.sized(10_000_000, 4_096), machine.sized(1_024, 64)
    least = work(n, q)
    print(least.counted(machine.ceilings), flush=True)
    rows = normal(n, _D, machine.seed, np.float16)
    batches = [normal(q, _D, machine.seed + 1 + i, np.float16) for i in range(machine.sized(_N_ROTATED, 2))]
    block = machine.device.put(rows)
    runs = runs_of(
        lambda i: machine.device.nearest(batches[i % len(batches)], block, None, None, IP, _K),
        machine.repeats,
        machine.sized(_N_CALLS, 1),
    )
    took = statistics.median(runs)
    yield seconds("exact: a batch", runs)
    yield machine.figure("exact: of the matrix rate", least.product_share(machine.ceilings, took), "share", _BAR_SHARE)
    yield machine.figure("exact: of the copy bandwidth", least.memory_share(machine.ceilings, took), "share")
    yield from _checked(machine, block, rows, batches[0])
    yield from _beside_torch(machine, rows, batches, took)


def _checked(machine: Machine, block: Block, rows: _Halves, queries: _Halves) -> list[Figure]:
    """Some queries of a whole batch, compared with the twin."""
    distance, row = machine.device.nearest(queries, block, None, None, IP, _K)
    twin = NumpyDevice()
    true, _ = twin.nearest(queries[:_N_CHECKED], twin.put(rows), None, None, IP, _K)
    n_missing = int((row < 0).sum())
    found = recall(distance[:_N_CHECKED], true, _SLACK) if not n_missing else 0.0
    return [
        Figure("exact: recall of the sample", found, "share", 1.0, at_least=True),
        Figure("exact: largest gap to the twin", largest_gap(distance[:_N_CHECKED], true), "", _SLACK),
    ]


def _beside_torch(machine: Machine, rows: _Halves, batches: list[_Halves], took: float) -> list[Figure]:
    """How many times as long PyTorch takes; nothing where it is not there."""
    if not (machine.is_accelerator and is_available()):
        print("exact: PyTorch with a device is not here, so nothing is compared with it", flush=True)
        return []
    peer = TorchSearch(rows)
    queries = [peer.queries(batch) for batch in batches]
    runs = runs_of(lambda i: peer.search(queries[i % len(queries)], _K), machine.repeats, 2, peer.settle)
    ratio = machine.figure("exact: torch.matmul + topk / ours", statistics.median(runs) / took, "×", _BAR_TORCH)
    return [seconds("exact: torch.matmul + topk", runs), ratio]
