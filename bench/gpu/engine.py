"""End to end through the engine: 1,000,000 × 384 with the spectrum of embeddings, one tenant, recall as by default.

Requests of 256 queries by two threads, on the device and on the CPU, in turn; then clients of one query each, with
`auto` and on the CPU, in turn. Hits are read and checked against their records either way. A device may at best make
the scan vanish: what is left of a request are its 2,560 hits at some 4 µs each, about 10 ms of one core, so the time of
that, not of kernels, is what binds. Recall is by distance against the exact neighbours. About 180 s, most of them for
storing points and making the index. Needs all that the package depends on.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.gpu.generated import Spectrum
from bench.gpu.machine import Machine, PartLeftOut
from bench.report import Figure
from vdb.kernels.reference import Float32s

if TYPE_CHECKING:
    from bench.gpu.place import Backend, Place

__all__ = ["NEEDED", "measure", "missing"]

NEEDED = ("lmdb", "markdown_it", "msgspec", "pypdf", "pyroaring", "semchunk", "Stemmer", "stop_words")
"""Modules of the packages that an engine imports."""
_D, _K = 384, 10
_Q = 256
_N_THREADS = 2
_N_REQUESTS = 4
_N_SINGLE = 200
_CLIENTS = (1, 8)
_BAR_RATIO, _BAR_P50 = 8.0, 1.05
"""Medians that are within a twentieth of each other are the same."""
_RECALL_GAP = 0.002
_SLACK = 1e-5
_CHUNK_ROWS = 65_536


def missing() -> list[str]:
    """What of `NEEDED` is not installed."""
    return [name for name in NEEDED if find_spec(name) is None]


def measure(machine: Machine) -> Iterator[Figure]:
    """The figures; raises PartLeftOut where the package's dependencies or the device's answers are missing."""
    if absent := missing():
        raise PartLeftOut(f"an engine needs {', '.join(absent)}")
    from bench.gpu.place import Place

    dimension = machine.sized(_D, 32)
    n, q = machine.sized(1_000_000, 3_000), machine.sized(_Q, 16)
    drawn = Spectrum(dimension, machine.seed)
    rows = drawn.rows(n)
    batches = [drawn.rows(q, 1 + i) for i in range(machine.sized(8, 2))]
    print(f"engine: {n:,} × {dimension}, requests of {q} queries; floors are those of `scan`", flush=True)
    with tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder:
        began = time.perf_counter()
        place = Place(Path(folder) / "data", machine.device, rows, not machine.is_quick)
        try:
            print(f"engine: stored and indexed in {time.perf_counter() - began:.0f} s", flush=True)
            if reason := place.await_device(batches[0]):
                raise PartLeftOut(f"the device does not answer: {reason}")
            yield from _recalls(place, rows, batches[0])
            yield from _throughput(machine, place, batches)
            yield from _latency(machine, place, np.concatenate(batches))
        finally:
            place.close()


def _recalls(place: "Place", rows: Float32s, queries: Float32s) -> list[Figure]:
    from bench.gpu.place import rows_of

    furthest = _furthest(rows, queries)
    found = {}
    backends: tuple[Backend, ...] = ("cpu", "gpu")
    for backend in backends:
        hits = rows_of(place.search(queries, backend))
        near = np.einsum("ikj,ij->ik", rows[hits], queries) >= furthest[:, None] - np.float32(_SLACK)
        found[backend] = float((near & (hits >= 0)).mean())
    return [
        Figure("engine: recall, CPU", found["cpu"], "share"),
        Figure("engine: recall, device", found["gpu"], "share"),
        Figure("engine: recall that the device loses", found["cpu"] - found["gpu"], "share", _RECALL_GAP),
    ]


def _furthest(rows: Float32s, queries: Float32s) -> Float32s:
    """The product of each query with the last of its k nearest, float32 (q,)."""
    best = np.full((len(queries), _K), -np.inf, np.float32)
    for first in range(0, len(rows), _CHUNK_ROWS):
        products = np.concatenate((best, queries @ rows[first : first + _CHUNK_ROWS].T), axis=1)
        best = np.partition(products, -_K, axis=1)[:, -_K:]
    furthest: Float32s = best.min(axis=1)
    return furthest


def _throughput(machine: Machine, place: "Place", batches: list[Float32s]) -> list[Figure]:
    """Queries per second of two threads whose requests follow one another, on the device and on the CPU in turn."""
    n_requests = machine.sized(_N_REQUESTS, 1)
    rates: dict[Backend, list[float]] = {"cpu": [], "gpu": []}
    n_before, n_asked = place.n_on_device, 0
    for _ in range(machine.repeats):
        for backend, runs in rates.items():
            took = _together(_N_THREADS, _asking(place, batches, backend, n_requests))
            runs.append(_N_THREADS * n_requests * len(batches[0]) / took)
            n_asked += (backend == "gpu") * _N_THREADS * n_requests * len(batches[0])
    cpu, gpu = (statistics.median(rates[backend]) for backend in rates)
    answered = (place.n_on_device - n_before) / n_asked
    return [
        Figure("engine: requests of many, CPU", cpu, "queries/s", runs=tuple(rates["cpu"])),
        Figure("engine: requests of many, device", gpu, "queries/s", runs=tuple(rates["gpu"])),
        machine.figure("engine: requests of many, device / CPU", gpu / cpu, "×", _BAR_RATIO),
        Figure("engine: of these queries the device answered", answered, "share", 0.99, at_least=True),
    ]


def _asking(place: "Place", batches: list[Float32s], backend: "Backend", n: int) -> Callable[[int], None]:
    def ask(thread: int) -> None:
        for i in range(n):
            place.search(batches[(thread * n + i) % len(batches)], backend)

    return ask


def _together(n_threads: int, work: Callable[[int], None]) -> float:
    """Seconds until all threads have done their part."""
    with ThreadPoolExecutor(n_threads) as pool:
        began = time.perf_counter()
        list(pool.map(work, range(n_threads)))
        return time.perf_counter() - began


def _latency(machine: Machine, place: "Place", queries: Float32s) -> list[Figure]:
    """p50 of clients that ask one query at a time, `auto` beside the CPU."""
    figures = []
    backends: tuple[Backend, ...] = ("cpu", "auto")
    for n_clients in _CLIENTS:
        medians: dict[Backend, list[float]] = {backend: [] for backend in backends}
        for _ in range(machine.repeats):
            for backend in backends:
                medians[backend].append(_p50_ms(machine, place, queries, backend, n_clients))
        cpu, auto = (statistics.median(medians[backend]) for backend in backends)
        name = f"engine: {n_clients} single-query client{'s' if n_clients > 1 else ''}"
        figures += [
            Figure(f"{name}, CPU, p50", cpu, "ms", runs=tuple(medians["cpu"])),
            Figure(f"{name}, auto, p50", auto, "ms", runs=tuple(medians["auto"])),
            machine.figure(f"{name}, p50, auto / CPU", auto / cpu, "×", _BAR_P50, at_least=False),
        ]
    return figures


def _p50_ms(machine: Machine, place: "Place", queries: Float32s, backend: "Backend", n_clients: int) -> float:
    n = machine.sized(_N_SINGLE, 5)
    times = np.empty((n_clients, n))

    def ask(client: int) -> None:
        for i in range(n):
            query = queries[(client * n + i) % len(queries)][None]
            began = time.perf_counter()
            place.search(query, backend)
            times[client, i] = time.perf_counter() - began

    _together(n_clients, ask)
    return float(np.median(times)) * 1e3
