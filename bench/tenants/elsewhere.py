"""A contender in a process of its own, its interpreter that of the environment made for it.

The environments of peers lie below `--cache` and are made from the package index the first time that they are needed.
"""

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.race.environments import Environment, environment
from bench.race.process import Process, Start
from bench.tenants import handed
from bench.tenants.contender import LeftOut
from bench.tenants.limits import Limits, Memory
from bench.tenants.sides import Built, Side
from bench.tenants.store import Store
from bench.tenants.workload import Float64s, Int64s, Workload

__all__ = ["REQUIREMENTS", "Elsewhere", "How", "installed", "releases"]

_HNSWLIB, _FAISS = ("hnswlib", "hnswlib==0.8.0"), ("faiss", "faiss-cpu==1.15.1")
REQUIREMENTS: Mapping[str, tuple[str, str]] = {
    "hnswlib per tenant": _HNSWLIB,
    "faiss HNSW, bitmap": _FAISS,
    "faiss IVF, bitmap": _FAISS,
}
"""The environment of each peer, and what is installed there; the others run by this interpreter."""


@dataclass(frozen=True, slots=True)
class How:
    """How contenders are built: where the store is, limits of a build, and hnswlib's efConstruction."""

    store: Store
    limits: Limits
    ef_construction: int = 100

    @property
    def arguments(self) -> tuple[str, ...]:
        """Those of a worker."""
        limits = self.limits
        return (
            *("--cache", str(self.store.folder.resolve()), "--build-bytes", repr(float(limits.build_bytes))),
            *("--build-s", repr(float(limits.build_s)), "--threads", str(limits.n_threads)),
            *("--ef-construction", str(self.ef_construction)),
        )


class Elsewhere(Side):
    """A contender of `worker.CONTENDERS`. Its process starts with `build` and ends with `close`.

    `python` is the interpreter of a peer; without one it is that of its environment.
    """

    def __init__(self, name: str, how: How, python: str | None = None) -> None:
        self.name = name
        self._how = how
        self._python = python
        self._process: Process | None = None

    def build(self, workload: Workload) -> Built:
        python = self._python
        if python is None:
            made = installed(self.name, self._how.store.folder)
            python = sys.executable if made is None else made.python
        self._process = Process(Start(("-m", "bench.tenants.worker", self.name, *self._how.arguments), python))
        with tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder:
            handed.write(workload, self._how.store, Path(folder))
            found = self._process.ask("build", workload=folder)
        took = found["build s"], found["build CPU s"]
        return Built(tuple(found["settings"]), Memory(*found["memory"]), found["built share"], *took, found["facts"])

    def ask(self, setting: str, n_warm: int) -> tuple[Int64s, Float64s]:
        assert self._process is not None, "build comes first"
        with tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder:
            path = Path(folder) / "answers.npz"
            self._process.ask("ask", setting=setting, n_warm=n_warm, answers=path)
            with np.load(path) as kept:
                return kept["rows"], kept["cpu_us"]

    def close(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None


def installed(name: str, cache: Path) -> Environment | None:
    """The environment of a contender, made where it is not there yet; None: it needs none.

    Raises LeftOut where it cannot be made.
    """
    if name not in REQUIREMENTS:
        return None
    place, requirement = REQUIREMENTS[name]
    return environment(cache.resolve(), place, (requirement,))


def releases(names: list[str], cache: Path) -> dict[str, str]:
    """Releases of what the peers among `names` were installed from, by package; those that cannot be are not there."""
    found: dict[str, str] = {}
    for name in names:
        try:
            made = installed(name, cache)
        except LeftOut:
            continue
        if made is not None:
            package = REQUIREMENTS[name][1].partition("==")[0]
            found[package] = made.versions().get(package, "not installed")
    return found
