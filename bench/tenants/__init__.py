"""Search of one tenant among many: ours, hnswlib per tenant, faiss with bitmaps, exact scans; recall and CPU µs.

Single thread, one Python call per query, CPU time of the thread, recall by distance over min(k, what the tenant may
see), k = 10. Each workload runs in a process of its own, with BLAS and OpenMP at one thread, and writes its own row.
Peers need `pip install 'vdb[index]'`; those that are not there are left out, and so is one that would take more than
the limits allow. Generated vectors, exact answers and peers' indexes are kept in `--cache`.
"""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import report
from bench.record import ROOT, record
from bench.tenants import summary, table
from bench.tenants.bars import bars
from bench.tenants.contender import Contender, LeftOut
from bench.tenants.contiguous import ExactCodes, ExactFloats
from bench.tenants.limits import Limits
from bench.tenants.ours import Ours
from bench.tenants.per_tenant import PerTenantHnsw
from bench.tenants.protocol import clock_us, measure
from bench.tenants.shared_index import FaissHnsw, FaissIvf
from bench.tenants.store import Store, default_folder
from bench.tenants.worlds import NAMES, Worlds

_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Read by the libraries when they are loaded, so a process is started with them."""


def main(arguments: Sequence[str]) -> int:
    """Run the workloads asked for, each in a process of its own; 1 where a bar is missed."""
    given = _parser().parse_args(arguments)
    names = given.workload or NAMES
    if len(names) == 1 and all(os.environ.get(name) == value for name, value in _THREADS.items()):
        return run(names[0], given, arguments)
    rest = _without_workloads(arguments)
    command = [sys.executable, "-m", "bench", "tenants", *rest, "--workload"]
    codes = [
        subprocess.run([*command, name], cwd=ROOT, env=os.environ | _THREADS, check=False).returncode for name in names
    ]
    return max(codes)


def run(name: str, given: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Measure one workload in this process, print its report and write its row; 1 where a bar is missed."""
    store = Store(given.cache)
    try:
        workload = Worlds(store, given.seed, is_quick=given.quick).make(name)
    except LeftOut as exc:
        print(f"\n== {name}: left out: {exc}", flush=True)
        return 0
    runs, left_out = measure(_contenders(store, given), workload, given.repetitions)
    held = bars(workload, runs)
    found: dict[str, Any] = summary.row(workload, runs, left_out, clock_us())
    found["bars"] = {figure.name: figure.as_row() for figure in held}
    print(table.text(found), report.table(held) if held else "no bars: ours takes no part", sep="\n", flush=True)
    record("tenants", found, shlex.join(["python", "-m", "bench", "tenants", *arguments]), given.results)
    return int(any(figure.passes is False for figure in held))


def _contenders(store: Store, given: argparse.Namespace) -> list[Contender]:
    limits = Limits(given.build_gib * 2**30, given.build_s, given.threads)
    every: list[Contender] = [
        Ours(),
        PerTenantHnsw(store, limits, given.ef_construction),
        FaissHnsw(store, limits),
        FaissIvf(store, limits),
        ExactFloats(limits),
        ExactCodes(limits),
    ]
    return [one for one in every if not given.only or any(one.name.startswith(part) for part in given.only)]


def _parser() -> argparse.ArgumentParser:
    parser = report.parser("tenants", __doc__)
    limits = Limits()
    parser.add_argument("--workload", nargs="+", choices=NAMES, help="which (default: all)")
    parser.add_argument("--only", nargs="+", help="contenders whose names begin so (default: all)")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the size, on generated vectors")
    parser.add_argument("--repetitions", type=int, default=3, help="timed passes of each setting")
    parser.add_argument("--cache", type=Path, default=default_folder(), help="folder of what is generated and built")
    parser.add_argument("--ef-construction", type=int, default=100, help="of hnswlib")
    parser.add_argument("--build-gib", type=float, default=limits.build_bytes / 2**30, help="memory of a build")
    parser.add_argument("--build-s", type=float, default=limits.build_s, help="time of a build")
    parser.add_argument("--threads", type=int, default=limits.n_threads, help="of peers' builds; searches have one")
    return parser


def _without_workloads(arguments: Sequence[str]) -> list[str]:
    """The arguments less `--workload` and its names."""
    kept: list[str] = []
    is_name = False
    for argument in arguments:
        is_name = argument == "--workload" or (is_name and not argument.startswith("--"))
        if not is_name:
            kept.append(argument)
    return kept
