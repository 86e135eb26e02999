"""Embedders over HTTP: what is asked, and every way in which an answer may not be what it should."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from tests.rag.model_server import DIMENSION, ModelServer, Request, Say, Script, embeddings, serving, vector_of
from vdb.errors import InvalidArgument, ModelMismatch, ModelUnavailable, VdbError
from vdb.rag.connection import address_of
from vdb.rag.embed.base import EmbedderOptions
from vdb.rag.embed.openai import OpenAIEmbedder
from vdb.rag.endpoint import Endpoint, Patience


@contextmanager
def embedding(
    script: Script = lambda request, _: Say(embeddings(request)), options: Any = None, **more: Any
) -> Iterator[tuple[OpenAIEmbedder, ModelServer]]:
    with serving(script) as server:
        endpoint = Endpoint("model 'mini'", address_of(server.url, "url"), Patience(n_retries=0))
        given = {"model": "mini-v2", "version": "2", "dimension": DIMENSION} | (options or {})
        embedder = OpenAIEmbedder("mini", EmbedderOptions(**given), endpoint, **more)
        try:
            yield embedder, server
        finally:
            embedder.close()


def expected(*texts: str) -> list[list[float]]:
    return [vector_of(text) for text in texts]


@pytest.mark.parametrize("encoding_format", ["float", "base64"])
def test_vectors_come_in_the_order_of_their_texts(encoding_format: str) -> None:
    with embedding(encoding_format=encoding_format) as (embedder, server):
        rows = embedder.embed_documents(["one", "three", ""], DIMENSION)
        assert rows.dtype == np.float32 and rows.tolist() == expected("one", "three", "")
        assert server.asked[0].body == {
            "model": "mini-v2", "input": ["one", "three", ""], "encoding_format": encoding_format,
        }  # fmt: skip


def test_the_two_sides_may_differ_in_model_and_prefix() -> None:
    options = {"query_model": "mini-q", "query_prefix": "query: ", "document_prefix": "passage: "}
    with embedding(options=options, send_dimension=True) as (embedder, server):
        assert embedder.embed_queries(["a"], DIMENSION).tolist() == expected("query: a")
        assert embedder.embed_documents(["a"], DIMENSION).tolist() == expected("passage: a")
        assert [request.body["model"] for request in server.asked] == ["mini-q", "mini-v2"]
        assert server.asked[0].body["dimensions"] == DIMENSION


def test_many_texts_go_in_batches() -> None:
    texts = [f"text {i}" for i in range(10)]
    with embedding(options={"batch": 3}) as (embedder, server):
        assert embedder.embed_documents(texts, DIMENSION).tolist() == expected(*texts)
        assert sorted(len(request.body["input"]) for request in server.asked) == [1, 3, 3, 3]
        assert embedder.embed_documents([], DIMENSION).shape == (0, DIMENSION)
        assert len(server.asked) == 4


def test_a_batch_that_fails_fails_the_call() -> None:
    def script(request: Request, number: int) -> Say:
        return Say({}, 500) if "text 4" in request.body["input"] else Say(embeddings(request))

    with embedding(script, {"batch": 2}) as (embedder, _), pytest.raises(ModelUnavailable, match="answered 500"):
        embedder.embed_documents([f"text {i}" for i in range(10)], DIMENSION)


ONE = [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (b"not json", ModelUnavailable, "holds no embeddings"),
        (b'{"data":[{"index":0,"embedding":"\xff"}]}', ModelUnavailable, "holds no embeddings"),
        (b"[" * 100_000, ModelUnavailable, "holds no embeddings"),
        (b'{"data":[{"index":0,"embedding":[NaN,1,1,1]}]}', ModelUnavailable, "holds no embeddings"),
        ({"vectors": []}, ModelUnavailable, "holds no embeddings"),
        ({"data": []}, ModelUnavailable, "0 vectors for 2 texts"),
        ({"data": [{"embedding": ONE}]}, ModelUnavailable, "1 vectors for 2 texts"),
        ({"data": [{"embedding": ONE, "index": 1}] * 2}, ModelUnavailable, "does not number"),
        ({"data": [{"embedding": ONE, "index": i} for i in (1, 2)]}, ModelUnavailable, "does not number"),
        ({"data": [{"embedding": ONE}, {"embedding": [1.0]}]}, ModelMismatch, "of 1 components, not the 4"),
        ({"data": [{"embedding": []}] * 2}, ModelMismatch, "of 0 components"),
        ({"data": [{"embedding": [ONE, ONE]}] * 2}, ModelMismatch, "a vector per token"),
        ({"data": [{"embedding": [[ONE]]}] * 2}, ModelUnavailable, "no vector of numbers"),
        ({"data": [{"embedding": [1.0, 2.0, 3.0, 1e39]}] * 2}, ModelUnavailable, "not finite"),
        ({"data": [{"embedding": [1.0, "2", 3.0, 4.0]}] * 2}, ModelUnavailable, "no vector of numbers"),
        ({"data": [{"embedding": [1.0, None, 3.0, 4.0]}] * 2}, ModelUnavailable, "no vector of numbers"),
        ({"data": [{"embedding": [True] * 4}] * 2}, ModelUnavailable, "no vector of numbers"),
        ({"data": [{"embedding": None}] * 2}, ModelUnavailable, "no vector of numbers"),
        ({"data": [{"embedding": "%%%"}] * 2}, ModelUnavailable, "no vector of numbers"),
        ({"data": [{"embedding": "AAA="}] * 2}, ModelUnavailable, "no vector of numbers"),
        ({"data": [{"embedding": "AAAAAA=="}] * 2}, ModelMismatch, "of 1 components"),
        ({"data": [{"embedding": {"values": ONE}}] * 2}, ModelUnavailable, "no vector of numbers"),
    ],
)
def test_an_answer_that_is_not_what_was_asked_for_is_an_error(answer: Any, error: type[VdbError], said: str) -> None:
    with embedding(lambda *_: Say(answer)) as (embedder, _), pytest.raises(error, match=said) as caught:
        embedder.embed_queries(["secret one", "secret two"], DIMENSION)
    assert "model 'mini'" in caught.value.detail and "secret" not in caught.value.detail


@pytest.mark.parametrize("wrap", [lambda row: [row], lambda row: [int(value) for value in row]])
def test_a_list_of_one_is_its_vector_and_integers_are_numbers(wrap: Any) -> None:
    rows = [wrap(row) for row in (ONE, ONE)]
    with embedding(lambda request, _: Say(embeddings(request, rows))) as (embedder, _):
        assert embedder.embed_queries(["a", "b"], DIMENSION).tolist() == [ONE, ONE]


def test_vectors_without_an_index_stand_in_order() -> None:
    data = [{"embedding": ONE}, {"embedding": ONE[::-1]}]
    with embedding(lambda *_: Say({"data": data})) as (embedder, _):
        assert embedder.embed_queries(["a", "b"], DIMENSION).tolist() == [ONE, ONE[::-1]]


def test_another_model_that_answers_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.WARNING),
        embedding(lambda request, _: Say(embeddings(request, model="other\n"))) as (embedder, _),
    ):
        for _ in range(3):
            embedder.embed_queries(["a"], DIMENSION)
    assert [record.getMessage() for record in caplog.records] == [
        "model 'mini': 'mini-v2' was asked for, 'other\\n' answers"
    ]


@pytest.mark.parametrize("named", ["mini-v2", "owner/Mini-V2", "mini-v2-2026-01-01", "mini-v2:latest", "mini", 5, None])
def test_a_name_with_more_or_less_to_it_is_the_same_model(named: Any, caplog: pytest.LogCaptureFixture) -> None:
    with embedding(lambda request, _: Say(embeddings(request, model=named))) as (embedder, _):
        embedder.embed_queries(["a"], DIMENSION)
    assert not caplog.records


def test_another_dimension_is_refused_before_anything_is_asked() -> None:
    with embedding() as (embedder, server):
        with pytest.raises(ModelMismatch, match="makes vectors of 4 components"):
            embedder.embed_queries(["a"], DIMENSION + 1)
        assert not server.asked


def test_a_text_that_is_not_unicode_is_refused() -> None:
    with embedding() as (embedder, server):
        with pytest.raises(InvalidArgument):
            embedder.embed_queries(["\ud800"], DIMENSION)
        assert not server.asked


def test_a_closed_embedder_asks_nobody() -> None:
    with embedding(options={"batch": 1}) as (embedder, server):
        embedder.close()
        for texts in (["a"], ["a", "b"]):
            with pytest.raises(ModelUnavailable):
                embedder.embed_queries(texts, DIMENSION)
        assert not server.asked


def test_texts_and_keys_stay_out_of_logs(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), serving(lambda *_: Say({"error": "secret text"}, 500)) as server:
        endpoint = Endpoint("model 'm'", address_of(server.url, "url"), Patience(n_retries=0), "secret-key")
        embedder = OpenAIEmbedder("m", EmbedderOptions("m", "1", DIMENSION), endpoint)
        with pytest.raises(ModelUnavailable) as caught:
            embedder.embed_queries(["secret text"], DIMENSION)
        embedder.close()
    assert "secret" not in caplog.text + str(caught.value) + json.dumps(caught.value.detail)
