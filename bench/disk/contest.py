"""Ours and its peers on the same rows, under the same cap, at equal recall, one client, one after the other.

A peer's effort is the cheapest of its own that finds as much as ours. Build times are CPU seconds: they are those of
the run that built.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.disk.lists import made, read
from bench.disk.runs import OURS, Found, Program, ask, ram_bytes
from bench.index.arena import world
from bench.report import Figure
from bench.tenants.contender import LeftOut
from bench.tenants.store import Store, load_facts, save_facts
from bench.tenants.workload import Workload

WORKLOAD = "single-500k"
BUILD_THREADS = 2
_INDEX = "index"
_FORMAT = "v1"
"""In the key of what is kept: changed when a peer is built another way."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A module of `bench/disk/peers/` and its first arguments; how many times its rate ours is to have, cold."""

    module: str
    cold_bar: float = 1.5
    arguments: tuple[str, ...] = ()


PEERS = {
    "diskann": Peer("diskann", cold_bar=1.0),
    "lancedb-rq": Peer("lance", arguments=("rq",)),
    "lancedb-pq": Peer("lance", arguments=("pq",)),
    "faiss": Peer("faiss_lists"),
    "usearch": Peer("usearch_view"),
}


def measure(names: Sequence[str], pythons: Mapping[str, str], cache: Path, seed: int, is_quick: bool) -> list[Figure]:
    """The figures of ours and of these peers; `pythons` are their interpreters by name, else it is this one."""
    workload = world(cache, WORKLOAD, seed, is_quick)
    folder = made(cache, workload)
    ours = ask(OURS, workload, folder, (1,), is_quick)
    figures = [*_figures("ours", ours, workload), Figure("ours: build, CPU", read(folder).build_cpu_s, "s")]
    for name in names:
        peer = PEERS[name]
        python = pythons.get(name, pythons.get(name.partition("-")[0], sys.executable))
        program = Program(python, ("-m", f"peers.{peer.module}", *peer.arguments), Path(__file__).parent)
        try:
            built = _built(Store(cache), name, program, workload)
            theirs = ask(program, workload, built / _INDEX, (1,), is_quick, ours["recall"])
        except LeftOut as exc:
            print(f"{name} is left out: {exc}", flush=True)
            continue
        figures += _figures(name, theirs, workload) + _against(name, ours, theirs, peer)
        figures.append(Figure(f"{name}: build, CPU", load_facts(built)["build CPU s"], "s"))
    return figures


def _built(store: Store, name: str, program: Program, workload: Workload) -> Path:
    vectors = store.folder / workload.vectors_key / "vectors.npy"

    def make(folder: Path) -> None:
        index = folder / _INDEX
        index.mkdir()
        given = ["--folder", str(index), "--vectors", str(vectors), "--ram-bytes", str(ram_bytes(workload))]
        save_facts(folder, program.run(["build", *given, "--threads", str(BUILD_THREADS)], BUILD_THREADS))

    return store.made(f"peer-{name}-{_FORMAT}-{workload.vectors_key}", make)


def _figures(name: str, found: Found, workload: Workload) -> list[Figure]:
    warm, cold, steady = found["warm"]["1"], found["cold"]["1"], found["steady"]
    return [
        Figure(f"{name}: effort", found["effort"], ""),
        Figure(f"{name}: recall", found["recall"], ""),
        Figure(f"{name}: cold, queries/s", cold["qps"], ""),
        Figure(f"{name}: cold, p50", cold["p50 us"], "µs"),
        Figure(f"{name}: cold, p99", cold["p99 us"], "µs"),
        Figure(f"{name}: cold, bytes read per query", cold["bytes read"], "B"),
        Figure(f"{name}: in RAM before a cold query, at most", 100 * cold["stayed"], "% of the files"),
        Figure(f"{name}: warm, queries/s", warm["qps"], ""),
        Figure(f"{name}: warm, p50", warm["p50 us"], "µs"),
        Figure(f"{name}: all queries in turn, queries/s", steady["qps"], ""),
        Figure(f"{name}: all queries in turn, bytes read per query", steady["bytes read"], "B"),
        Figure(f"{name}: anonymous memory", 100 * found["anonymous"] / workload.raw_bytes, "% of raw"),
        Figure(f"{name}: on disk / raw", found["disk bytes"] / workload.raw_bytes, ""),
    ]


def _against(name: str, ours: Found, theirs: Found, peer: Peer) -> list[Figure]:
    found = []
    if theirs["recall"] < ours["recall"]:
        found.append(Figure(f"{name}: recall, less than ours", ours["recall"] - theirs["recall"], ""))
    for kind, bar in (("cold", peer.cold_bar), ("warm", 1.0)):
        ratio = ours[kind]["1"]["qps"] / theirs[kind]["1"]["qps"]
        found.append(Figure(f"{kind}, queries/s, ours / {name}", ratio, "x", bar, at_least=True))
    return found
