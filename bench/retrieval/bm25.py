"""Keyword search against its oracle: what it finds, what a query and a write cost, and what others' writes change.

20,000 chunks of one tenant (SQuAD's paragraphs, arXiv's abstracts, then texts of CISI, Cranfield and NPL) are written
through the engine, in turns with a collection without a text index. SQuAD's 6,078 questions are asked; bm25s, over the
same terms, is the oracle and the peer: its scores and NumPy's selection, which is less than its own call takes. Of a
million chunks there is a copy laid straight into a store: the same texts, 50 times.
"""

import argparse
import gzip
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
from msgspec import Raw
from numpy.typing import NDArray

from bench.report import Figure, median
from bench.tenants.contender import LeftOut
from vdb import kernels
from vdb.config import Settings
from vdb.engine.engine import Engine
from vdb.protocol.columns import UpsertHead
from vdb.protocol.requests import CreateCollection, CreateTenant, DeletePoints, Share, TextIndex
from vdb.rag.analysis import analyser_of
from vdb.rag.sparse import prepare
from vdb.storage.catalog import CollectionDocument
from vdb.storage.create import create_environment
from vdb.storage.env import Environment, Transaction
from vdb.storage.keyspace import postings_prefix, text_statistics_key
from vdb.storage.text_changes import terms_of_payload
from vdb.storage.text_index import encode_statistics, wanted_index
from vdb.storage.text_postings import BLOCK_BYTES, LAST_BLOCK
from vdb.types import Role

LANGUAGE = "english"
N_CHUNKS = 20_000
N_TOP = 10
BATCH = 500
N_GRANTED, N_GRANTEES = 1_000, 10
N_COPIES = 50
NO_VECTORS = np.empty(0, np.float32)


def measure(given: argparse.Namespace) -> list[Figure]:
    """Writes, then queries, then a million chunks."""
    kernels.warm(background=False)
    chunks, questions = texts_of(given.data)
    if given.quick:
        chunks, questions = chunks[:1_000], questions[:200]
    with tempfile.TemporaryDirectory(prefix="vdb-bm25-") as folder:
        with engine_at(Path(folder) / "data") as world:
            figures = [Figure("chunks", len(chunks), ""), *world.write(chunks)]
            figures += world.ask(chunks, questions)
            figures += world.isolation(chunks, questions[:500])
            figures += world.grants()
        if not given.quick:
            figures += of_a_million(Path(folder) / "many", chunks, questions[::30])
    return figures


def texts_of(folder: Path) -> tuple[list[str], list[str]]:
    """(chunks, questions); raises LeftOut."""
    if not (folder / "squad2" / "paragraphs.jsonl.gz").exists():
        raise LeftOut(f"there are no texts in {folder}")
    chunks = [row["text"] for row in _rows(folder / "squad2" / "paragraphs.jsonl.gz")]
    chunks += [f"{row['title']}. {row['abstract']}" for row in _rows(folder / "arxiv" / "base.jsonl.gz")]
    chunks += [f"{row['title'] or ''} {row['text']}" for row in _rows(folder / "ir" / "corpus.jsonl.gz")]
    questions = [row["question"] for row in _rows(folder / "squad2" / "questions.jsonl.gz")]
    return chunks[:N_CHUNKS], questions


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


