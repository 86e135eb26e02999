"""The extractive backend and support, through the engine in this process: SQuAD 2.0 dev, a tenant for each article.

Every answerable question is asked in its own article, and every question, answerable or not, in a drawn other one. The
first half of the articles (split 0 of `fitting.halves`) taught the weights that are shipped; figures are of the other
half. `refitted` are five splits, each fitted on half of the articles and judged on the other. Support is also held
against CISI, Cranfield, NPL and ToolE, which taught nothing: their judged queries in their own collection, and in a
drawn other one. Texts have given vectors (MiniLM), or none and are found by words alone, or those of `lexical`.
"""

import argparse
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import UNSET

import vdb
from bench.answers.fitting import (
    N_PASSAGES,
    Asked,
    Choice,
    fitted_choice,
    fitted_support,
    halves,
    judged_choice,
    judged_support,
)
from bench.report import Figure, median
from bench.retrieval.judged import Corpus, corpora
from bench.retrieval.texts import rows
from bench.tenants.contender import LeftOut
from vdb.client.sync import Operations
from vdb.evaluation.files import Query
from vdb.rag.analysis import analyser_of
from vdb.rag.embed.lexical import Lexical
from vdb.rag.extractive import DEFAULT_THRESHOLD, Extractive
from vdb.rag.extractive.analysed import Analyses
from vdb.rag.extractive.features import rows_of
from vdb.rag.extractive.question import read, weights_among
from vdb.rag.extractive.support import evidence
from vdb.rag.generate.base import Asked as ToBackend
from vdb.rag.generate.base import Stop
from vdb.rag.passage import Passage

N_SPLITS = 5
N_OF_OTHERS = 600
"""Queries of a corpus that taught nothing, at most."""
_SQUAD = "SQuAD by article"
_NAME = "chunks"
_TOGETHER = 1_000
_QUICK = 40

Vectors = Any


@dataclass(frozen=True, slots=True)
class Question:
    """A query of a corpus asked of `tenant`; `answers` where it has some, `paragraph` is the id of its own."""

    corpus: str
    query: Query
    tenant: str
    is_own: bool
    answers: tuple[str, ...] = ()
    paragraph: str = ""

    @property
    def article(self) -> str:
        return self.query.tenant or ""


def measure(given: argparse.Namespace) -> list[Figure]:
    """The figures with given vectors, by words alone, and with `lexical`."""
    if given.data is None or not (given.data / "squad2").is_dir():
        raise LeftOut("the texts are not there: name their folder with VDB_DATASETS")
    found = [corpus for corpus in corpora(argparse.Namespace(quick=False, data=given.data)) if _is_asked(corpus)]
    asked = _questions(found, given.data, given.seed)
    if given.quick:
        chosen = np.random.default_rng(given.seed).choice(len(asked), _QUICK * len(found), replace=False)
        asked = [asked[place] for place in np.sort(chosen).tolist()]
    judged = halves([one.article for one in asked if one.corpus == _SQUAD], 0)[1]
    figures: list[Figure] = []
    for way in ("MiniLM", "words", "lexical"):
        with tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder, vdb.open(Path(folder)) as database:
            texts = _fill(database, found, way)
            figures += _answered(database, asked, judged, way)
            if way == "MiniLM":
                figures += _refitted(database, [one for one in asked if one.corpus == _SQUAD], texts)
        print(f"{way} is done", flush=True)
    return [*figures, _time(found[0])]


def _is_asked(corpus: Corpus) -> bool:
    return corpus.name not in ("SQuAD", "LIMIT-small")


def _questions(found: Sequence[Corpus], data: Path, seed: int) -> list[Question]:
    rng = np.random.default_rng(seed)
    known = {row["qid"]: row for row in rows(data / "squad2" / "questions.jsonl.gz")}
    tenants = sorted({document.tenant for corpus in found for document in corpus.documents})
    articles = [tenant for tenant in tenants if tenant.startswith("article")]
    asked = []
    for corpus in found:
        places = np.arange(len(corpus.queries))
        if corpus.name != _SQUAD and len(places) > N_OF_OTHERS:
            places = np.sort(rng.choice(places, N_OF_OTHERS, replace=False))
        for place in places.tolist():
            query = corpus.queries[place]
            own = query.tenant or ""
            row = known.get(query.id)
            if row is None or row["answers"]:
                answers = tuple(row["answers"]) if row else ()
                asked.append(Question(corpus.name, query, own, True, answers, str(row["pid"]) if row else ""))
            among = articles if row else [tenant for tenant in tenants if tenant not in articles]
            asked.append(Question(corpus.name, query, str(rng.choice([one for one in among if one != own])), False))
    return asked


def _fill(database: Operations, found: Sequence[Corpus], way: str) -> dict[str, str]:
    """Texts by id of SQuAD's paragraphs."""
    fields = {"text": 1, "title": 1}
    dimension = found[0].vectors.shape[1]
    database.create_collection(_NAME, dimension, text={"fields": fields})
    for corpus in found:
        vectors = corpus.vectors
        if way == "lexical":
            vectors = Lexical().embed_documents([document.text for document in corpus.documents], dimension)
        for tenant in dict.fromkeys(document.tenant for document in corpus.documents):
            own = [place for place, document in enumerate(corpus.documents) if document.tenant == tenant]
            for start in range(0, len(own), _TOGETHER):
                part = own[start : start + _TOGETHER]
                chosen = [corpus.documents[place] for place in part]
                payloads = [{"text": document.text, "title": document.title} for document in chosen]
                ids = [document.id for document in chosen]
                database.collection(_NAME, tenant).upsert(ids, vectors[part], payloads)
    return {document.id: document.text for corpus in found if corpus.name == _SQUAD for document in corpus.documents}


