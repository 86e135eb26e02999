"""The judge of one outcome: check, open, hold against the ledgers, write, check again.

It works in a child process, because LMDB on damaged pages may end the process that reads them.
"""

import json
import os
import random
import resource
from dataclasses import asdict
from pathlib import Path

from bench.crash import check
from bench.crash.access import EngineAccess, Refused
from bench.crash.ledger import CatalogLedger, Fault, Ledger
from bench.crash.verify import verify
from bench.powerloss.agreement import settings_for
from vdb.engine.engine import Engine
from vdb.errors import Unauthenticated, VdbError
from vdb.types import Role

Ledgers = tuple[list[Ledger], CatalogLedger]


def judge(data_dir: Path, ledgers: Ledgers | None, rng: random.Random) -> list[Fault]:
    """Faults of what a power failure left; `ledgers` None: nothing had been acknowledged. The caller has no threads."""
    source, sink = os.pipe()
    child = os.fork()
    if not child:
        os.close(source)
        _report(data_dir, ledgers, rng, sink)
    os.close(sink)
    with os.fdopen(source, "rb") as answers:
        text = answers.read()
    _, status = os.waitpid(child, 0)
    if status:
        return [Fault("lost", "process", f"ended by signal {os.WTERMSIG(status)}, code {os.WEXITSTATUS(status)}")]
    return [Fault(**fault) for fault in json.loads(text)]


def _report(data_dir: Path, ledgers: Ledgers | None, rng: random.Random, sink: int) -> None:
    """The child's whole life. Damaged pages end it in many ways, whose messages would bury the findings."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        faults = _judge(data_dir, ledgers, rng)
    except BaseException as exc:
        faults = [Fault("lost", "process", f"{type(exc).__name__}: {exc}")]
    with os.fdopen(sink, "wb") as answers:
        answers.write(json.dumps([asdict(fault) for fault in faults]).encode())
    os._exit(0)


def _judge(data_dir: Path, ledgers: Ledgers | None, rng: random.Random) -> list[Fault]:
    faults: list[Fault] = []
    try:
        faults += check(data_dir) if data_dir.exists() else []
        engine = Engine.open(settings_for(data_dir))
    except VdbError as exc:
        return [*faults, Fault("lost", "start", f"{exc.code}: {exc.detail}")]
    try:
        access = EngineAccess(engine, Role.ADMIN)
        if ledgers is not None:
            faults += verify(access, lambda secret: _accepts(engine, secret), *ledgers, rng)
        access.run("create_tenant", (), {"name": "later"})
    except Refused as exc:
        faults.append(Fault("lost", "operation", str(exc)))
    finally:
        engine.close()
    return faults + check(data_dir)


def _accepts(engine: Engine, secret: str) -> bool:
    try:
        engine.authenticate(secret, None)
    except Unauthenticated:
        return False
    return True
