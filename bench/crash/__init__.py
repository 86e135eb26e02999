"""Crash: SIGKILL at random instants under concurrent writers, restart, `vdb check`, a ledger of acknowledged writes.

A cycle: writers and an administrator load a running server over HTTP; SIGKILL; the check of the directory; a new
server on it (one start in four is killed first); the verifier. Every 25 cycles a fresh directory begins, and the last
cycle of each directory ends with SIGTERM instead, which must lose nothing either. `--control early-ack` runs a server
that answers before it commits: the harness must find losses. Collections are
indexed (see `busy_index`). Exit code 1 when anything was found.
"""

import argparse
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from bench.crash.access import Access, HttpAccess, Refused
from bench.crash.ledger import CatalogLedger, Fault, Ledger
from bench.crash.load import COLLECTION, TENANTS, Administrator, Writer, description, run_until
from bench.crash.process import ServerProcess
from bench.crash.verify import verify
from bench.record import record

WRITERS_PER_TENANT = 2
CYCLES_PER_DIRECTORY = 25
LOAD_S = (0.05, 1.5)
INTERRUPTED_STARTS = 0.25
START_S = (0.1, 0.7)
"""From before the first file is made to about when the server is ready."""

TIERS, CHANGING = ("auto", "memory", "hybrid", "disk"), "changing"

SHOWN_FAULTS = 5
SHOWN_CHARS = 200


@dataclass
class Tally:
    """What a run has seen."""

    n_cycles: int = 0
    n_clean: int = 0
    n_acknowledged: int = 0
    n_points_judged: int = 0
    n_in_flight: int = 0
    n_interrupted_starts: int = 0
    n_indexed: int = 0
    """Cycles at whose end an index lay on disk."""
    n_indexes_refused: int = 0
    """Indexes on disk that a server did not take, and made anew."""
    faults: list[Fault] = field(default_factory=list)


@dataclass
class Site:
    """One data directory over several lives of the server: its ledgers and its writers' keys."""

    data_dir: Path
    log: Path
    rng: random.Random
    is_early: bool
    tier: str
    """Of the collection; `changing`: another one in each cycle."""
    catalog: CatalogLedger = field(default_factory=CatalogLedger)
    ledgers: list[Ledger] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    n_interrupted_starts: int = 0

    def start(self) -> ServerProcess:
        """A server that is ready; now and then one before it is killed while it starts."""
        if self.rng.random() < INTERRUPTED_STARTS:
            early = ServerProcess(self.data_dir, self.log, self.is_early)
            time.sleep(self.rng.uniform(*START_S))
            early.kill()
            self.n_interrupted_starts += 1
        return ServerProcess(self.data_dir, self.log, self.is_early).await_ready()

    def furnish(self, server: ServerProcess) -> None:
        """The shared collection, and a key for each kind of writer."""
        with closing(server.admin()) as admin:
            admin.run("create_collection", (), description("auto" if self.tier == CHANGING else self.tier))
            for tenant in TENANTS:
                self.keys[tenant] = admin.run("create_key", (), {"role": "write", "tenant": tenant})["key"]
            self.keys["service"] = admin.run("create_key", (), {"role": "service"})["key"]
        self.ledgers = [Ledger(f"{tenant}.{i}", tenant) for tenant in TENANTS for i in range(WRITERS_PER_TENANT)]

    def load(self, server: ServerProcess, end: str) -> list[Fault]:
        """Load the server for a random while, then end it under the load; faults are valid requests it refused."""
        if self.tier == CHANGING:
            with closing(server.admin()) as admin:
                admin.run("update_collection", (COLLECTION,), {"tier": self.rng.choice(TIERS)})
        stop = threading.Event()
        seconds = self.rng.uniform(*LOAD_S)

        def wait() -> None:
            time.sleep(seconds)
            getattr(server, end)()
            stop.set()

        with ExitStack() as opened:
            threads: list[Writer | Administrator] = [
                Writer(ledger, self._doors(opened, server, ledger.tenant), self._fork(), stop)
                for ledger in self.ledgers
            ]
            admin = opened.enter_context(closing(server.admin()))
            threads.append(Administrator(self.catalog, admin, self._fork(), stop))
            refusals = run_until(threads, wait)
        return [Fault("refused", "load", refusal) for refusal in refusals]

    def _doors(self, opened: ExitStack, server: ServerProcess, tenant: str) -> Mapping[str, Access]:
        doors = {
            "write": HttpAccess(server.port, self.keys[tenant]),
            "service": HttpAccess(server.port, self.keys["service"]),
            "admin": server.admin(),
        }
        for door in doors.values():
            opened.callback(door.close)
        return doors

    def _fork(self) -> random.Random:
        return random.Random(self.rng.getrandbits(64))

    def verify(self, server: ServerProcess) -> list[Fault]:
        """Hold what the new server answers against the ledgers."""
        with closing(server.admin()) as admin:
            return verify(admin, lambda secret: _accepts(server, secret), self.ledgers, self.catalog, self.rng)

    @property
    def n_acknowledged(self) -> int:
        return sum(ledger.n_acknowledged for ledger in self.ledgers) + self.catalog.n_acknowledged

    @property
    def n_in_flight(self) -> int:
        return sum(ledger.in_flight is not None for ledger in self.ledgers) + (self.catalog.in_flight is not None)


def check(data_dir: Path) -> list[Fault]:
    """`vdb check` of a directory that no process holds."""
    from vdb.storage.check import check_directory

    return [Fault("check", str(found.where), str(found.what)) for found in check_directory(data_dir)]


def _accepts(server: ServerProcess, secret: str) -> bool:
    with closing(HttpAccess(server.port, secret)) as door:
        try:
            door.run("limits", (), {})
        except Refused:
            return False
    return True


def run_cycles(n_cycles: int, seed: int, is_early: bool = False, tier: str = "auto") -> Tally:
    """Run cycles over as many directories as it takes."""
    rng, tally = random.Random(seed), Tally()
    while tally.n_cycles < n_cycles:
        with tempfile.TemporaryDirectory(prefix="vdb-crash-") as folder:
            site = Site(Path(folder) / "data", Path(folder) / "server.log", rng, is_early, tier)
            _run_directory(site, min(CYCLES_PER_DIRECTORY, n_cycles - tally.n_cycles), tally)
    return tally


def _run_directory(site: Site, n_cycles: int, tally: Tally) -> None:
    server = site.start()
    try:
        site.furnish(server)
        for cycle in range(n_cycles):
            faults = site.load(server, "stop" if cycle == CYCLES_PER_DIRECTORY - 1 else "kill")
            tally.n_in_flight += site.n_in_flight
            faults += check(site.data_dir)
            tally.n_indexed += any(site.data_dir.glob("**/index/**/layout.vdb"))
            server = site.start()
            faults += site.verify(server)
            _count(tally, faults, site)
    finally:
        server.kill()
    tally.n_acknowledged += site.n_acknowledged
    tally.n_interrupted_starts += site.n_interrupted_starts
    tally.n_indexes_refused += site.log.read_bytes().count(b"an index is made anew")


def _count(tally: Tally, faults: list[Fault], site: Site) -> None:
    tally.n_cycles += 1
    tally.n_clean += not faults
    tally.n_points_judged += sum(len(ledger.points) for ledger in site.ledgers)
    for fault in faults[:SHOWN_FAULTS]:
        print(f"cycle {tally.n_cycles}: {fault.kind}: {fault.where}: {fault.what}"[:SHOWN_CHARS], flush=True)
    tally.faults += faults


def main(arguments: list[str]) -> int:
    """Run the cycles; 0 when every one was clean."""
    parser = argparse.ArgumentParser(prog="python -m bench crash", description=__doc__.partition("\n")[0])
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--control", choices=("early-ack",), help="run a server that must be found faulty")
    parser.add_argument("--tier", choices=(*TIERS, CHANGING), default="auto", help="of the collection")
    parser.add_argument("--record", action="store_true", help="append the figures to bench/results/crash.json")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    tally = run_cycles(given.cycles, given.seed, given.control is not None, given.tier)
    figures = {
        "cycles": tally.n_cycles,
        "clean_cycles": tally.n_clean,
        "acknowledged_requests": tally.n_acknowledged,
        "requests_in_flight_at_the_end": tally.n_in_flight,
        "starts_killed_too": tally.n_interrupted_starts,
        "points_judged": tally.n_points_judged,
        "cycles_with_an_index": tally.n_indexed,
        "indexes_refused": tally.n_indexes_refused,
        "faults": dict(Counter(fault.kind for fault in tally.faults)),
        "control": given.control,
        "tier": given.tier,
        "seed": given.seed,
        "wall_s": round(time.monotonic() - began, 1),
    }
    print("\n".join(f"{name:<32} {value}" for name, value in figures.items()))
    if given.record:
        record("crash", figures, "python -m bench crash " + " ".join(arguments))
    return 1 if tally.faults else 0
