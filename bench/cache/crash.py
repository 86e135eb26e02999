"""Cached answers across SIGKILL: a server is killed under writers and askers, checked, started again, and asked.

After each kill `vdb check` must find the directory sound; every answer whose store was acknowledged is served as it is,
unless its source changed, was being changed, or it was removed; and nothing is served that is half an answer (each has
its own checksum), that was removed, or whose source is not what it was.
"""

import argparse
import random
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

from bench.crash.access import HttpAccess, Lost, Refused
from bench.crash.process import ADMIN_KEY, ServerProcess
from bench.report import Figure
from vdb.storage.check import check_directory

TENANTS = ("ada", "bob")
N_POINTS = 6
N_QUESTIONS = 12
DIMENSION = 4
LOAD_S = (0.05, 1.0)
CYCLES = 100
CYCLES_PER_DIRECTORY = 20


@dataclass(slots=True)
class Told:
    """An answer whose store was sent; `is_sure`: it was acknowledged, and nothing has begun to remove it."""

    answer: dict[str, Any]
    point: str
    version: int
    is_sure: bool = True


@dataclass(slots=True)
class Ledger:
    """What one tenant's thread knows; the thread itself is the only one that writes the tenant's points.

    `versions`: id → version, 0 for none, None for not known: a write of it was lost.
    """

    tenant: str
    versions: dict[str, int | None] = field(default_factory=dict)
    told: dict[int, Told] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def body_of(rng: random.Random, number: int) -> dict[str, Any]:
    """An answer that says whether it is whole."""
    text = "".join(rng.choice("abcdefgh ") for _ in range(rng.choice((20, 3_000, 30_000))))
    return {"question": number, "text": text, "checksum": crc32(text.encode())}


class Life(threading.Thread):
    """Writes and asks as one tenant until the server is gone."""

    def __init__(self, access: HttpAccess, ledger: Ledger, seed: str) -> None:
        super().__init__(name=f"life-{ledger.tenant}")
        self.access, self.ledger, self.rng = access, ledger, random.Random(seed)

    def run(self) -> None:
        try:
            while True:
                self._write() if self.rng.random() < 0.3 else self._ask()
        except Lost:
            self.access.close()
        except Refused as exc:
            self.ledger.faults.append(f"a request was refused: {exc}")

    def _write(self) -> None:
        """Insert, replace or delete a point; what was answered from it before is not to be served any more."""
        ledger, point = self.ledger, f"p{self.rng.randrange(N_POINTS)}"
        ledger.versions[point] = None
        is_deleted = self.rng.random() < 0.3
        if is_deleted:
            self.access.run("delete_points", ("docs",), {"ids": [point]}, ledger.tenant)
            ledger.versions[point] = 0
        else:
            vector = [self.rng.gauss(0, 1) for _ in range(DIMENSION)]
            points = {"points": [{"id": point, "vector": vector}]}
            ledger.versions[point] = self.access.run("upsert", ("docs",), points, ledger.tenant)["sequence"]
        ledger.counts["writes"] += 1

    def _ask(self) -> None:
        ledger, rng = self.ledger, self.rng
        number = rng.randrange(N_QUESTIONS)
        found = self.access.run("cache_lookup", ("answers",), question(number, wait=False), ledger.tenant)
        ledger.counts["lookups"] += 1
        if found["hit"] is not None:
            ledger.counts["hits"] += 1
            ledger.faults += judge(ledger, number, found)
            if rng.random() < 0.1:
                if number in ledger.told:
                    ledger.told[number].is_sure = False
                report = {"verdict": "wrong", "lookup_id": found["lookup_id"]}
                self.access.run("cache_feedback", ("answers",), report, ledger.tenant)
                ledger.removed.add(found["entry"]["id"])
                ledger.told.pop(number, None)
            return
        sources = [(name, version) for name, version in ledger.versions.items() if version]
        if not sources:
            return
        point, version = rng.choice(sources)
        told = Told(body_of(rng, number), point, version, is_sure=False)
        ledger.told[number] = told
        stored = self.access.run(
            "cache_store",
            ("answers",),
            {"lookup_id": found["lookup_id"], "answer": told.answer,
             "sources": [{"collection": "docs", "id": point, "version": version}]},
            ledger.tenant,
        )  # fmt: skip
        told.is_sure = stored["reason"] == "stored"
        ledger.counts["stores"] += told.is_sure


def question(number: int, wait: bool) -> dict[str, Any]:
    """Equal questions, all of one category: only equal ones hit."""
    return {"text": f"question {number}", "category": "faq", "wait_ms": 100 if wait else 0}


