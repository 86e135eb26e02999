"""Nanoseconds per row of every kernel and encoding, in L2, in L3 and from memory, beside what one core can read.

One thread, its CPU time, best of interleaved repetitions (the median stands beside it in the row). A bound is the bytes
of a row over the bandwidth of one core on as many bytes. `search_cells` scans one run, or one list in random order,
whole, and a quarter of it: the difference is the cost of rows, not of a search, which stands by itself in microseconds.
"""

from collections.abc import Callable, Sequence

import numpy as np

from bench import report
from bench.kernels.cost import cheapest, gigabytes_per_s
from bench.kernels.searches import FORMS, Search, layout_calls, nearest_call, scan_call
from vdb.kernels import cpu_kernels

TIERS = {"L2": 512 << 10, "L3": 8 << 20, "memory": 256 << 20}
DIMENSIONS = (128, 160, 192, 384)
BAR_NS = 4.0
"""Of an int8 row of 128 components in the cache."""
_N_CELLS = 1_000


def main(arguments: Sequence[str]) -> int:
    """Run the workload; 1 where the bar is missed."""
    parser = report.parser("kernels", __doc__)
    parser.add_argument("--repeats", type=int, default=15, help="of each measurement; the best counts")
    parser.add_argument("--dims", type=int, nargs="+", default=DIMENSIONS, help="components of a row")
    given = parser.parse_args(arguments)
    rng = np.random.default_rng(given.seed)
    figures: list[report.Figure] = []
    for tier, n_bytes in TIERS.items():
        bandwidth = gigabytes_per_s(n_bytes, given.repeats)
        figures.append(report.Figure(f"read, {tier}", bandwidth, "GB/s"))
        for d in given.dims:
            for form in FORMS:
                figures += _scans(rng, tier, n_bytes, form, d, bandwidth, given.repeats)
            figures += _exact(rng, tier, n_bytes, d, bandwidth, given.repeats)
    figures += _fixed(rng, given.repeats) + _cells(rng, given.dims, given.repeats) + _layouts(rng, given.repeats)
    return report.publish("kernels", arguments, given.results, figures)


def _scans(
    rng: np.random.Generator, tier: str, n_bytes: int, form: str, d: int, bandwidth: float, repeats: int
) -> list[report.Figure]:
    search = Search(rng, form, d, n_bytes)
    quarter = search.n // 4
    calls = {
        "run": search.call(search.n),
        "list": search.call(search.n, is_list=True),
        "quarter of a run": search.call(quarter),
        "quarter of a list": search.call(quarter, is_list=True),
    }
    runs = cheapest(calls, repeats)
    name = f"{form}, d {d}, {tier}"
    bar = BAR_NS if (form, d, tier) == ("int8", 128, "L2") else None
    figures = [
        _per_row(
            f"{name}, {kind}",
            runs[kind],
            min(runs[f"quarter of a {kind}"]),
            search.n - quarter,
            bar if kind == "run" else None,
        )
        for kind in ("run", "list")
    ]
    return [*figures, report.Figure(f"{name}, bound", search.row_bytes / bandwidth, "ns")]


def _per_row(name: str, runs: Sequence[float], others: float, n: int, bar: float | None = None) -> report.Figure:
    per_row = sorted(max(0.0, run - others) / n for run in runs)
    return report.Figure(name, per_row[0], "ns", bar, runs=(per_row[0], per_row[len(per_row) // 2]))


def _exact(
    rng: np.random.Generator, tier: str, n_bytes: int, d: int, bandwidth: float, repeats: int
) -> list[report.Figure]:
    n = n_bytes // (4 * d)
    runs = cheapest({"scan": scan_call(rng, n, d)}, repeats)["scan"]
    name = f"scan_rows, d {d}, {tier}"
    return [_per_row(name, runs, 0.0, n), report.Figure(f"{name}, bound", 4 * d / bandwidth, "ns")]


def _fixed(rng: np.random.Generator, repeats: int) -> list[report.Figure]:
    """A search that scores no row: called, projected 384 to 160, and with entries to choose from."""
    search = Search(rng, "int8", 160, 8 << 20, n_queried=384)
    calls: dict[str, Callable[[], None]] = {"no rows": search.call(0)}
    for n_entries in (600, 4_000):
        calls[f"{n_entries} entries, one of them read"] = search.call_entries(n_entries, 1)
        calls[f"{n_entries} entries, 2,000 rows read"] = search.call_entries(n_entries, 2_000)
    return [_call(f"search, {name}", runs) for name, runs in cheapest(calls, 40 * repeats).items()]


def _call(name: str, runs: Sequence[float]) -> report.Figure:
    ordered = sorted(runs)
    return report.Figure(name, ordered[0] / 1000, "µs", runs=(ordered[0] / 1000, ordered[len(runs) // 2] / 1000))


def _cells(rng: np.random.Generator, dims: Sequence[int], repeats: int) -> list[report.Figure]:
    n_rows = 200
    calls = {f"nearest_cells, d {d}": nearest_call(rng, n_rows, _N_CELLS, d) for d in dims}
    return [_per_row(name, runs, 0.0, n_rows * _N_CELLS) for name, runs in cheapest(calls, repeats).items()]


def _layouts(rng: np.random.Generator, repeats: int) -> list[report.Figure]:
    n_pairs, calls = layout_calls(rng, cpu_kernels())
    return [_per_row(f"{name}, per pair", runs, 0.0, n_pairs) for name, runs in cheapest(calls, repeats).items()]
