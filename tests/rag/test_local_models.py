"""Embedders in process, with libraries that stand in for the real ones."""

import sys
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vdb.errors import ModelMismatch, ModelUnavailable
from vdb.rag.embed.base import EmbedderOptions
from vdb.rag.embed.local import PAUSE_S, LocalEmbedder

LOADED: list[str] = []
ASKED: list[tuple[str, list[str]]] = []


def rows_of(texts: Sequence[str]) -> list[list[float]]:
    return [[float(len(text)), 1.0, 0.0] for text in texts]


class SentenceTransformer:
    def __init__(self, model: str, trust_remote_code: bool) -> None:
        assert not trust_remote_code, "code that comes with a model is not run"
        if model == "absent":
            raise OSError("no such model, /secret/path")
        LOADED.append(model)

    def encode(self, texts: list[str], batch_size: int, show_progress_bar: bool, convert_to_numpy: bool) -> Any:
        assert convert_to_numpy and not show_progress_bar and batch_size == 64
        ASKED.append(("encode", texts))
        return np.array(rows_of(texts), np.float16)


class NewSentenceTransformer(SentenceTransformer):
    """Later releases know the two sides."""

    def encode_query(self, texts: list[str], **given: Any) -> Any:
        rows = self.encode(texts, **given)
        ASKED[-1] = ("query", texts)
        return rows

    def encode_document(self, texts: list[str], **given: Any) -> Any:
        rows = self.encode(texts, **given)
        ASKED[-1] = ("document", texts)
        return rows


class TextEmbedding:
    def __init__(self, model_name: str) -> None:
        LOADED.append(model_name)

    def query_embed(self, texts: list[str], batch_size: int) -> Iterator[Any]:
        ASKED.append(("query", texts))
        return (np.array(row) for row in rows_of(texts))

    def passage_embed(self, texts: list[str], batch_size: int) -> Iterator[Any]:
        ASKED.append(("document", texts))
        return (np.array(row) for row in rows_of(texts))


@pytest.fixture(autouse=True)
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    LOADED.clear()
    ASKED.clear()
    stub = SimpleNamespace(SentenceTransformer=NewSentenceTransformer)
    monkeypatch.setitem(sys.modules, "sentence_transformers", stub)
    monkeypatch.setitem(sys.modules, "fastembed", SimpleNamespace(TextEmbedding=TextEmbedding))


def made(kind: str = "sentence-transformers", **given: Any) -> LocalEmbedder:
    return LocalEmbedder("mini", kind, EmbedderOptions("m", "1", 3, **given))


@pytest.mark.parametrize("kind", ["sentence-transformers", "fastembed"])
def test_a_model_is_loaded_once_at_its_first_call(kind: str) -> None:
    embedder = made(kind, query_prefix="q: ")
    assert not LOADED and not embedder.is_quick
    rows = embedder.embed_documents(["one", "three"], 3)
    assert rows.dtype == np.float32 and rows.tolist() == rows_of(["one", "three"])
    assert embedder.embed_queries(["one"], 3).tolist() == rows_of(["q: one"])
    assert embedder.embed_queries([], 3).shape == (0, 3)
    assert LOADED == ["m"]
    assert ASKED == [("document", ["one", "three"]), ("query", ["q: one"])]


def test_a_library_that_knows_one_side_only_is_asked_the_same_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = SimpleNamespace(SentenceTransformer=SentenceTransformer)
    monkeypatch.setitem(sys.modules, "sentence_transformers", stub)
    embedder = made(document_prefix="d: ")
    embedder.embed_documents(["a"], 3)
    embedder.embed_queries(["a"], 3)
    assert ASKED == [("encode", ["d: a"]), ("encode", ["a"])]


def test_another_model_may_embed_what_is_asked() -> None:
    embedder = made(query_model="m-query")
    embedder.embed_documents(["a"], 3)
    embedder.embed_queries(["a"], 3)
    assert LOADED == ["m", "m-query"]


def test_a_closed_embedder_loads_nothing_more() -> None:
    embedder = made()
    embedder.close()
    with pytest.raises(ModelUnavailable, match="not asked any more"):
        embedder.embed_queries(["a"], 3)
    assert not LOADED


@pytest.mark.parametrize("kind", ["sentence-transformers", "fastembed"])
def test_a_missing_extra_is_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, kind.replace("-", "_"), None)
    with pytest.raises(ModelUnavailable, match=rf"pip install 'vdb\[{kind}\]'"):
        made(kind).embed_queries(["a"], 3)


def test_a_model_that_cannot_be_loaded_is_not_tried_again_at_once() -> None:
    now = [50.0]
    options = EmbedderOptions("absent", "1", 3)
    embedder = LocalEmbedder("mini", "sentence-transformers", options, clock=lambda: now[0])
    with pytest.raises(ModelUnavailable, match=r"could not be loaded: OSError$"):
        embedder.embed_queries(["a"], 3)
    with pytest.raises(ModelUnavailable, match=r"could not be loaded$") as caught:
        embedder.embed_queries(["a"], 3)
    assert caught.value.retry_after_s == PAUSE_S
    now[0] += PAUSE_S
    with pytest.raises(ModelUnavailable, match="OSError"):
        embedder.embed_queries(["a"], 3)


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (lambda texts: np.zeros((1, 3)), ModelUnavailable, "1 vectors for 2 texts"),
        (lambda texts: np.zeros(2), ModelUnavailable, "2 vectors for 2 texts"),
        (lambda texts: np.zeros((2, 5)), ModelMismatch, "of 5 components, not the 3"),
        (lambda texts: np.full((2, 3), np.nan), ModelUnavailable, "not finite"),
        (lambda texts: [["a"], "b"], ModelUnavailable, "failed: ValueError"),
        (lambda texts: 1 / 0, ModelUnavailable, "failed: ZeroDivisionError"),
    ],
)
def test_what_a_model_makes_is_checked(
    answer: Any, error: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NewSentenceTransformer, "encode_query", lambda self, texts, **given: answer(texts))
    with pytest.raises(error, match=said):
        made().embed_queries(["a", "b"], 3)


def test_another_dimension_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(ModelMismatch):
        made().embed_queries(["a"], 4)
    assert not LOADED
