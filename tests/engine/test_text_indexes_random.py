"""The text index under random operations, refused ones, shared commits, rebuilds and restarts among them.

After every operation it is compared with what the records say, also while it is being built.
"""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.engine.driver import opened, wait_until
from tests.engine.test_owner_usage_random import COLLECTIONS, STEPS, TENANTS, Walk
from vdb.engine import jobs
from vdb.protocol.requests import PayloadChange, TextIndex, UpdateCollection, UpdatePayload
from vdb.rag.analysis import analyser_of
from vdb.storage.catalog import iterate_prefix
from vdb.storage.check import check_directory
from vdb.storage.check_text import TextCheck
from vdb.storage.codec import decode_record
from vdb.storage.env import Transaction
from vdb.storage.keyspace import Space, pair_of
from vdb.storage.text_index import read_text_index
from vdb.types import IndexState

WORDS = ("cat", "dog", "bird", "tree", "house")
TEXTS = (TextIndex(fields={"text": 1, "title": 3}, language="none"), TextIndex(language="english"), None)


def faults(txn: Transaction) -> list[str]:
    check = TextCheck(txn, analyser_of)
    for key, value in iterate_prefix(txn, bytes((Space.RECORD,))):
        check.see(*pair_of(key), decode_record(value))
    return list(check.faults())


class TextWalk(Walk):
    """Random operations on points with texts; now and then the index becomes another one."""

    n_building = n_ready = 0

    def furnish(self) -> None:
        for name in COLLECTIONS:
            self.driver.create(name, text=TEXTS[0])
        for tenant in TENANTS:
            self.make_tenant(tenant)

    def payload(self) -> dict[str, Any]:
        texts = [" ".join(self.rng.choices(WORDS, k=self.rng.randint(0, 6))) for _ in range(2)]
        return self.rng.choice(({"n": 1, "text": texts[0]}, {"text": texts, "n": 2}, {"title": texts[1]}, {}))

    def upsert(self) -> "Future[Any]":
        rng, ids = self.rng, self.some()
        columns: dict[str, Any] = {"payloads": [self.payload() for _ in ids]}
        if rng.random() < 0.5:
            columns["shared_with"] = [rng.choice(([], ["globex"], ["*"], ["acme", "*"])) for _ in ids]
        if rng.random() < 0.2:
            columns["if_absent"] = [rng.random() < 0.5 for _ in ids]
        tenant, name = self.place()
        future: Future[Any] = self.driver.queue_upsert(tenant, name, ids, None, **columns)
        return future

    def update(self) -> "Future[Any]":
        patches = [
            msgspec.Raw(msgspec.json.encode(self.rng.choice(({"text": None}, self.payload())))) for _ in range(4)
        ]
        points = [PayloadChange(id=i, payload=patch) for i, patch in zip(self.some(), patches, strict=False)]
        return self._queued("update_payload", UpdatePayload(points=points, mode=self.rng.choice(("merge", "replace"))))

    def rename(self) -> None:
        """In its place: the index becomes another one, by a job that runs beside what follows."""
        name = self.names[self.rng.choice(COLLECTIONS)]
        self.driver.run("update_collection", None, (name,), UpdateCollection(text=self.rng.choice(TEXTS)))

    def compare(self) -> None:
        super().compare()
        for shard in self.driver.engine.services.each_shard():
            with shard.env.read() as txn:
                assert faults(txn) == []
                index = read_text_index(txn)
                self.n_ready += index is not None and index.state is IndexState.READY
                self.n_building += index is not None and index.state is not IndexState.READY

    def settle(self) -> None:
        """Let the jobs end, however slow the machine is, and compare what they made."""
        wait_until(lambda: all(self._is_settled(shard) for shard in self.driver.engine.services.each_shard()))
        self.compare()

    def _is_settled(self, shard: Any) -> bool:
        with shard.env.read() as txn:
            index = read_text_index(txn)
            return index is None or index.state is IndexState.READY


@pytest.mark.parametrize("seed", range(4))
def test_the_text_index_is_what_the_records_say_after_every_operation(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    step: Callable[..., Any] = jobs._STEPS[jobs.INDEX_FIELDS]
    walk = TextWalk(tmp_path / "data", seed)

    def slow(*given: Any) -> Any:
        return step(*given) if walk.rng.random() < 0.5 else given[1]

    monkeypatch.setattr(jobs, "STEP_POINTS", 8)
    monkeypatch.setattr(jobs, "WAIT_S", 0.005)
    monkeypatch.setitem(jobs._STEPS, jobs.INDEX_FIELDS, slow)
    for life in range(3):
        with opened(walk.path) as driver:
            walk.begin(driver)
            if not life:
                walk.furnish()
            for _ in range(STEPS // 3):
                walk.step()
        assert check_directory(walk.path, analyser_of) == []
    assert walk.n_refused > 5 and walk.n_ready > 20
