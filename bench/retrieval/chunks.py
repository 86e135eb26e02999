"""How large chunks should be, and how fast documents are read.

Sizes: SQuAD's articles as documents, each the text of its paragraphs. A question is found when a chunk that BM25 gives
holds its whole answer where the article has it; counted are the first five chunks, and as many as have 1,000 words,
which is fair to small chunks. Reading: the documents that the tests carry, by CPU of one process, median of runs.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.record import ROOT
from bench.report import Figure
from bench.retrieval.texts import rows
from bench.tenants.contender import LeftOut
from vdb.rag.chunk import Block, Chunk, ChunkOptions, Section, chunks_of, n_words
from vdb.rag.extract.formats import HTML, MARKDOWN, PDF, TEXT, parse

SIZES = ((40, 0), (80, 0), (120, 0), (160, 0), (200, 0), (200, 40), (300, 0), (400, 0))
BUDGET_WORDS = 1_000
DEPTH = 30
DOCUMENTS = ROOT / "tests" / "rag" / "documents"
SUFFIXES = {TEXT: "md", MARKDOWN: "md", HTML: "html", PDF: "pdf"}
UNREADABLE = "needs-a-password.pdf"
RUNS = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """A question whose answer stands in characters [start, end) of document number `document`."""

    question: str
    document: int
    start: int
    end: int


def measure(given: argparse.Namespace) -> list[Figure]:
    """Figures of both; with `--quick` every tenth question and one run."""
    if given.data is None or not (given.data / "squad2").is_dir():
        raise LeftOut("the texts are not there: name their folder with VDB_DATASETS")
    documents, asked = articles(given.data / "squad2")
    sizes = [figure for size in SIZES for figure in _found(documents, asked[:: 10 if given.quick else 1], *size)]
    return [*sizes, *(_speed(media_type, 1 if given.quick else RUNS) for media_type in SUFFIXES)]


def articles(folder: Path) -> tuple[list[str], list[Asked]]:
    """SQuAD's articles, and the questions that have an answer."""
    documents: list[str] = []
    titles: list[str] = []
    places: dict[int, tuple[int, int, str]] = {}
    for row in rows(folder / "paragraphs.jsonl.gz"):
        if row["title"] not in titles:
            titles.append(row["title"])
            documents.append("")
        document = titles.index(row["title"])
        places[row["pid"]] = (document, len(documents[document]), row["text"])
        documents[document] += row["text"] + "\n\n"
    asked = []
    for row in rows(folder / "questions.jsonl.gz"):
        if not row["is_impossible"]:
            document, at, text = places[row["pid"]]
            start = at + text.index(row["answers"][0])
            asked.append(Asked(row["question"], document, start, start + len(row["answers"][0])))
    return documents, asked


def _found(documents: Sequence[str], asked: Sequence[Asked], size: int, overlap: int) -> list[Figure]:
    chunks = [(at, chunk) for at, text in enumerate(documents) for chunk in _cut(text, ChunkOptions(size, overlap))]
    first_five = within = 0
    for question, best in zip(asked, _best([chunk.text for _, chunk in chunks], asked), strict=True):
        words = 0
        for rank, number in enumerate(best):
            document, chunk = chunks[number]
            words += n_words(chunk.text)
            if document == question.document and chunk.start <= question.start and question.end <= chunk.end:
                first_five += rank < 5
                within += words <= BUDGET_WORDS
                break
    name = f"{size} words" + (f", {overlap} of overlap" if overlap else "")
    return [
        Figure(f"{name}: answers in the first 5 chunks", first_five / len(asked), ""),
        Figure(f"{name}: answers in the first {BUDGET_WORDS:,} words", within / len(asked), ""),
    ]


def _cut(text: str, options: ChunkOptions) -> list[Chunk]:
    blocks, at = [], 0
    for paragraph in text.split("\n\n"):
        blocks.append(Block(at, at + len(paragraph)))
        at += len(paragraph) + 2
    return list(chunks_of(text, [Section((), blocks)], options))


def _best(texts: Sequence[str], asked: Sequence[Asked]) -> list[list[int]]:
    """The best chunks of every question."""
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer("english")
    index = bm25s.BM25()
    index.index(bm25s.tokenize(list(texts), stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False)
    questions = [question.question for question in asked]
    terms = bm25s.tokenize(questions, stopwords="en", stemmer=stemmer, show_progress=False)
    found, _ = index.retrieve(terms, k=min(DEPTH, len(texts)), show_progress=False)
    best: list[list[int]] = found.tolist()
    return best


def _speed(media_type: str, n_runs: int) -> Figure:
    files = sorted(DOCUMENTS.glob(f"*.{SUFFIXES[media_type]}"))
    sources = [path.read_bytes() for path in files if path.name != UNREADABLE]
    n_chunks, runs = 0, []
    for _ in range(n_runs + 1):  # the first one imports and is not counted
        start = time.process_time()
        n_chunks = sum(len(parse(source, media_type, ChunkOptions(), 10_000).chunks) for source in sources)
        runs.append(n_chunks / (time.process_time() - start))
    return Figure(f"{media_type}: chunks read", statistics.median(runs[1:]), "chunks/s", runs=tuple(runs[1:]))
