"""The recorded process: an engine under concurrent writers, which marks every request it begins and every answer.

`python -m bench.powerloss.workload <data folder> <marks file> <seed> <answers> [control]`, run under the recorder.
"""

import argparse
import json
import os
import random
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lmdb

from bench.crash.access import Access, EngineAccess
from bench.crash.ledger import Note
from bench.crash.load import TENANTS, Administrator, Writer, description, run_until
from bench.powerloss.agreement import READY, new_ledgers, settings_for
from vdb.engine.engine import Engine
from vdb.storage import create, directory
from vdb.types import Role


def _furnish(engine: Engine, note: Note) -> None:
    admin = EngineAccess(engine, Role.ADMIN)
    admin.run("create_collection", (), description())
    for tenant in TENANTS:
        admin.run("create_tenant", (), {"name": tenant})
    note(READY)


def _doors(engine: Engine, tenant: str) -> Mapping[str, Access]:
    return {
        "write": EngineAccess(engine, Role.WRITE, tenant),
        "service": EngineAccess(engine, Role.SERVICE),
        "admin": EngineAccess(engine, Role.ADMIN),
    }


def _run(engine: Engine, note: Note, rng: random.Random, n_answers: int) -> list[str]:
    ledgers, catalog = new_ledgers(note)
    stop = threading.Event()
    threads: list[Writer | Administrator] = [
        Writer(ledger, _doors(engine, ledger.tenant), random.Random(rng.getrandbits(64)), stop) for ledger in ledgers
    ]
    admin = EngineAccess(engine, Role.ADMIN)
    threads.append(Administrator(catalog, admin, random.Random(rng.getrandbits(64)), stop))

    def wait() -> None:
        while catalog.n_acknowledged + sum(ledger.n_acknowledged for ledger in ledgers) < n_answers:
            time.sleep(0.005)
        stop.set()

    return run_until(threads, wait)


def _without_sync() -> None:
    """A control: LMDB that leaves syncing to the operating system."""
    real_open: Any = lmdb.open
    lmdb.open = lambda *places, **options: real_open(*places, **{**options, "sync": False})  # type: ignore[assignment]


def _without_folder_sync() -> None:
    """A control: entries of folders are made, and never synced."""
    for module in (directory, create):
        module.sync_folder = lambda path: None  # type: ignore[attr-defined]


CONTROLS = {"no-sync": _without_sync, "no-folder-sync": _without_folder_sync}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("marks", type=Path)
    parser.add_argument("seed", type=int)
    parser.add_argument("n_answers", type=int)
    parser.add_argument("control", choices=CONTROLS, nargs="?")
    given = parser.parse_args(arguments)
    if given.control:
        CONTROLS[given.control]()
    marks = os.open(given.marks, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(event: dict[str, Any]) -> None:
        os.write(marks, json.dumps(event).encode())

    engine = Engine.open(settings_for(given.data_dir))
    try:
        _furnish(engine, note)
        refusals = _run(engine, note, random.Random(given.seed), given.n_answers)
    finally:
        engine.close()
    for refusal in refusals:
        print(f"a valid request was refused: {refusal}")
    return 1 if refusals else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
