"""Documents: one write each, beside others who change the same points; quotas, grants, models that fail."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.engine.driver import Driver, opened
from vdb.config import Limits
from vdb.engine import document_puts
from vdb.engine.document_chunks import Work, batch_of
from vdb.errors import InvalidArgument, InvalidId, ModelUnavailable, QuotaExceeded, ShuttingDown, VersionConflict
from vdb.protocol.document_requests import (
    Chunking,
    DeleteDocuments,
    GetDocuments,
    GivenChunk,
    ListDocuments,
    PutDocument,
    PutDocuments,
)
from vdb.protocol.requests import EmbeddingModel, PayloadChange, UpdatePayload
from vdb.types import Metric

DIMENSION = 32
LEXICAL = EmbeddingModel(model="lexical", version="1")


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with opened(tmp_path / "data") as made:
        made.create("docs", DIMENSION, Metric.COSINE, embedding=LEXICAL)
        yield made


def sections(*words: str) -> str:
    """A text with one chunk for each word, if chunks have two words at most."""
    return "\n\n".join(f"{word} stands." for word in words)


def put(driver: Driver, *documents: tuple[str, str], tenant: str = "acme", **given: Any) -> list[Any]:
    shaped = [PutDocument(id=name, text=text, **given) for name, text in documents]
    request = PutDocuments(documents=shaped, chunking=Chunking(size=2))
    return list(driver.run("put_documents", tenant, ("docs",), request).documents)


def said(results: Sequence[Any]) -> list[str]:
    return [result.error.code if result.error else result.status for result in results]


def texts(driver: Driver, document: str = "d", tenant: str = "acme") -> list[str]:
    request = GetDocuments(ids=[document], with_chunks=True)
    found = driver.run("get_documents", tenant, ("docs",), request).documents
    return [chunk.text.split()[0] for chunk in found[0].chunks] if found else []


def listed(driver: Driver) -> list[tuple[str, int, int]]:
    page = driver.run("list_documents", "acme", ("docs",), ListDocuments())
    return [(document.id, document.n_chunks, document.n_stored) for document in page.documents]


def test_a_document_is_one_write_and_a_request_few_commits(driver: Driver) -> None:
    collection = driver.engine.services.usable(driver.caller(None), "docs")
    with driver.engine.services.shards.use(collection) as shard:
        before = shard.queue.n_commits
        results = put(driver, *((f"d{i}", sections("One", "Two")) for i in range(50)))
        assert said(results) == ["created"] * 50
        assert shard.queue.n_commits - before < 10
    versions = {p.id: p.version for p in driver.get("acme", "docs", [f"d{i}#{n}" for i in range(50) for n in (0, 1)])}
    assert all(versions[f"d{i}#0"] == versions[f"d{i}#1"] for i in range(50))
    assert len(set(versions.values())) == 50


def test_a_shorter_document_loses_its_end_and_keeps_what_is_the_same(driver: Driver) -> None:
    put(driver, ("d", sections("One", "Two", "Three", "Four")))
    before = {point.id: point.version for point in driver.get("acme", "docs", ["d#0", "d#1"])}
    (result,) = put(driver, ("d", sections("One", "Two")))
    assert (result.status, result.n_chunks, result.n_embedded) == ("updated", 2, 0)
    after = {point.id: point.version for point in driver.get("acme", "docs", ["d#0", "d#1"])}
    assert after["d#1"] == before["d#1"] and after["d#0"] > before["d#0"]
    assert sorted(driver.ids("acme", "docs")) == ["d#0", "d#1"]


def test_a_deleted_chunk_is_missed_and_put_back(driver: Driver) -> None:
    text = sections("One", "Two", "Three")
    put(driver, ("d", text))
    driver.delete("acme", "docs", ["d#1"])
    assert (texts(driver), listed(driver)) == (["One", "Three"], [("d", 3, 2)])
    assert said(put(driver, ("d", text))) == ["updated"]
    assert (texts(driver), said(put(driver, ("d", text)))) == (["One", "Two", "Three"], ["unchanged"])
    driver.delete("acme", "docs", ["d#0"])
    assert (texts(driver), listed(driver)) == (["Two", "Three"], [])
    assert said(put(driver, ("d", text))) == ["updated"] and listed(driver) == [("d", 3, 3)]
    driver.delete("acme", "docs", ["d#0"])
    answer = driver.run("delete_documents", "acme", ("docs",), DeleteDocuments(ids=["d"]))
    assert (answer.deleted, answer.n_chunks, driver.count("acme", "docs")) == (1, 2, 0)


@pytest.mark.parametrize("mode", ["merge", "replace"])
@pytest.mark.parametrize("payload", [{"tag": 1}, {"n_chunks": "two", "heading": [1], "start": None, "hash": 5}])
def test_a_changed_payload_breaks_nothing(driver: Driver, mode: Any, payload: dict[str, Any]) -> None:
    text = sections("One", "Two")
    put(driver, ("d", text))
    for chunk in ("d#0", "d#1"):
        change = PayloadChange(id=chunk, payload=msgspec.Raw(msgspec.json.encode(payload)))
        driver.run("update_payload", "acme", ("docs",), UpdatePayload(points=[change], mode=mode))
    assert [name for name, _, _ in listed(driver)] == ["d"]
    assert len(texts_or_nothing(driver)) == 2
    is_merged = mode == "merge" and "tag" in payload
    assert said(put(driver, ("d", text))) == ["unchanged" if is_merged else "updated"]
    put(driver, ("d", sections("One", "Three")))
    assert texts(driver) == ["One", "Three"]
    assert all("tag" not in bytes(point.payload).decode() for point in driver.get("acme", "docs", ["d#0", "d#1"]))


def texts_or_nothing(driver: Driver) -> list[str]:
    request = GetDocuments(ids=["d"], with_chunks=True)
    return [chunk.text for chunk in driver.run("get_documents", "acme", ("docs",), request).documents[0].chunks]


def test_a_point_with_a_chunks_id_belongs_to_the_document(driver: Driver) -> None:
    vector = np.ones((1, DIMENSION))
    driver.upsert("acme", "docs", ["d#5"], vector)
    driver.upsert("acme", "docs", ["d#05"], vector)
    driver.upsert("acme", "docs", ["d#5#0"], vector)
    assert listed(driver) == [("d#5", 1, 1)]
    assert said(put(driver, ("d", sections("One")))) == ["updated"]
    assert sorted(driver.ids("acme", "docs")) == ["d#0", "d#05", "d#5#0"]


def test_a_quota_refuses_the_document_that_is_too_much(driver: Driver) -> None:
    driver.create_tenant("small", points=3)
    results = put(driver, ("a", sections("One", "Two")), ("b", sections("x", "y")), ("c", "z here."), tenant="small")
    assert said(results) == ["created", QuotaExceeded.code, "created"]
    assert sorted(driver.ids("small", "docs")) == ["a#0", "a#1", "c#0"]
    assert said(put(driver, ("a", sections("Five", "Six")), tenant="small")) == ["updated"]
    assert said(put(driver, ("a", sections("Five", "Six", "Seven")), tenant="small")) == [QuotaExceeded.code]
    assert texts(driver, "a", "small") == ["Five", "Six"]


def test_a_document_beyond_the_queue_is_refused_alone(tmp_path: Path) -> None:
    limits = replace(Limits(), max_queued_bytes=20_000)
    with opened(tmp_path / "data", limits=limits) as driver:
        driver.create("docs", DIMENSION, Metric.COSINE, embedding=LEXICAL)
        large = sections(*(f"Word{i}" for i in range(200)))
        assert said(put(driver, ("a", "Text."), ("b", large), ("c", "Text."))) == ["created", "too_large", "created"]


def test_a_large_document_is_refused_alone_and_told_the_limit(tmp_path: Path) -> None:
    limits = replace(Limits(), max_document_bytes=100, max_chunks_per_document=3)
    with opened(tmp_path / "data", limits=limits) as driver:
        driver.create("docs", DIMENSION, Metric.COSINE)
        many = PutDocument(id="many", chunks=[GivenChunk(text="Part.")] * 4)
        long = PutDocument(id="long", chunks=[GivenChunk(text="x" * 60)] * 2)
        given = [PutDocument(id="a", text="x" * 101), many, long, PutDocument(id="b", text=sections(*"abcd"))]
        request = PutDocuments(documents=[*given, PutDocument(id="c", text="Text.")], chunking=Chunking(size=2))
        results = driver.run("put_documents", "acme", ("docs",), request).documents
        assert said(results) == ["document_too_large"] * 4 + ["created"]
        assert [("100" in result.error.detail, "3" in result.error.detail) for result in results[:4]] == [
            (True, False), (False, True), (True, False), (False, True),
        ]  # fmt: skip
        assert driver.ids("acme", "docs") == ["c#0"]


def test_a_refused_document_makes_no_tenant(driver: Driver) -> None:
    assert said(put(driver, ("a", " "), tenant="newcomer")) == ["unreadable_document"]
    assert driver.engine.services.tenant_id("newcomer") is None
    assert said(put(driver, ("a", "Text."), tenant="newcomer")) == ["created"]


def _before_commit(monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any], times: int = 1) -> None:
    """Have `act` done between the look at what is stored and the commit, so many times."""
    left = times

    def acting(work: Work, dimension: int) -> Any:
        nonlocal left
        left -= 1
        if left >= 0:
            act()
        return batch_of(work, dimension)

    monkeypatch.setattr(document_puts, "batch_of", acting)


def test_a_revoke_between_the_look_and_the_commit_holds(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    driver.create_tenant("globex")
    put(driver, ("d", sections("One", "Two")), shared_with=["globex"])
    _before_commit(monkeypatch, lambda: driver.share("acme", "docs", ["d#0", "d#1"], ["globex"], "revoke"))
    assert said(put(driver, ("d", sections("One", "Three")))) == ["updated"]
    assert driver.ids("globex", "docs", scope="visible") == []


def test_a_document_deleted_between_the_look_and_the_commit_is_written_whole(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(driver, ("d", sections("One", "Two")))
    delete = DeleteDocuments(ids=["d"])
    _before_commit(monkeypatch, lambda: driver.run("delete_documents", "acme", ("docs",), delete))
    assert said(put(driver, ("d", sections("One", "Three")))) == ["created"]
    assert texts(driver) == ["One", "Three"] and listed(driver) == [("d", 2, 2)]


def test_two_that_put_one_document_at_once_leave_one_of_them_whole(driver: Driver) -> None:
    caller, futures = driver.caller("acme"), []
    for i in range(24):
        text = sections(*(f"T{i}n{n}" for n in range(1 + i % 5)))
        request = PutDocuments(documents=[PutDocument(id="d", text=text)], chunking=Chunking(size=2))
        futures.append(driver.engine.run("put_documents", caller, ("docs",), request))
    results = [future.result(20).documents[0] for future in futures]
    assert all(code in ("created", "updated", VersionConflict.code) for code in said(results))
    found = texts(driver)
    (writer,) = {word.split("n")[0] for word in found}
    assert len(found) == 1 + int(writer[1:]) % 5 == driver.count("acme", "docs")


def test_a_document_that_others_keep_changing_is_refused(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    put(driver, ("d", sections("One", "Two")))
    vector = np.ones((1, DIMENSION))
    _before_commit(monkeypatch, lambda: driver.upsert("acme", "docs", ["d#0"], vector), times=100)
    assert said(put(driver, ("d", sections("Three")))) == [VersionConflict.code]


class _Moody:
    """The lexical embedder, that refuses texts with a word, or is away."""

    def __init__(self, inner: Any) -> None:
        self._inner, self.is_away, self.n_calls = inner, False, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def embed_documents(self, given: Sequence[str], dimension: int) -> Any:
        self.n_calls += 1
        if self.is_away:
            raise ModelUnavailable("the model is away")
        if any("Poison" in text for text in given):
            raise InvalidArgument("the model refuses a text")
        return self._inner.embed_documents(given, dimension)


@pytest.fixture
def moody(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> _Moody:
    model = _Moody(driver.engine.services.models.embedder("lexical"))
    monkeypatch.setattr(document_puts, "embedder_of", lambda services, collection: model)
    return model


def test_a_text_that_the_model_refuses_keeps_no_other_out(driver: Driver, moody: _Moody) -> None:
    documents = [(f"d{i}", sections("Poison" if i == 3 else f"Word{i}")) for i in range(6)]
    assert said(put(driver, *documents)) == ["created"] * 3 + ["invalid_argument"] + ["created"] * 2
    assert len(driver.ids("acme", "docs")) == 5


def test_a_model_that_is_away_is_not_asked_for_every_document(driver: Driver, moody: _Moody) -> None:
    put(driver, ("old", sections("Same", "Old")))
    moody.is_away, moody.n_calls = True, 0
    documents = [(f"d{i}", sections(f"Word{i}")) for i in range(20)]
    results = put(driver, ("old", sections("Same")), *documents)
    assert said(results) == ["updated"] + ["model_unavailable"] * 20  # what is embedded already needs no model
    assert moody.n_calls == 3 and len(driver.ids("acme", "docs")) == 1


def test_a_closing_engine_stores_no_further_documents(driver: Driver) -> None:
    driver.engine.services.is_stopping.set()
    with pytest.raises(ShuttingDown):
        put(driver, ("d", "Text."))


def test_a_bug_that_one_document_meets_stays_with_it(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = driver.engine.services.extractor.parse

    def parse(data: bytes, *rest: Any) -> Any:
        if b"Bug" in data:
            raise RuntimeError(f"a bug: {data!r}")
        return real(data, *rest)

    monkeypatch.setattr(driver.engine.services.extractor, "parse", parse)
    assert said(put(driver, ("a", "Text."), ("b", "Bug."), ("c", "More."))) == ["created", "internal_error", "created"]
    assert "RuntimeError" in caplog.text and "in parse" in caplog.text and "b'Bug.'" not in caplog.text


def test_a_page_of_a_listing_is_bounded(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vdb.engine.documents.MAX_LOOKED_AT", 5)
    given = [PutDocument(id=f"d{i}", chunks=[GivenChunk(text=f"Part {n}.") for n in range(4)]) for i in range(5)]
    driver.run("put_documents", "acme", ("docs",), PutDocuments(documents=given))
    found, cursor, n_pages = [], None, 0
    while True:
        page = driver.run("list_documents", "acme", ("docs",), ListDocuments(cursor=cursor))
        found += [document.id for document in page.documents]
        cursor, n_pages = page.next_cursor, n_pages + 1
        if cursor is None:
            break
    assert found == [f"d{i}" for i in range(5)] and n_pages == 4


@pytest.mark.parametrize("cursor", ["", "!", "a", "YQ", "YQ=", "a" * 401])
def test_a_cursor_of_something_else_is_refused(driver: Driver, cursor: str) -> None:
    put(driver, ("d", "Text."))
    with pytest.raises(InvalidArgument) as caught:
        driver.run("list_documents", "acme", ("docs",), ListDocuments(cursor=cursor))
    assert caught.value.code == "invalid_cursor"


def test_lone_surrogates_are_refused_wherever_they_stand(driver: Driver) -> None:
    """In process nothing has decoded them as JSON first: they ended in a UnicodeEncodeError."""
    bad = "\ud800"
    put(driver, ("d", sections("One")))
    refused: tuple[tuple[str, Any], ...] = (
        ("get_documents", GetDocuments(ids=[bad])),
        ("delete_documents", DeleteDocuments(ids=["d", bad])),
        ("list_documents", ListDocuments(prefix=bad)),
        ("put_documents", PutDocuments(documents=[PutDocument(id=bad, text="x")])),
    )
    for name, request in refused:
        with pytest.raises((InvalidId, InvalidArgument), match="not valid Unicode"):
            driver.run(name, "acme", ("docs",), request)
    assert said(put(driver, ("e", bad), ("f", sections("Two")))) == ["invalid_argument", "created"]
    assert said(put(driver, ("e", "x"), title=bad)) == ["invalid_argument"]
    assert [name for name, _, _ in listed(driver)] == ["d", "f"]