class World:
    """An engine with two collections of the same points, one with a text index."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._analyser = analyser_of(LANGUAGE)
        for name, text in (("text", TextIndex(language=LANGUAGE)), ("bare", None)):
            self._run("create_collection", None, (), CreateCollection(name=name, dimension=2, text=text))
        for name in ("a", "b", *(f"g{i}" for i in range(N_GRANTEES))):
            self._run("create_tenant", None, (), CreateTenant(name=name))

    def write(self, chunks: Sequence[str]) -> list[Figure]:
        """Durable writes of 500 chunks each into both collections in turn, then 100 of one."""
        spent: dict[tuple[str, int], list[float]] = defaultdict(list)
        places = [(first, BATCH) for first in range(0, len(chunks), BATCH)] + [(i, 1) for i in range(100)]
        for first, n in places:
            for name in ("text", "bare"):
                began, wall = time.process_time(), time.perf_counter()
                self.upsert(name, "a", chunks[first : first + n], first if n == BATCH else first + N_CHUNKS)
                spent[name, n].append((time.process_time() - began) / n * 1e6)
                spent[name + " wall", n].append((time.perf_counter() - wall) / n)
        cpu = {key: float(np.mean(values)) for key, values in spent.items()}
        with self.reading("text") as (_, txn):
            n_bytes = sum(len(key) + len(value) for key, value in txn.cursor() if key[0] in (0x7A, 0x7B))
        return [
            Figure("written with a text index, CPU", cpu["text", BATCH], "µs/chunk"),
            Figure("written without one, CPU", cpu["bare", BATCH], "µs/chunk"),
            Figure("written with a text index", 1 / cpu["text wall", BATCH], "chunks/s"),
            Figure("one chunk per commit with a text index, CPU", cpu["text", 1], "µs/chunk"),
            Figure("one chunk per commit without one, CPU", cpu["bare", 1], "µs/chunk"),
            Figure("keys and values of the text index", n_bytes / (len(chunks) + 100), "B/chunk"),
        ]

    def upsert(self, name: str, tenant: str, texts: Sequence[str], first: int = 0) -> None:
        payloads = [Raw(json.dumps({"text": text}).encode()) for text in texts]
        ids = [f"{first + i}" for i in range(len(texts))]
        head = UpsertHead(ids=ids, payloads=payloads, has_vector=[False] * len(ids))
        self._run("upsert", tenant, (name,), head, NO_VECTORS)

    def ask(self, chunks: Sequence[str], questions: Sequence[str]) -> list[Figure]:
        """Every question to the index and to the oracle in turn."""
        written = [*chunks, *chunks[:100]]
        oracle = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
        oracle.index([self._analyser.terms(text) for text in written], show_progress=False)
        spent, of_peer, n_same = [], [], 0
        with self.reading("text") as (tenant_id, txn):
            for question in questions:
                began = time.thread_time()
                pids, scores = prepare(txn, tenant_id, self._analyser.terms(question)).top(N_TOP)
                between = time.thread_time()
                terms = self._analyser.terms(question)
                expected = oracle.get_scores(terms)
                best = np.argpartition(-expected, N_TOP)[:N_TOP]
                of_peer.append((time.thread_time() - between) * 1e6)
                spent.append((between - began) * 1e6)
                wanted = -np.sort(-expected[best])
                n_same += _same(scores, wanted) and _same(expected[_rows_of(pids)], wanted)
        return [
            Figure("top 10 equal to bm25s's, ties aside", n_same / len(questions), "of queries", 0.99, at_least=True),
            median("a query, CPU: terms, postings, top 10", _quarters(spent), "µs", 150),
            Figure("a query, CPU, p99", float(np.quantile(spent, 0.99)), "µs"),
            median("a query of bm25s, CPU: scores, top 10", _quarters(of_peer), "µs"),
        ]

    def isolation(self, chunks: Sequence[str], questions: Sequence[str]) -> list[Figure]:
        """The answers of tenant a before and after b inserts, replaces, shares with others and deletes."""
        before = self._answers(questions)
        self.upsert("text", "b", chunks[:4_000])
        self.upsert("text", "b", chunks[500:1_500])
        self._run("share", "b", ("text",), Share(action="grant", ids=["7", "8"], to=["g0"]))
        self._run("delete_points", "b", ("text",), DeletePoints(ids=[f"{i}" for i in range(900)]))
        after = self._answers(questions)
        n_changed = sum(one != other for one, other in zip(before, after, strict=True))
        return [Figure("answers of a tenant changed, to the bit, by another's writes", n_changed, "of 500", 0)]

    def _answers(self, questions: Sequence[str]) -> list[tuple[bytes, bytes]]:
        with self.reading("text") as (tenant_id, txn):
            found = [prepare(txn, tenant_id, self._analyser.terms(text)).top(100) for text in questions]
        return [(pids.tobytes(), scores.tobytes()) for pids, scores in found]

    def grants(self) -> list[Figure]:
        """1,000 chunks granted to ten tenants, then to everyone in their stead."""
        ids = [f"{i}" for i in range(N_GRANTED)]
        tenants = [f"g{i}" for i in range(N_GRANTEES)]
        spent = []
        for action, to in (("grant", tenants), ("revoke", tenants), ("grant", ["*"])):
            began = time.process_time()
            self._run("share", "a", ("text",), Share(action=action, ids=ids, to=to))  # type: ignore[arg-type]
            spent.append((time.process_time() - began) / N_GRANTED * 1e6)
        return [
            Figure("granted to 10 tenants, CPU", spent[0], "µs/chunk"),
            Figure("taken back from 10 tenants, CPU", spent[1], "µs/chunk"),
            Figure("shared with everyone, CPU", spent[2], "µs/chunk"),
        ]

    @contextmanager
    def reading(self, name: str) -> Iterator[tuple[int, Transaction]]:
        """(id of tenant a, a snapshot of the collection)."""
        services = self._engine.services
        document: CollectionDocument | None = services.catalog.collection(name)
        assert document is not None
        with services.shards.use(document) as shard, shard.snapshot() as moment:
            yield services.tenant_id("a") or 0, moment.txn

    def _run(self, operation: str, tenant: str | None, path: tuple[str, ...], request: Any, vectors: Any = None) -> Any:
        caller = self._engine.local_caller(Role.ADMIN, tenant)
        answer = self._engine.run(operation, caller, path, request, vectors)
        return answer.result() if isinstance(answer, Future) else answer


@contextmanager
def engine_at(path: Path) -> Iterator[World]:
    engine = Engine.open(Settings.with_environment({}, data_dir=path))
    try:
        yield World(engine)
    finally:
        engine.close()


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether scores are equal but for bm25s's float32; it fills up with points of score 0."""
    other = other[other > 0]
    return len(one) >= len(other) and bool(np.allclose(one[: len(other)], other, rtol=1e-5))