def judge(ledger: Ledger, number: int, found: dict[str, Any]) -> list[str]:
    """What is wrong with a hit."""
    entry, faults = found["entry"], []
    answer, (source,) = entry["answer"], entry["sources"]
    if answer["question"] != number or crc32(answer["text"].encode()) != answer["checksum"]:
        faults.append(f"half an answer, or another question's: {entry['id']}")
    if entry["id"] in ledger.removed:
        faults.append(f"a removed entry was served: {entry['id']}")
    known = ledger.versions.get(source["id"])
    if known is not None and known != source["version"]:
        faults.append(f"a stale answer: {source} is now {known}")
    told = ledger.told.get(number)
    if told is not None and told.is_sure and told.answer != answer:
        faults.append(f"another answer than the one that was stored: {entry['id']}")
    return faults


def verify(access: HttpAccess, ledger: Ledger) -> None:
    """After a start: what lost writes came to, then every question."""
    ids = [f"p{i}" for i in range(N_POINTS)]
    found = access.run("get_points", ("docs",), {"ids": ids, "with_payload": False}, ledger.tenant)["points"]
    now = {point["id"]: point["version"] for point in found}
    for point, known in ledger.versions.items():
        if known is not None and known != now.get(point, 0):
            ledger.faults.append(f"an acknowledged write is lost: {point} {known} {now.get(point, 0)}")
    ledger.versions = {point: now.get(point, 0) for point in ids}
    for number in range(N_QUESTIONS):
        answer = access.run("cache_lookup", ("answers",), question(number, wait=False), ledger.tenant)
        told = ledger.told.get(number)
        if answer["hit"] is not None:
            ledger.counts["verified hits"] += 1
            ledger.faults += judge(ledger, number, answer)
        elif told is not None and told.is_sure and ledger.versions[told.point] == told.version:
            ledger.faults.append(f"an acknowledged answer is lost: question {number}, {answer['reason']}")
        if told is not None and not told.is_sure:
            ledger.told.pop(number)


def run_directory(folder: Path, n_cycles: int, seed: int) -> list[Ledger]:
    """`n_cycles` lives of a server on one directory."""
    rng = random.Random(seed)
    data, log = folder / "data", folder / "server.log"
    ledgers = [Ledger(tenant) for tenant in TENANTS]
    server = ServerProcess(data, log).await_ready()
    admin = server.admin()
    admin.run("create_collection", (), {"name": "docs", "dimension": DIMENSION})
    admin.run("create_cache", (), {"name": "answers", "dimension": DIMENSION})
    admin.run("put_policy", ("answers", "faq"), {"mode": "exact"})
    for tenant in TENANTS:
        admin.run("create_tenant", (), {"name": tenant})
    for cycle in range(n_cycles):
        lives = [
            Life(HttpAccess(server.port, ADMIN_KEY), ledger, f"{seed} {cycle} {ledger.tenant}") for ledger in ledgers
        ]
        for life in lives:
            life.start()
        time.sleep(rng.uniform(*LOAD_S))
        server.kill()
        for life in lives:
            life.join()
        problems = check_directory(data)
        ledgers[0].faults += [f"vdb check: {problem}" for problem in problems]
        server = ServerProcess(data, log).await_ready()
        for ledger in ledgers:
            access = HttpAccess(server.port, ADMIN_KEY)
            verify(access, ledger)
            access.close()
    server.stop()
    return ledgers


def measure(given: argparse.Namespace) -> list[Figure]:
    """The crash loop, on a fresh directory every twenty cycles."""
    n_cycles = 5 if given.quick else CYCLES
    ledgers: list[Ledger] = []
    for first in range(0, n_cycles, CYCLES_PER_DIRECTORY):
        with tempfile.TemporaryDirectory(prefix="vdb-cache-crash-") as folder:
            n_now = min(CYCLES_PER_DIRECTORY, n_cycles - first)
            ledgers += run_directory(Path(folder), n_now, given.seed + first)
            print(f"{first + n_now} cycles", flush=True)
    faults = [fault for ledger in ledgers for fault in ledger.faults]
    print("\n".join(faults[:10]))
    counts = sum((ledger.counts for ledger in ledgers), Counter[str]())
    return [
        Figure("crash: kills", n_cycles, ""),
        *(Figure(f"crash: {name}", n, "") for name, n in sorted(counts.items())),
        Figure("crash: half-written, stale, lost or removed answers", len(faults), "", 0),
    ]
