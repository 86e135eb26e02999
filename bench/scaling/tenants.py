"""What each tenant costs a server, by how many there are: CPU to make, RAM, disk, restart, the first search after it.

As `tenants-cost` does it, with fewer and smaller points: what is sought is what a tenant costs beside them.
"""

import argparse
import tempfile
from pathlib import Path

from bench.report import Figure
from bench.scaling.memory import Found
from bench.scaling.sets import figures
from bench.server import Server
from bench.tenants_cost import Load
from bench.tenants_cost import measure as measure_load

TENANTS = (100, 1_000, 10_000, 100_000)
QUICK = (32, 64)
N_POINTS, DIMENSION, N_CLIENTS, N_SEARCHES = 10, 32, 16, 1_000
NAMES = {
    "server CPU to make a tenant": ("CPU to make a tenant", 1.0, "ms"),
    "memory of a tenant never searched": ("bytes in RAM per tenant, not searched", 1e3, "B"),
    "memory beyond its vectors": ("bytes in RAM per tenant, searched once, beyond vectors", 1e3, "B"),
    "disk / raw vectors": ("bytes on disk per tenant", 4.0 * N_POINTS * DIMENSION, "B"),
    "restart until ready": ("restart until ready", 1.0, "s"),
    "first search after it, p50": ("first search after a restart, p50", 1.0, "ms"),
}
"""Figures of `tenants-cost`: what they are called here, and what makes them of those units."""


def measure(given: argparse.Namespace) -> list[Figure]:
    """Figures of every number of tenants, each in a server of its own."""
    found: list[Figure] = []
    for n_tenants in QUICK if given.quick else given.sizes or TENANTS:
        load = Load(n_tenants, N_POINTS, DIMENSION, N_CLIENTS)
        with tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder, Server(Path(folder)) as server:
            measured = measure_load(server, load, min(N_SEARCHES, n_tenants), given.seed)
        by_name = {figure.name: figure.value for figure in measured}
        mine: Found = {name: (by_name[old] * times, unit) for old, (name, times, unit) in NAMES.items()}
        found += figures("tenants", n_tenants, mine)
        print(f"{n_tenants:,} tenants are done", flush=True)
    return found
