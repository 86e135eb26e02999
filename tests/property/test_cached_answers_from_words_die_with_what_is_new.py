"""Cached answers from searches by words: whatever is written, none is served where a search now finds what is new.

Two tenants write, delete, edit, grant, revoke and let expire; questions are answered from a search by words, or by
words and a vector, and kept with it. Each hit is held against a fresh search: every source is what it was, and every
hit of the search was there, as it is, and visible, when the answer was made. The server is restarted on the way.
"""

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.engine.driver import Driver, opened
from vdb.errors import PointNotFound
from vdb.protocol.cache_requests import CacheLookup, CacheStore, CreateCache, HitName, PutPolicy, Retrieval, Source
from vdb.protocol.requests import CreateCollection, Empty, PayloadChange, Search, TextIndex, UpdatePayload
from vdb.types import Metric

TENANTS = ("acme", "globex")
WORDS = ("pump", "oil", "leak", "valve", "gasket", "bolt", "seal")
QUESTIONS = ("pump oil", "valve leak", "gasket")
LIMIT = 2
N_STEPS = 220


@dataclass(slots=True)
class Known:
    """`seen_from`: (tenant, owner, id) → the sequence from which on a tenant sees another's point."""

    driver: Driver
    rng: random.Random
    seen_from: dict[tuple[str, str, str], int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    # Writes

    def write(self) -> None:
        rng, driver = self.rng, self.driver
        owner, other = rng.sample(TENANTS, 2)
        point = f"p{rng.randrange(5)}"
        kind = rng.choice(("upsert", "upsert", "expiring", "delete", "edit", "grant", "revoke", "none"))
        is_there = bool(driver.get(owner, "docs", [point]))
        if kind in ("upsert", "expiring"):
            given: dict[str, Any] = {}
            if kind == "expiring":
                given["expires_at"] = [datetime.now(UTC) + timedelta(milliseconds=40)]
            if not is_there:
                self.forget(owner, point)
            vector = None if rng.random() < 0.3 else [[rng.random(), rng.random()]]
            driver.upsert(owner, "docs", [point], vector, payloads=[{"text": self.text()}], **given)
        elif kind == "none":
            time.sleep(rng.random() * 0.02)
        elif is_there and kind == "delete":
            driver.delete(owner, "docs", [point])
            self.forget(owner, point)
        elif is_there and kind == "edit":
            payload = msgspec.Raw(msgspec.json.encode({"text": self.text()}))
            change = PayloadChange(id=point, payload=payload)
            driver.run("update_payload", owner, ("docs",), UpdatePayload(points=[change]))
        elif is_there:
            sequence = driver.share(owner, "docs", [point], [other], kind)
            if kind == "grant":
                self.seen_from.setdefault((other, owner, point), sequence)
            else:
                self.seen_from.pop((other, owner, point), None)
        self.counts[kind] += 1

    def text(self) -> str:
        return " ".join(self.rng.choices(WORDS, k=self.rng.randrange(1, 5)))

    def forget(self, owner: str, point: str) -> None:
        for tenant in TENANTS:
            self.seen_from.pop((tenant, owner, point), None)

    # Questions

    def ask(self) -> None:
        tenant, question = self.rng.choice(TENANTS), self.rng.choice(QUESTIONS)
        search: dict[str, Any] = {"text": question, "limit": LIMIT}
        search |= self.rng.choice(({"mode": "sparse"}, {"mode": "hybrid", "vector": [0.5, 0.5]}))
        asked = Retrieval(collection="docs", limit=LIMIT)
        lookup = CacheLookup(text=question, category="faq", fingerprint=search["mode"], retrieval=asked)
        found = self.driver.run("cache_lookup", tenant, ("answers",), lookup)
        if found.hit is not None:
            self.counts["hit"] += 1
            self.judge(tenant, search, msgspec.json.decode(bytes(found.entry.answer)), lookup)
            return
        answer = self.driver.run("search", tenant, ("docs",), Search(**search))
        told = [(hit.owner, hit.id, hit.version) for hit in answer.hits]
        request = CacheStore(
            lookup_id=found.lookup_id,
            answer={"sequence": answer.sequence, "sources": told[:1], "hits": told},
            sources=[Source(collection="docs", owner=owner, id=point, version=n) for owner, point, n in told[:1]],
            retrieval=Retrieval(
                collection="docs",
                sequence=answer.sequence,
                hits=[HitName(id=hit.id, owner=hit.owner) for hit in answer.hits],
                **search,
            ),
        )
        self.counts[self.driver.run("cache_store", tenant, ("answers",), request).reason] += 1

    def is_served_again(self, lookup: CacheLookup, tenant: str, answer: dict[str, Any]) -> bool:
        found = self.driver.run("cache_lookup", tenant, ("answers",), msgspec.structs.replace(lookup, lease=False))
        return found.hit is not None and msgspec.json.decode(bytes(found.entry.answer)) == answer

    def judge(self, tenant: str, search: dict[str, Any], answer: dict[str, Any], lookup: CacheLookup) -> None:
        """A hit may expire between the look-up and this, and another take its place: then it is not served again."""
        fresh = self.driver.run("search", tenant, ("docs",), Search(**search))
        for hit in fresh.hits:
            if [hit.owner, hit.id, hit.version] in answer["hits"]:
                continue  # it was found then, whoever may have been kept from it meanwhile
            seen_from = 0 if hit.owner == tenant else self.seen_from[tenant, hit.owner, hit.id]
            if max(hit.version, seen_from) > answer["sequence"]:
                assert not self.is_served_again(lookup, tenant, answer), (tenant, search, hit, answer)
                self.counts["moved up"] += 1
        for owner, point, version in answer["sources"]:
            assert owner == tenant or (tenant, owner, point) in self.seen_from
            there = self.driver.get(owner, "docs", [point])
            assert [found.version for found in there] in ([version], [])


def _make(driver: Driver) -> None:
    made = CreateCollection(name="docs", dimension=2, metric=Metric.L2, text=TextIndex())
    driver.run("create_collection", None, (), made)
    driver.run("create_cache", None, (), CreateCache(name="answers", dimension=2))
    driver.run("put_policy", None, ("answers", "faq"), PutPolicy(mode="exact"))
    for tenant in TENANTS:
        driver.create_tenant(tenant)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_answer_is_served_where_a_search_now_finds_what_is_new(tmp_path: Path, seed: int) -> None:
    with opened(tmp_path / "data") as driver:
        _make(driver)
        known = Known(driver, random.Random(seed))
    for phase in range(2):
        with opened(tmp_path / "data") as driver:
            known.driver = driver
            for _ in range(N_STEPS):
                try:
                    known.write()
                except PointNotFound:  # it has expired just now
                    known.counts["expired"] += 1
                for _ in range(3):
                    known.ask()
            stats = driver.run("cache_stats", None, ("answers",), Empty())
            known.counts["stale"] += sum(figures.stale_prevented for figures in stats.categories)
        assert known.counts["hit"] > 30 * (phase + 1), known.counts
    assert known.counts["stale"] > 20 and known.counts["stored"] > 50, known.counts


def test_an_answer_ends_where_a_hit_expires_and_what_is_new_moves_up(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        _make(driver)
        driver.upsert("acme", "docs", ["kept"], None, payloads=[{"text": "gasket gasket gasket"}])
        soon = [datetime.now(UTC) + timedelta(seconds=1)]
        driver.upsert("acme", "docs", ["soon"], None, payloads=[{"text": "gasket gasket oil"}], expires_at=soon)
        search: dict[str, Any] = {"text": "gasket", "limit": LIMIT, "mode": "sparse"}
        lookup = CacheLookup(text="gasket", category="faq", retrieval=Retrieval(collection="docs", limit=LIMIT))
        missed = driver.run("cache_lookup", "acme", ("answers",), lookup)
        found = driver.run("search", "acme", ("docs",), Search(**search))
        assert [hit.id for hit in found.hits] == ["kept", "soon"]
        hits = [HitName(id=hit.id, owner=hit.owner) for hit in found.hits]
        source = Source(collection="docs", owner="acme", id="kept", version=found.hits[0].version)
        made = Retrieval(collection="docs", sequence=found.sequence, hits=hits, **search)
        request = CacheStore(lookup_id=missed.lookup_id, answer="yes", sources=[source], retrieval=made)
        assert driver.run("cache_store", "acme", ("answers",), request).reason == "stored"
        driver.upsert("acme", "docs", ["new"], None, payloads=[{"text": "gasket oil valve bolt"}])
        assert driver.run("cache_lookup", "acme", ("answers",), lookup).hit == "exact"
        time.sleep(max(0.0, (soon[0] - datetime.now(UTC)).total_seconds()) + 0.01)
        assert driver.run("cache_lookup", "acme", ("answers",), lookup).hit is None


def test_an_answer_ends_where_a_candidate_expires_and_what_is_new_moves_up(tmp_path: Path) -> None:
    """What lies far off makes all distances beside it look alike; without it the nearer one is the best."""
    with opened(tmp_path / "data") as driver:
        _make(driver)
        driver.upsert("acme", "docs", ["old"], [[1.0, 0.0]], payloads=[{"text": "gasket" + 9 * " bolt"}])
        soon = [datetime.now(UTC) + timedelta(seconds=1)]
        driver.upsert("acme", "docs", ["far"], [[50.0, 50.0]], payloads=[{"text": "bolt"}], expires_at=soon)
        search: dict[str, Any] = {"text": "gasket", "vector": [0.0, 0.0], "limit": 1, "mode": "hybrid"}
        lookup = CacheLookup(text="gasket", category="faq", retrieval=Retrieval(collection="docs", limit=1))
        missed = driver.run("cache_lookup", "acme", ("answers",), lookup)
        found = driver.run("search", "acme", ("docs",), Search(**search))
        assert [hit.id for hit in found.hits] == ["old"]
        source = Source(collection="docs", owner="acme", id="old", version=found.hits[0].version)
        hits = [HitName(id="old", owner="acme")]
        made = Retrieval(collection="docs", sequence=found.sequence, hits=hits, **search)
        request = CacheStore(lookup_id=missed.lookup_id, answer="yes", sources=[source], retrieval=made)
        assert driver.run("cache_store", "acme", ("answers",), request).reason == "stored"
        driver.upsert("acme", "docs", ["new"], [[0.1, 0.0]], payloads=[{"text": "gasket" + 10 * " bolt"}])
        assert [hit.id for hit in driver.run("search", "acme", ("docs",), Search(**search)).hits] == ["old"]
        assert driver.run("cache_lookup", "acme", ("answers",), lookup).hit == "exact"
        time.sleep(max(0.0, (soon[0] - datetime.now(UTC)).total_seconds()) + 0.01)
        assert [hit.id for hit in driver.run("search", "acme", ("docs",), Search(**search)).hits] == ["new"]
        assert driver.run("cache_lookup", "acme", ("answers",), lookup).hit is None
