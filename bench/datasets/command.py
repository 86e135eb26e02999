"""`python -m bench datasets`: what there is, or with names what each is like."""

import argparse
import sys
import time
from pathlib import Path

from bench.datasets.hardness import hardness
from bench.datasets.names import families, load
from bench.tenants.contender import LeftOut
from bench.tenants.store import Store, default_folder
from bench.tenants.workload import Workload

__all__ = ["parser", "run"]


def parser(description: str | None) -> argparse.ArgumentParser:
    """Names, and where what is made of them is kept."""
    made = argparse.ArgumentParser(prog="python -m bench datasets", description=description)
    made.add_argument("names", nargs="*", metavar="NAME", help="sets to make or read (default: list what there is)")
    made.add_argument("--seed", type=int, default=1, help="of all random numbers (default: 1)")
    made.add_argument("--quick", action="store_true", help="small ones in their place, generated")
    made.add_argument("--cache", type=Path, default=default_folder(), help="folder in which sets are kept")
    return made


def run(given: argparse.Namespace) -> int:
    """Print the list or the table; 1 where a set of those named cannot be had."""
    store = Store(given.cache)
    if not given.names:
        _list(store)
        return 0
    print(_HEAD, flush=True)
    n_missing = 0
    for name in given.names:
        began = time.perf_counter()
        try:
            workload = load(name, store, given.seed, is_quick=given.quick)
        except LeftOut as exc:
            print(f"left out: {exc}", file=sys.stderr, flush=True)
            n_missing += 1
            continue
        print(_line(workload, time.perf_counter() - began, given.seed), flush=True)
    return int(n_missing > 0)


def _list(store: Store) -> None:
    for name, family in families().items():
        print(f"{name}: {family.line}")
        for one, state in family.known(store).items():
            print(f"  {one:<30} {state}")


_HEAD = (
    f"{'set':<30}{'points':>11}{'dim':>6} {'metric':<7}{'queries':>8}{'tenants':>8}"
    f"{'energy d/3':>12}{'LID':>7}{'contrast':>10}{'tied':>7}{'s':>8}"
)


def _line(workload: Workload, took_s: float, seed: int) -> str:
    found = hardness(workload, seed)
    line = (
        f"{workload.name:<30}{len(workload.vectors):>11,}{workload.dimension:>6} {workload.metric:<7}"
        f"{len(workload.queries):>8,}{workload.access.n_tenants:>8,}"
        f"{found.energy:>12.3f}{found.dimensions:>7.1f}{found.contrast:>10.2f}{found.tied:>7.3f}{took_s:>8.1f}"
    )
    about = "; ".join(f"{name}: {value}" for name, value in workload.about.items() if name not in ("points", "queries"))
    return f"{line}\n  {about}"
