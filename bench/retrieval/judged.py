"""Corpora whose queries somebody judged, with their vectors: SQuAD 2.0, CISI, Cranfield, NPL, ToolE, LIMIT-small.

SQuAD comes twice: all paragraphs of one tenant, and a tenant for each article. Every question counts, answerable or
not: each was asked about its paragraph, and names its topic. `--quick` makes a small corpus up.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.retrieval.texts import made_up, rows, units
from bench.tenants.contender import LeftOut
from vdb.evaluation.files import Qrels, Query

Float32s = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Document:
    """A point: `title` may be empty."""

    id: str
    tenant: str
    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Corpus:
    """`vectors` (n, d) float32 belong to `documents`. Learned wins by `bar` points of `metric` over the better leg, or
    with a bar below 0 loses no more than that against the words."""

    name: str
    metric: str
    bar: float | None
    documents: list[Document]
    vectors: Float32s
    queries: list[Query]
    qrels: Qrels


def corpora(given: argparse.Namespace) -> Iterator[Corpus]:
    """The corpora of a run, one after the other; raises LeftOut where the data is not there."""
    if given.quick:
        yield _made_up(given.seed)
        return
    data: Path = given.data
    for folder in ("squad2", "ir", "tools", "limit_small"):
        if not (data / folder).is_dir():
            raise LeftOut(f"no data set at {data / folder}; VDB_DATASETS names the folder of all")
    yield _squad(data / "squad2", by_article=False)
    yield _squad(data / "squad2", by_article=True)
    yield from _ir(data / "ir")
    yield _tools(data / "tools")
    yield _limit(data / "limit_small")


def _squad(folder: Path, *, by_article: bool) -> Corpus:
    paragraphs, questions = rows(folder / "paragraphs.jsonl.gz"), rows(folder / "questions.jsonl.gz")
    articles = sorted({row["title"] for row in paragraphs})
    tenant_of = {row["pid"]: f"article-{articles.index(row['title'])}" if by_article else "squad" for row in paragraphs}
    return Corpus(
        "SQuAD by article" if by_article else "SQuAD",
        "R@5",
        1.5,
        [Document(str(row["pid"]), tenant_of[row["pid"]], row["text"]) for row in paragraphs],
        units(folder / "paragraph_vectors_f16.npy"),
        _queries(
            [(row["qid"], tenant_of[row["pid"]], row["question"]) for row in questions],
            units(folder / "question_vectors_f16.npy"),
        ),
        {row["qid"]: {str(row["pid"]): 1} for row in questions},
    )


def _ir(folder: Path) -> Iterator[Corpus]:
    """Judgements are binary: what is listed is relevant, whatever its grade."""
    documents, queries = rows(folder / "corpus.jsonl.gz"), rows(folder / "queries.jsonl.gz")
    vectors, query_vectors = units(folder / "corpus_vectors_f16.npy"), units(folder / "query_vectors_f16.npy")
    qrels: Qrels = {}
    for line in (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, document, _ = line.split("\t")
        qrels.setdefault(query, {})[document] = 1
    for name in ("CISI", "Cranfield", "NPL"):
        own = [place for place, row in enumerate(documents) if row["collection"] == name.lower()]
        asked = [
            place for place, row in enumerate(queries) if row["collection"] == name.lower() and row["query"] in qrels
        ]
        chosen = [documents[place] for place in own]
        yield Corpus(
            name,
            "nDCG@10",
            1.0,
            [Document(row["doc"], name.lower(), row["text"], row.get("title") or "") for row in chosen],
            vectors[own],
            _queries(
                [(queries[place]["query"], name.lower(), queries[place]["text"]) for place in asked],
                query_vectors[asked],
            ),
            {queries[place]["query"]: qrels[queries[place]["query"]] for place in asked},
        )


def _tools(folder: Path) -> Corpus:
    tools, queries = rows(folder / "tools.jsonl.gz"), rows(folder / "queries.jsonl.gz")
    return Corpus(
        "ToolE",
        "R@5",
        1.0,
        [Document(row["tool"], "tools", row["description"], row["tool"]) for row in tools],
        units(folder / "tool_vectors_f16.npy"),
        _queries(
            [(f"q{place}", "tools", row["query"]) for place, row in enumerate(queries)],
            units(folder / "query_vectors_f16.npy"),
        ),
        {f"q{place}": dict.fromkeys(row["tools"], 1) for place, row in enumerate(queries)},
    )


def _limit(folder: Path) -> Corpus:
    def lines(name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]

    qrels: Qrels = {}
    for row in lines("qrels"):
        qrels.setdefault(row["query-id"], {})[row["corpus-id"]] = 1
    return Corpus(
        "LIMIT-small",
        "R@2",
        -0.5,
        [Document(row["_id"], "limit", row["text"]) for row in lines("corpus")],
        units(folder / "corpus_vectors_f16.npy"),
        _queries(
            [(row["_id"], "limit", row["text"]) for row in lines("queries")], units(folder / "query_vectors_f16.npy")
        ),
        qrels,
    )


def _made_up(seed: int) -> Corpus:
    """A question is the first words of the chunk that answers it, and its vector with some noise."""
    texts = made_up(seed)
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(texts.chunks), 60, replace=False)
    noise = rng.standard_normal((60, texts.vectors.shape[1])).astype(np.float32) * 0.1
    asked = [
        (f"q{place}", f"t{chunk % 2}", " ".join(texts.chunks[chunk].split()[:4])) for place, chunk in enumerate(chosen)
    ]
    return Corpus(
        "made-up",
        "R@5",
        None,
        [Document(f"d{place}", f"t{place % 2}", text) for place, text in enumerate(texts.chunks)],
        texts.vectors,
        _queries(asked, texts.vectors[chosen] + noise),
        {f"q{place}": {f"d{chunk}": 1} for place, chunk in enumerate(chosen)},
    )


def _queries(asked: list[tuple[str, str, str]], vectors: Float32s) -> list[Query]:
    """Queries of (id, tenant, text)."""
    return [
        Query(name, text, tenant, tuple(row)) for (name, tenant, text), row in zip(asked, vectors.tolist(), strict=True)
    ]
