"""Power loss: every write and sync recorded, the power cut at many moments, each outcome checked against the ledger.

A process works on an engine under a preloaded recorder. Then, for many prefixes of its log, a directory is laid down
that a power failure at that moment could leave (see `disk`): what was synced, and a random part of the rest. `vdb
check` must find nothing, the engine must open and accept writes, and every write acknowledged before that moment must
be there. `--control no-sync` runs LMDB without syncs, `--control no-folder-sync` leaves out the syncs of folders: the
harness must find losses in both. Exit code 1 when anything was found. Needs Linux and a C compiler.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.crash import SHOWN_CHARS, SHOWN_FAULTS
from bench.crash.ledger import CatalogLedger, Fault, Ledger
from bench.powerloss.agreement import READY, new_ledgers
from bench.powerloss.disk import Disk
from bench.powerloss.events import Event, Operation, read_events
from bench.powerloss.judge import judge
from bench.record import ROOT, record

RECORDER = Path(__file__).with_name("recorder.c")
ANSWERS_PER_PREFIX = 3
MIN_ANSWERS = 150


@dataclass
class Tally:
    """What a run has seen."""

    n_events: int = 0
    n_syncs: int = 0
    n_acknowledged: int = 0
    n_prefixes: int = 0
    n_moments: int = 0
    n_clean: int = 0
    n_points_judged: int = 0
    faults: list[Fault] = field(default_factory=list)


def missing() -> str:
    """Why the harness cannot run here; empty when it can."""
    if sys.platform != "linux":
        return "the recorder is preloaded, which needs Linux"
    return "" if _compiler() else "the recorder is built at run time, which needs a C compiler (cc)"


def _compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def _build(folder: Path) -> Path:
    library = folder / "recorder.so"
    command = [_compiler() or "cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(RECORDER), "-ldl", "-lpthread"]
    subprocess.run(command, check=True)
    return library


def record_run(folder: Path, n_answers: int, seed: int, control: str | None) -> list[Event]:
    """Run the workload under the recorder; the events of its files. `folder` is empty and takes all its files."""
    root, log, marks = folder / "root", folder / "log", folder / "marks"
    root.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("VDB_")} | {
        "LD_PRELOAD": str(_build(folder)),
        "VDB_RECORD_ROOT": str(root),
        "VDB_RECORD_LOG": str(log),
        "VDB_RECORD_MARKS": str(marks),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    arguments = [str(root / "data"), str(marks), str(seed), str(n_answers), *([control] if control else [])]
    command = [sys.executable, "-m", "bench.powerloss.workload", *arguments]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    events = list(read_events(log))
    log.unlink()
    return events


def choose_prefixes(events: Sequence[Event], n_prefixes: int, rng: random.Random) -> list[int]:
    """Moments of the power failure: anywhere, during the first start, just before a sync, just after an answer."""
    marks = [i for i, event in enumerate(events) if event.operation is Operation.MARK]
    answers = [i + 1 for i in marks if b"acknowledge" in events[i].data]
    syncs = [i for i, event in enumerate(events) if event.operation is Operation.SYNC or event.is_synchronous]
    anywhere = range(len(events) + 1)
    pools = (anywhere, anywhere, answers, syncs or answers, range(marks[0]))
    return sorted(rng.choice(pools[i % len(pools)]) for i in range(n_prefixes))


def check_recorder(events: Sequence[Event], root: Path) -> list[Fault]:
    """The whole log must give the folder as it is, byte for byte: otherwise the recorder missed something."""
    disk = Disk(root)
    for event in events:
        if event.operation is not Operation.MARK:
            disk.apply(event)
    return [Fault("recorder", path, "the log does not give the file as it is") for path in disk.differences(root)]


def cut_power(events: Sequence[Event], root: Path, prefixes: Sequence[int], seed: int, tally: Tally) -> None:
    """Judge every prefix, in order; `root` is the folder that was recorded."""
    disk, rng = Disk(root), random.Random(seed)
    (ledgers, catalog), is_ready, at = new_ledgers(), False, 0
    by_name: dict[str, Ledger | CatalogLedger] = {ledger.name: ledger for ledger in ledgers} | {catalog.name: catalog}
    for prefix in prefixes:
        for event in events[at:prefix]:
            if event.operation is not Operation.MARK:
                disk.apply(event)
                continue
            mark = json.loads(event.data)
            is_ready = is_ready or mark == READY
            if mark != READY:
                by_name[mark["ledger"]].replay(mark)
        at = prefix
        with tempfile.TemporaryDirectory(prefix="vdb-powerloss-") as folder:
            disk.fail(Path(folder), rng, events[prefix] if prefix < len(events) else None)
            faults = judge(Path(folder) / "data", (ledgers, catalog) if is_ready else None, rng)
        tally.n_points_judged += sum(len(ledger.points) for ledger in ledgers)
        _count(tally, faults, prefix)
    tally.n_acknowledged = sum(ledger.n_acknowledged for ledger in by_name.values())


def _count(tally: Tally, faults: list[Fault], prefix: int) -> None:
    tally.n_prefixes += 1
    tally.n_clean += not faults
    for fault in faults[:SHOWN_FAULTS]:
        print(f"prefix {prefix}: {fault.kind}: {fault.where}: {fault.what}"[:SHOWN_CHARS], flush=True)
    tally.faults += faults


def run_prefixes(n_prefixes: int, seed: int, control: str | None = None) -> Tally:
    """Record one run and cut its power at `n_prefixes` moments."""
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="vdb-recorded-") as name:
        folder = Path(name)
        events = record_run(folder, max(MIN_ANSWERS, ANSWERS_PER_PREFIX * n_prefixes), seed, control)
        tally.n_events = len(events)
        tally.n_syncs = sum(event.operation is Operation.SYNC or event.is_synchronous for event in events)
        tally.faults = check_recorder(events, folder / "root")
        prefixes = choose_prefixes(events, n_prefixes, random.Random(seed))
        tally.n_moments = len(set(prefixes))
        cut_power(events, folder / "root", prefixes, seed, tally)
    return tally


def main(arguments: list[str]) -> int:
    """Record, cut, judge; 0 when every prefix was clean, 2 where the harness cannot run."""
    parser = argparse.ArgumentParser(prog="python -m bench powerloss", description=__doc__.partition("\n")[0])
    parser.add_argument("--prefixes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--control", choices=("no-sync", "no-folder-sync"), help="record an engine that must be found faulty"
    )
    parser.add_argument("--record", action="store_true", help="append the figures to bench/results/powerloss.json")
    given = parser.parse_args(arguments)
    if reason := missing():
        print(f"cannot run: {reason}")
        return 2
    began = time.monotonic()
    tally = run_prefixes(given.prefixes, given.seed, given.control)
    figures = {
        "prefixes": tally.n_prefixes,
        "clean_prefixes": tally.n_clean,
        "different_moments": tally.n_moments,
        "recorded_events": tally.n_events,
        "recorded_syncs": tally.n_syncs,
        "acknowledged_requests": tally.n_acknowledged,
        "points_judged": tally.n_points_judged,
        "faults": dict(Counter(fault.kind for fault in tally.faults)),
        "control": given.control,
        "seed": given.seed,
        "wall_s": round(time.monotonic() - began, 1),
    }
    print("\n".join(f"{name:<24} {value}" for name, value in figures.items()))
    if given.record:
        record("powerloss", figures, "python -m bench powerloss " + " ".join(arguments))
    return 1 if tally.faults else 0
