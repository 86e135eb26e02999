"""Under watch in this process: kernels, a search of the index, and the engine behind `vdb.open`."""

import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import vdb
from bench.cache.decisions import Sentences, asking, filled
from bench.http.kernel import indexed
from bench.kernels.searches import Search, scan_call
from bench.retrieval.texts import made_up
from bench.samples import payload, unit_vectors
from bench.smoke.turns import Watched
from bench.smoke.yardsticks import copy_of, loop, product
from vdb.kernels import warm
from vdb.rag.extractive.backend import CharacterCounter
from vdb.rag.pack import PackOptions, pack
from vdb.rag.passage import Passage

__all__ = ["in_process", "kernels"]

_DIMENSION, _K = 128, 10
_KERNEL_BYTES = 512 << 10
_N_INDEXED, _N_POINTS, _N_CACHED, _N_UPSERTED, _N_QUERIES = 20_000, 2_000, 2_000, 1_000, 64
_HOW = {"encoding": f"lvq8, {_DIMENSION} dimensions", "budget": 1_500, "candidates": 40}
_N_PACKED, _PACK_TOKENS = 20, 1_024


def kernels(seed: int) -> list[Watched]:
    """A scan of codes and one of float32 against a copy of as many bytes; a search of the index against a product."""
    warm(background=False)
    rng = np.random.default_rng(seed)
    codes = Search(rng, "int8", _DIMENSION, _KERNEL_BYTES)
    n_floats = _KERNEL_BYTES // (4 * _DIMENSION)
    search = indexed(unit_vectors(_N_INDEXED, _DIMENSION, seed), _HOW, _K)
    queries = itertools.cycle(unit_vectors(_N_QUERIES, _DIMENSION, seed + 1))
    return [
        Watched("kernel, int8 rows of 128", codes.call(codes.n), copy_of(codes.n * codes.row_bytes)),
        Watched("kernel, float32 rows of 128", scan_call(rng, n_floats, _DIMENSION), copy_of(_KERNEL_BYTES)),
        Watched("index of 20,000, a search", lambda: search(next(queries)), product()),
    ]


def in_process(stack: ExitStack, folder: Path, seed: int) -> list[Watched]:
    """Searches and writes of the engine, a decision of the cache, packing; closed with the stack."""
    database = stack.enter_context(vdb.open(folder / "points", tenant="acme", index_from_points=10**9))
    database.create_collection("points", _DIMENSION)
    database.create_collection("written", _DIMENSION)
    points, written = database.collection("points"), database.collection("written")
    vectors = unit_vectors(_N_POINTS, _DIMENSION, seed)
    points.upsert([f"p{i}" for i in range(_N_POINTS)], vectors, [payload(i) for i in range(_N_POINTS)])
    queries = itertools.cycle(unit_vectors(_N_QUERIES, _DIMENSION, seed + 1))
    rounds = itertools.count()

    def upsert() -> object:
        first = next(rounds) * _N_UPSERTED
        ids = [f"p{i}" for i in range(first, first + _N_UPSERTED)]
        return written.upsert(ids, vectors[:_N_UPSERTED], payloads)

    payloads = [payload(i) for i in range(_N_UPSERTED)]
    recent = {"field": "year", "gte": 2020}
    return [
        Watched("vdb.open, a search of 2,000", lambda: points.search(next(queries), _K), loop()),
        Watched("vdb.open, a search with a filter", lambda: points.search(next(queries), _K, filter=recent), loop()),
        Watched("vdb.open, an upsert of 1,000", upsert, loop(), time.process_time_ns, every=4, is_single=True),
        *_of_texts(stack, folder, seed),
        Watched("cache, a decision", _decision(stack, folder, seed), loop()),
    ]


def _of_texts(stack: ExitStack, folder: Path, seed: int) -> list[Watched]:
    """A search by words, and packing of what could be found."""
    texts = made_up(seed)
    database = stack.enter_context(vdb.open(folder / "texts", tenant="acme"))
    database.create_collection("chunks", texts.vectors.shape[1], text={"fields": {"text": 1}})
    chunks = database.collection("chunks")
    ids = [f"c{i}" for i in range(len(texts.chunks))]
    chunks.upsert(ids, texts.vectors, [{"text": text} for text in texts.chunks])
    questions = itertools.cycle(texts.questions)
    found = [Passage(f"p{at}", "t", 1, f"{text}.", 1.0 / (at + 1)) for at, text in enumerate(texts.chunks[:_N_PACKED])]
    counter, options = CharacterCounter(), PackOptions()
    return [
        Watched("BM25, a search of 300 chunks", lambda: chunks.search(text=next(questions), mode="sparse"), loop()),
        Watched("packing 20 passages", lambda: pack(found, _PACK_TOKENS, counter, options, question="word1"), loop()),
    ]


def _decision(stack: ExitStack, folder: Path, seed: int) -> Callable[[], object]:
    vectors = unit_vectors(_N_CACHED + _N_QUERIES, 64, seed)
    texts = [f"question {i}" for i in range(len(vectors))]
    engine = stack.enter_context(filled(folder / "cache", _sentences(texts, vectors, 0, _N_CACHED), 0.9))
    calls = itertools.cycle(asking(engine, _sentences(texts, vectors, _N_CACHED, len(texts))))
    return lambda: next(calls)()


def _sentences(texts: Sequence[str], vectors: NDArray[np.float32], first: int, stop: int) -> Sentences:
    return Sentences(list(texts[first:stop]), vectors[first:stop])