def _rows_of(pids: NDArray[np.uint32]) -> NDArray[np.int64]:
    """The chunk of each pid: all were written in order, by one tenant."""
    return pids.astype(np.int64)


def _quarters(spent: Sequence[float]) -> list[float]:
    """The median of each quarter of the queries."""
    return [float(np.median(part)) for part in np.array_split(np.array(spent), 4)]


def of_a_million(path: Path, chunks: Sequence[str], questions: Sequence[str]) -> list[Figure]:
    """Queries of a tenant that has all chunks 50 times over."""
    analyser = analyser_of(LANGUAGE)
    env = laid(path, chunks, N_COPIES)
    try:
        spent = []
        with env.read() as txn:
            for question in [*questions, *questions]:  # the first time pages are read
                began = time.thread_time()
                prepare(txn, 1, analyser.terms(question)).top(N_TOP)
                spent.append((time.thread_time() - began) * 1e3)
    finally:
        env.close()
    spent = spent[len(questions) :]
    return [
        Figure(f"a query of {len(chunks) * N_COPIES:,} chunks, CPU, median", float(np.median(spent)), "ms"),
        Figure(f"a query of {len(chunks) * N_COPIES:,} chunks, CPU, p99", float(np.quantile(spent, 0.99)), "ms"),
    ]


def laid(path: Path, chunks: Sequence[str], n_copies: int) -> Environment:
    """The text index of one tenant who has every chunk so many times, written block by block."""
    analyser = analyser_of(LANGUAGE)
    lists: defaultdict[bytes, list[int]] = defaultdict(list)
    length = 0
    for pid, text in enumerate(chunks):
        terms = terms_of_payload(json.dumps({"text": text}).encode(), {"text": 1}, analyser)
        length += terms.length
        for term, posting in terms.postings(pid).items():
            lists[term].append(posting)
    wanted = wanted_index({"text": 1}, LANGUAGE, analyser_of)
    create_environment(path, map_bytes=1 << 31, max_map_bytes=1 << 34, collection_id=1, text=wanted)
    env = Environment(path, map_bytes=1 << 31, max_map_bytes=1 << 34)
    later = (np.arange(n_copies, dtype=np.uint64) * np.uint64(len(chunks))) << np.uint64(32)
    with env.write() as txn, txn.cursor() as cursor:
        txn.put(text_statistics_key(1), encode_statistics(len(chunks) * n_copies, length * n_copies))
        for term in sorted(lists):
            postings = (later[:, None] + np.array(lists[term], np.uint64)[None]).astype("<u8").tobytes()
            cursor.putmulti(list(_blocks(postings_prefix(1, term), postings)))
    return env


def _blocks(prefix: bytes, postings: bytes) -> Iterator[tuple[bytes, bytes]]:
    for first in range(0, len(postings), BLOCK_BYTES):
        block = postings[first : first + BLOCK_BYTES]
        is_last = first + BLOCK_BYTES >= len(postings)
        yield prefix + (LAST_BLOCK if is_last else block[:-5:-1]), block
