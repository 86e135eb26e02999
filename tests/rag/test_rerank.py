"""Rerankers over HTTP in each shape, and maximal marginal relevance."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rag.model_server import ModelServer, Say, Script, serving
from vdb.errors import InvalidArgument, ModelUnavailable
from vdb.rag.connection import address_of
from vdb.rag.endpoint import Endpoint, Patience
from vdb.rag.rerank.http import HttpReranker
from vdb.rag.rerank.mmr import mmr

TEXTS = ["first", "second", "third"]


@contextmanager
def ranking(script: Script, shape: str = "cohere") -> Iterator[tuple[HttpReranker, ModelServer]]:
    with serving(script) as server:
        endpoint = Endpoint("reranker 'r'", address_of(server.url, "url"), Patience(n_retries=0))
        reranker = HttpReranker("r", "rank-1", shape, endpoint)
        try:
            yield reranker, server
        finally:
            reranker.close()


def results(*scores: tuple[int, float]) -> dict[str, Any]:
    return {"id": "x", "results": [{"index": i, "relevance_score": s, "document": {"text": "t"}} for i, s in scores]}


@pytest.mark.parametrize(
    ("shape", "asked"),
    [
        ("cohere", {"model": "rank-1", "query": "q", "documents": TEXTS, "top_n": 3}),
        ("vllm", {"model": "rank-1", "query": "q", "documents": TEXTS, "top_n": 3}),
        ("jina", {"model": "rank-1", "query": "q", "documents": TEXTS, "top_n": 3, "return_documents": False}),
        ("tei", {"query": "q", "texts": TEXTS, "raw_scores": False}),
    ],
)
@pytest.mark.parametrize(
    "answer",
    [
        results((2, 0.9), (0, 0.5), (1, -1)),
        {"data": [{"index": i, "relevance_score": s} for i, s in ((2, 0.9), (0, 0.5), (1, -1))]},
        [{"index": i, "score": s} for i, s in ((2, 0.9), (0, 0.5), (1, -1))],
    ],
)
def test_each_shape_is_asked_in_its_way_and_any_answer_understood(shape: str, asked: Any, answer: Any) -> None:
    with ranking(lambda *_: Say(answer), shape) as (reranker, server):
        assert reranker.rerank("q", TEXTS).tolist() == [0.5, -1.0, 0.9]
        assert server.asked[0].body == asked


def test_texts_that_the_model_left_out_come_last() -> None:
    with ranking(lambda *_: Say(results((1, 0.25)))) as (reranker, _):
        assert reranker.rerank("q", TEXTS).tolist() == [-0.75, 0.25, -0.75]


def test_no_texts_are_not_asked_about() -> None:
    with ranking(lambda *_: Say({})) as (reranker, server):
        assert reranker.rerank("q", []).shape == (0,)
        assert not server.asked


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"no json", "holds no scores"),
        (b'{"results":[{"\xff":0}]}', "holds no scores"),
        ({"results": [{"index": "0"}]}, "holds no scores"),
        ({"results": [{"index": 0}]}, "without a score"),
        ({}, "no results"),
        ([], "no results"),
        (results((3, 1.0)), "does not number"),
        (results((-1, 1.0)), "does not number"),
        (results((0, 1.0), (0, 2.0)), "does not number"),
        (b'{"results":[{"index":0,"relevance_score":1e999}]}', "holds no scores|without a score"),
    ],
)
def test_an_answer_that_ranks_nothing_is_an_error(answer: Any, said: str) -> None:
    with ranking(lambda *_: Say(answer)) as (reranker, _), pytest.raises(ModelUnavailable, match=said):
        reranker.rerank("q", TEXTS)


def test_faults_of_the_server_and_of_texts_are_told_apart() -> None:
    with ranking(lambda *_: Say({}, 503)) as (reranker, _), pytest.raises(ModelUnavailable, match="reranker 'r'"):
        reranker.rerank("q", TEXTS)
    with ranking(lambda *_: Say({}, 422)) as (reranker, _), pytest.raises(InvalidArgument, match="reranker 'r'"):
        reranker.rerank("q", TEXTS)
    with ranking(lambda *_: Say({})) as (reranker, _), pytest.raises(InvalidArgument):
        reranker.rerank("\ud800", TEXTS)


def plain_mmr(relevance: list[float], vectors: Any, k: int, diversity: float) -> list[int]:
    """As the paper has it, one candidate at a time."""
    least, most = min(relevance), max(relevance)
    wanted = [(value - least) / (most - least) if most > least else 1.0 for value in relevance]
    order: list[int] = []
    while len(order) < min(k, len(relevance)):
        left = [i for i in range(len(relevance)) if i not in order]
        scores = {
            i: (1 - diversity) * wanted[i]
            - (diversity * max(float(vectors[i] @ vectors[j]) for j in order) if order else 0)
            for i in left
        }
        order.append(max(left, key=lambda i: (scores[i], -i)))
    return order


@given(st.integers(1, 12), st.integers(0, 14), st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.integers(0, 2**32))
def test_mmr_is_what_the_paper_says(n: int, k: int, diversity: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = np.eye(5, dtype=np.float32)[rng.integers(0, 5, n)]
    relevance = rng.integers(-8, 8, n) / 4.0
    assert mmr(relevance, vectors, k, diversity).tolist() == plain_mmr(relevance.tolist(), vectors, k, diversity)


def test_mmr_puts_another_topic_before_a_repetition() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    relevance = np.array([3.0, 2.9, 1.0])
    assert mmr(relevance, vectors, 3, 0.0).tolist() == [0, 1, 2]
    assert mmr(relevance, vectors, 3, 0.7).tolist() == [0, 2, 1]


def test_mmr_of_nothing_and_of_huge_scores() -> None:
    assert mmr(np.empty(0), np.empty((0, 3), np.float32), 5, 0.5).shape == (0,)
    huge = np.array([-1.7e308, 1.7e308])
    assert mmr(huge, np.zeros((2, 3), np.float32), 2, 0.5).tolist() == [1, 0]
