"""What two fused legs find, through the engine in this process: learned on half of the queries, judged on the other.

Vectors are given, words are the text index's. A query is asked of the dense leg, of the sparse one, of both by the
default fusion, by reciprocal ranks of equal weight, and by what `learn_fusion` makes of the half that teaches. The
better leg is that of the half that is judged, whichever it is there. Metrics of ir_measures, in points (hundredths).
"""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import vdb
from bench.report import Figure
from bench.retrieval.judged import Corpus, corpora
from vdb.client.sync import Operations
from vdb.evaluation.asking import ask
from vdb.evaluation.files import Query
from vdb.evaluation.measures import Measures

N_SPLITS = 5
RRF = {"kind": "rrf", "weight": 0.5}
_METRIC = {"R": "recall", "nDCG": "ndcg"}
_TOGETHER = 1_000
_NAME = "chunks"

PerQuery = dict[str, float]


def measure(given: argparse.Namespace) -> list[Figure]:
    """The figures of every corpus, its splits beside their mean."""
    figures: list[Figure] = []
    for corpus in corpora(given):
        with tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder, vdb.open(Path(folder)) as database:
            _fill(database, corpus)
            found = _Found(database, corpus)
            figures += _figures(found, corpus, given.seed)
        print(f"{corpus.name} is done", flush=True)
    return figures


def _fill(database: Operations, corpus: Corpus) -> None:
    fields = {"text": 1} | ({"title": 1} if any(document.title for document in corpus.documents) else {})
    database.create_collection(_NAME, corpus.vectors.shape[1], text={"fields": fields})
    for tenant in dict.fromkeys(document.tenant for document in corpus.documents):
        own = [place for place, document in enumerate(corpus.documents) if document.tenant == tenant]
        for start in range(0, len(own), _TOGETHER):
            part = own[start : start + _TOGETHER]
            chosen = [corpus.documents[place] for place in part]
            database.collection(_NAME, tenant).upsert(
                [document.id for document in chosen],
                corpus.vectors[part],
                [{"text": document.text, "title": document.title} for document in chosen],
            )


class _Found:
    """What each way of searching finds of every query: each is asked once."""

    def __init__(self, database: Operations, corpus: Corpus) -> None:
        self._database, self._corpus = database, corpus
        self._measures = Measures([corpus.metric])
        self._known: dict[str, PerQuery] = {}

    def by(self, mode: str, fusion: Mapping[str, Any] | None = None) -> PerQuery:
        """The metric of every query."""
        key = f"{mode} {fusion}"
        if key not in self._known:
            run = ask(self._database, _NAME, self._corpus.queries, mode=mode, limit=10, fusion=fusion)
            measured = self._measures.of(mode, self._corpus.qrels, run)
            self._known[key] = measured.by_query[self._corpus.metric]
        return self._known[key]

    def learned(self, queries: list[Query]) -> PerQuery:
        """By the fusion that these queries teach."""
        named, _, at = self._corpus.metric.partition("@")
        judged = [
            {
                "text": query.text,
                "vector": list(query.vector or ()),
                "relevant": self._corpus.qrels[query.id],
                "tenant": query.tenant,
            }
            for query in queries
        ]
        collection: Any = self._database.collection(_NAME, queries[0].tenant)
        answer = collection.learn_fusion(judged, metric=_METRIC[named], at=int(at), dry_run=True, timeout_s=60.0)
        fusion = {"kind": answer.fusion.kind, "weight": answer.fusion.weight}
        print(f"{self._corpus.name}: learned {fusion} of {answer.n_queries}", flush=True)
        return self.by("hybrid", fusion)


def _figures(found: _Found, corpus: Corpus, seed: int) -> list[Figure]:
    names = [query.id for query in corpus.queries]
    ways = {"dense": found.by("dense"), "BM25": found.by("sparse"), "default": found.by("hybrid")}
    ways["equal ranks"] = found.by("hybrid", RRF)
    runs: dict[str, list[float]] = {}
    for split in range(N_SPLITS):
        order = np.random.default_rng([seed, split]).permutation(len(names))
        taught, judged = order[: len(order) // 2].tolist(), [names[place] for place in order[len(order) // 2 :]]
        every = ways | {"learned": found.learned([corpus.queries[place] for place in sorted(taught)])}
        means = {way: 100 * float(np.mean([values[name] for name in judged])) for way, values in every.items()}
        for way, value in means.items():
            runs.setdefault(way, []).append(value)
        leg = means["BM25"] if corpus.bar is not None and corpus.bar < 0 else max(means["dense"], means["BM25"])
        for way in ("default", "learned", "equal ranks"):
            runs.setdefault(f"{way} over the better leg", []).append(means[way] - leg)
    return [
        Figure(
            f"{corpus.name} {corpus.metric}, {way}",
            float(np.mean(values)),
            "points",
            corpus.bar if way == "learned over the better leg" else None,
            at_least=True,
            runs=tuple(values),
        )
        for way, values in runs.items()
    ]