def _vector(question: Question, way: str, dimension: int = 384) -> dict[str, Any]:
    """How a question is looked for."""
    if way == "words":
        return {"mode": "sparse"}
    if way == "lexical":
        return {"vector": Lexical().embed_queries([question.query.text], dimension)[0]}
    return {"vector": np.array(question.query.vector, np.float32)}


def _answered(database: Operations, asked: Sequence[Question], judged: set[str], way: str) -> list[Figure]:
    """Own questions are answered whatever their support; of the others only that is looked at."""
    first, cited = [], []
    supports: dict[tuple[str, bool], list[float]] = {}
    for one in asked:
        if one.corpus == _SQUAD and one.article not in judged:
            continue
        threshold = 0.0 if one.answers else 1.0
        collection: Any = database.collection(_NAME, one.tenant)
        answer = collection.answer(
            one.query.text, backend="extractive", threshold=threshold, cache="off", **_vector(one, way)
        )
        supports.setdefault((one.corpus, one.is_own), []).append(answer.support)
        if one.answers:
            sentence = answer.answer[0]
            first.append(_holds(sentence.text, one.answers))
            cited.append([answer.references[place].id for place in sentence.citations] == [one.paragraph])
    is_barred = way == "MiniLM"
    figures = [
        _share(f"{way}: first sentence holds the answer", first, 0.70 if is_barred else None),
        _share(f"{way}: cited paragraph is the one asked about", cited, 0.85 if is_barred else None),
    ]
    for (corpus, is_own), values in supports.items():
        refused = [value < DEFAULT_THRESHOLD for value in values]
        bar = None if not is_barred or corpus != _SQUAD else 0.05 if is_own else 0.95
        what = "answerable questions lost" if is_own else "questions of others refused"
        figures.append(_share(f"{way}: {corpus}, {what}", refused, bar, at_least=not is_own))
    return figures


def _refitted(database: Operations, asked: Sequence[Question], texts: dict[str, str]) -> list[Figure]:
    choices, supports = [], []
    analyses = Analyses(1 << 28)
    for one in asked:
        collection: Any = database.collection(_NAME, one.tenant)
        hits = collection.search(text=one.query.text, limit=50, with_payload=False, **_vector(one, "MiniLM"))
        passages = [Passage(hit.id, hit.owner, hit.version, texts[hit.id], hit.score) for hit in hits]
        similarities = [None if hit.distance is UNSET else 1.0 - hit.distance for hit in hits]
        known = evidence(one.query.text, passages, similarities=similarities, analyses=analyses)
        supports.append(Asked(one.article, np.array(known), one.is_own))
        if one.answers:
            choices.append(_choice(one, passages, analyses))
    runs: list[tuple[float, ...]] = []
    for split in range(N_SPLITS):
        taught, judged = halves([one.article for one in asked], split)
        weights = fitted_choice([one for one in choices if one.group in taught])
        constants = fitted_support([one for one in supports if one.group in taught])
        print(f"split {split}: sentences {weights.round(2)}, support {constants.round(2)}", flush=True)
        runs.append(
            (
                *judged_choice([one for one in choices if one.group in judged], weights),
                *judged_support([one for one in supports if one.group in judged], constants),
            )
        )
    names = ("first sentence holds the answer", "its paragraph is the one asked about", "answerable lost", "refused")
    return [median(f"refitted: {name}", [run[i] for run in runs], "share") for i, name in enumerate(names)]


def _choice(one: Question, passages: Sequence[Passage], analyses: Analyses) -> Choice:
    analyser = analyser_of("english")
    read_all = [analyses.of(passage.text, analyser) for passage in passages]
    weights = weights_among(analyser.terms(one.query.text), read_all)
    best, scores = read_all[:N_PASSAGES], [passage.score for passage in passages[:N_PASSAGES]]
    found = rows_of(read(one.query.text, analyser, weights), best, [frozenset()] * len(best), scores)
    holds = [_holds(passages[i].text[slice(*best[i].spans[j])], one.answers) for i, j in found.places]
    own = [passages[i].id == one.paragraph for i, _ in found.places]
    if not holds:
        return Choice(one.article, np.zeros((1, found.features.shape[1])), np.zeros(1, bool), np.zeros(1, bool))
    return Choice(one.article, found.features, np.array(holds), np.array(own))


def _time(corpus: Corpus) -> Figure:
    """Thread CPU of an answer of 20 passages of 150 words, once they have been read."""
    words = " ".join(document.text for document in corpus.documents).split()
    passages = [Passage(str(i), "t", 1, " ".join(words[150 * i : 150 * i + 150]), -float(i)) for i in range(20)]
    backend, runs = Extractive(), []
    for query in corpus.queries[:300]:
        asked = ToBackend(query.text, passages, [])
        began = time.thread_time()
        backend.generate(replace(asked), lambda piece: None, Stop())
        runs.append((time.thread_time() - began) * 1e3)
    return Figure("an answer from 20 passages of 150 words", float(np.median(runs[20:])), "ms", 1.0)


def _share(name: str, values: Sequence[bool], bar: float | None, *, at_least: bool = True) -> Figure:
    return Figure(name, float(np.mean(values)) if len(values) else float("nan"), "share", bar, at_least)


def _holds(sentence: str, answers: Sequence[str]) -> bool:
    text = f" {_plain(sentence)} "
    return any(f" {plain} " in text for plain in map(_plain, answers) if plain)


def _plain(text: str) -> str:
    """As SQuAD compares answers: no case, articles, punctuation."""
    folded = re.sub(r"[^\w\s]", " ", re.sub(r"\b(a|an|the)\b", " ", text.lower()))
    return " ".join(folded.split())
