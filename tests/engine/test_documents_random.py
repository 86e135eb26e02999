"""Random puts, deletes and changes of single chunks by two tenants: documents are what was put last, each tenant's."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.engine.driver import Driver, opened
from vdb.protocol.document_requests import (
    DeleteDocuments,
    GetDocuments,
    GivenChunk,
    ListDocuments,
    PutDocument,
    PutDocuments,
)
from vdb.protocol.requests import EmbeddingModel, PayloadChange, TextIndex, UpdatePayload
from vdb.storage.check import check_directory
from vdb.types import Metric

DIMENSION, N_STEPS = 32, 120
NAMES = ("a", "a#1", "b", "c/d")
WORDS = ("parcel", "label", "refund", "week", "desk", "order", "form")
TENANTS = ("acme", "globex")

State = dict[tuple[str, str], list[str | None]]
"""(tenant, document) → texts of its chunks; None for one that was deleted by itself."""


class World:
    """An engine, and what it is to hold."""

    def __init__(self, driver: Driver, rng: np.random.Generator) -> None:
        self.driver, self.rng = driver, rng
        self.state: State = {}

    def step(self) -> None:
        tenant, name = str(self.rng.choice(TENANTS)), str(self.rng.choice(NAMES))
        acts = (self.put, self.put, self.put, self.delete, self.delete_chunk, self.change_chunk)
        acts[self.rng.integers(len(acts))](tenant, name)

    def put(self, tenant: str, name: str) -> None:
        texts = [" ".join(self.rng.choice(WORDS, 3)) for _ in range(self.rng.integers(1, 6))]
        before = self.state.get((tenant, name))
        if before and self.rng.random() < 0.5:  # much of it stays, somewhere else
            texts = [text for text in before if text is not None][1:] + texts[:1]
        document = PutDocument(id=name, chunks=[GivenChunk(text=text) for text in texts])
        (result,) = self.run("put_documents", tenant, PutDocuments(documents=[document])).documents
        is_there = before is not None and any(text is not None for text in before)
        expected = {"unchanged"} if before == texts else {"updated"} if is_there else {"created"}
        assert result.status in expected | ({"updated"} if before == texts else set()), (result, before, texts)
        assert result.n_chunks == len(texts)
        self.state[tenant, name] = list(texts)

    def delete(self, tenant: str, name: str) -> None:
        before = [text for text in self.state.pop((tenant, name), []) if text is not None]
        if self.driver.engine.services.tenant_id(tenant) is None:
            return
        answer = self.run("delete_documents", tenant, DeleteDocuments(ids=[name]))
        assert (answer.deleted, answer.n_chunks) == (bool(before), len(before))

    def delete_chunk(self, tenant: str, name: str) -> None:
        texts = self.state.get((tenant, name))
        if texts:
            number = int(self.rng.integers(len(texts)))
            self.driver.delete(tenant, "docs", [f"{name}#{number}"])
            texts[number] = None
            if all(text is None for text in texts):
                del self.state[tenant, name]

    def change_chunk(self, tenant: str, name: str) -> None:
        texts = self.state.get((tenant, name))
        number = 0 if texts is None else int(self.rng.integers(len(texts)))
        if texts and texts[number] is not None:
            change = PayloadChange(id=f"{name}#{number}", payload=msgspec.Raw(b'{"seen":true}'))
            self.run("update_payload", tenant, UpdatePayload(points=[change]))

    def run(self, operation: str, tenant: str, request: Any) -> Any:
        return self.driver.run(operation, tenant, ("docs",), request)

    def check(self) -> None:
        for tenant in TENANTS:
            if self.driver.engine.services.tenant_id(tenant) is None:
                continue
            mine = {name: texts for (owner, name), texts in self.state.items() if owner == tenant}
            assert self.driver.count(tenant, "docs") == sum(t is not None for texts in mine.values() for t in texts)
            listed = [d.id for d in self.run("list_documents", tenant, ListDocuments()).documents]
            assert listed == sorted(name for name, texts in mine.items() if texts[0] is not None)
            found = self.run("get_documents", tenant, GetDocuments(ids=list(NAMES), with_chunks=True)).documents
            assert {d.id: {c.chunk: c.text for c in d.chunks} for d in found} == {
                name: {number: text for number, text in enumerate(texts) if text is not None}
                for name, texts in mine.items()
            }


@pytest.mark.parametrize("seed", range(4))
def test_documents_are_what_was_put_last(tmp_path: Path, seed: int) -> None:
    with opened(tmp_path / "data") as driver:
        model = EmbeddingModel(model="lexical", version="1")
        driver.create("docs", DIMENSION, Metric.COSINE, embedding=model, text=TextIndex())
        world = World(driver, np.random.default_rng(seed))
        for step in range(N_STEPS):
            world.step()
            if step % 10 == 0:
                world.check()
        world.check()
    assert list(check_directory(tmp_path / "data")) == []
