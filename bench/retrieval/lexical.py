"""The built-in lexical embedder beside the keyword search of `bm25s` and the vectors of all-MiniLM-L6-v2; its cost.

R@5 is the share of questions whose paragraph (SQuAD, all articles together), or whose tool (ToolE), is among the first
five. Times are CPU of one thread, one text per call, the median over the texts; bars are those of the embedder.
"""

import argparse
import gzip
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vdb.kernels as kernels
from bench.report import Figure
from bench.tenants.contender import LeftOut
from vdb.rag.embed.lexical import Lexical

DIMENSIONS = (384, 1024, 2048)
QUERY_US = 60.0
FIRST = 5


@dataclass(frozen=True, slots=True)
class Judged:
    """Questions with the documents that answer them; vectors are those of the sentence encoder."""

    name: str
    documents: Sequence[str]
    questions: Sequence[str]
    answers: Sequence[frozenset[int]]
    document_vectors: NDArray[np.float32]
    question_vectors: NDArray[np.float32]


def measure(given: argparse.Namespace) -> list[Figure]:
    """Figures of both sets; with `--quick` every tenth question."""
    if not (given.data / "squad2").is_dir():
        raise LeftOut(f"there are no texts in {given.data}")
    kernels.warm(background=False)
    step = 10 if given.quick else 1
    sets = (_squad(given.data / "squad2", step), _tools(given.data / "tools", step))
    return [figure for judged in sets for figure in (*_quality(judged), *_cost(judged))]


def _quality(judged: Judged) -> list[Figure]:
    lexical = Lexical()
    found = {
        f"lexical of {d}": lexical.embed_queries(judged.questions, d) @ lexical.embed_documents(judged.documents, d).T
        for d in DIMENSIONS
    }
    found["all-MiniLM-L6-v2"] = judged.question_vectors @ judged.document_vectors.T
    found["bm25s"] = _keyword_scores(judged)
    return [Figure(f"{judged.name} R@5, {name}", _recall(scores, judged.answers), "") for name, scores in found.items()]


def _recall(scores: NDArray[np.float32], answers: Sequence[frozenset[int]]) -> float:
    best = np.argsort(-scores, axis=1, kind="stable")[:, :FIRST]
    return float(np.mean([not answer.isdisjoint(row) for answer, row in zip(answers, best.tolist(), strict=True)]))


def _keyword_scores(judged: Judged) -> NDArray[np.float32]:
    import bm25s
    import Stemmer

    def tokens(texts: Sequence[str]) -> Any:
        return bm25s.tokenize(
            list(texts), stopwords="en", stemmer=Stemmer.Stemmer("english"), return_ids=False, show_progress=False
        )

    index = bm25s.BM25()
    index.index(tokens(judged.documents), show_progress=False)
    return np.stack([index.get_scores(one) for one in tokens(judged.questions)])


def _cost(judged: Judged) -> list[Figure]:
    lexical, d = Lexical(), DIMENSIONS[0]
    per_query = [_microseconds(lexical, text, d) for text in judged.questions[:2000]]
    per_document = [_microseconds(lexical, text, d) for text in judged.documents[:2000]]
    words = statistics.median(len(text.split()) for text in judged.documents)
    return [
        Figure(f"{judged.name}: lexical of {d}, per question", statistics.median(per_query), "us", QUERY_US),
        Figure(f"{judged.name}: the same, per document of {words:.0f} words", statistics.median(per_document), "us"),
    ]


def _microseconds(lexical: Lexical, text: str, dimension: int) -> float:
    began = time.thread_time_ns()
    lexical.embed_queries([text], dimension)
    return (time.thread_time_ns() - began) / 1000


def _squad(folder: Path, step: int) -> Judged:
    paragraphs, questions = _lines(folder / "paragraphs.jsonl.gz"), _lines(folder / "questions.jsonl.gz")[::step]
    places = {paragraph["pid"]: place for place, paragraph in enumerate(paragraphs)}
    return Judged(
        "SQuAD",
        [paragraph["text"] for paragraph in paragraphs],
        [question["question"] for question in questions],
        [frozenset((places[question["pid"]],)) for question in questions],
        _vectors(folder / "paragraph_vectors_f16.npy"),
        _vectors(folder / "question_vectors_f16.npy")[::step],
    )


def _tools(folder: Path, step: int) -> Judged:
    tools, questions = _lines(folder / "tools.jsonl.gz"), _lines(folder / "queries.jsonl.gz")[::step]
    places = {tool["tool"]: place for place, tool in enumerate(tools)}
    return Judged(
        "ToolE",
        [f"{tool['tool']} {tool['description']}" for tool in tools],
        [question["query"] for question in questions],
        [frozenset(places[name] for name in question["tools"]) for question in questions],
        _vectors(folder / "tool_vectors_f16.npy"),
        _vectors(folder / "query_vectors_f16.npy")[::step],
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _vectors(path: Path) -> NDArray[np.float32]:
    rows = np.load(path).astype(np.float32)
    unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit
