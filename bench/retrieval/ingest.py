"""Documents into a server: chunks per second, a folder put again, and runs that are killed.

**Rate.** Eight clients at once, each a process with one connection, put documents of ten paragraphs (SQuAD 2.0, each
copy of a paragraph with a word of its own), 32 in a request, into a collection with a text index; the next request goes
when the last is answered, which is when all of it is durable. Three ways: `none`, the server reads and cuts texts, and
makes no vectors: that is ingest beyond embedding; `given`, chunks with vectors of 384 numbers in base64; `lexical`, the
built-in embedder. By the clock, and by the CPU of the server alone.

**Again.** A folder of the same documents by `vdb ingest` into an empty collection, then once more. The first run is
taken with the lexical embedder in it and without any.

**Killed.** See `killed_ingest`.
"""

import argparse
import gzip
import json
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bench.clients import run_processes
from bench.connection import Connection, request
from bench.report import Figure, median
from bench.retrieval.killed_ingest import killed
from bench.server import Server
from bench.tenants.contender import LeftOut
from vdb.client import Client
from vdb.transfer.ingest import IngestOptions, ingest
from vdb.transfer.progress import Progress

DIMENSION = 384
PARAGRAPHS_PER_DOCUMENT, DOCUMENTS_PER_REQUEST, N_CLIENTS = 10, 32, 8
N_CHUNKS, N_REPEATS = 12_800, 3
N_FILES = 2_000
N_KILLS = 24
MODES = ("none", "given", "lexical")
LEAST_RATE, LEAST_FACTOR = 2_000.0, 20.0
TENANT = "acme"


def measure(given: argparse.Namespace) -> list[Figure]:
    """All figures; the texts lie in the folder `squad2` of the data."""
    n_chunks, n_repeats, n_files, n_kills = (
        (1_280, 1, 60, 3) if given.quick else (N_CHUNKS, N_REPEATS, N_FILES, N_KILLS)
    )
    source = None if given.data is None else given.data / "squad2" / "paragraphs.jsonl.gz"
    if source is None or not source.exists():
        raise LeftOut("the paragraphs of SQuAD 2.0 are not there")
    with tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder:
        with Server(Path(folder)) as server:
            server.await_kernels()
            figures = _rates(server, source, n_chunks, n_repeats)
            figures += _again(server, source, Path(folder) / "files", n_files)
        counts = killed(Path(folder) / "killed", n_kills, given.seed)
    figures.append(Figure("killed and started again: documents or chunks wrong", counts["wrong"], "", bar=0))
    figures += [Figure(f"killed: {name}", counts[name], "") for name in ("client kills", "server kills", "documents")]
    return figures


def paragraphs(source: Path) -> Iterator[str]:
    """Paragraphs for ever: each round of copies has a word of its own."""
    with gzip.open(source, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    number = 0
    while True:
        yield from (f"{text} Copy{number}." for text in texts)
        number += 1


def _documents(source: Path, n: int) -> list[list[str]]:
    endless = paragraphs(source)
    return [list(islice(endless, PARAGRAPHS_PER_DOCUMENT)) for _ in range(n)]


def _rates(server: Server, source: Path, n_chunks: int, n_repeats: int) -> list[Figure]:
    wall: dict[str, list[float]] = {mode: [] for mode in MODES}
    cpu: dict[str, list[float]] = {mode: [] for mode in MODES}
    n_requests = max(1, n_chunks // (PARAGRAPHS_PER_DOCUMENT * DOCUMENTS_PER_REQUEST * N_CLIENTS))
    key = server.make_key(TENANT)
    for repeat in range(n_repeats):
        for mode in MODES:
            name = f"{mode}-{repeat}"
            _make(server, name, mode)
            before_s = server.cpu_s()
            took_s, counts = run_processes(N_CLIENTS, _prepare, server.port, key, name, mode, str(source), n_requests)
            spent_s = server.cpu_s() - before_s
            wall[mode].append(sum(counts) / took_s)
            cpu[mode].append(sum(counts) / spent_s)
    figures = []
    for mode in MODES:
        bar = LEAST_RATE if mode != "lexical" else None
        figures.append(median(f"chunks per second, {mode}", wall[mode], "1/s", bar, at_least=True))
        figures.append(median(f"chunks per second of server CPU, {mode}", cpu[mode], "1/s"))
    return figures


def _make(server: Server, name: str, mode: str) -> None:
    model = {"model": "lexical", "version": "1"} if mode == "lexical" else None
    with Client(f"http://127.0.0.1:{server.port}", server.admin_key) as admin:
        admin.create_collection(name, DIMENSION, embedding=model, text={"fields": {"text": 1}})


def _prepare(number: int, port: int, key: str, collection: str, mode: str, source: str, n: int) -> Callable[[], int]:
    """A client's requests, made before the start; it returns how many chunks were stored."""
    documents = _documents(Path(source), n * DOCUMENTS_PER_REQUEST)
    rng = np.random.default_rng(number)
    bodies = []
    for first in range(0, len(documents), DOCUMENTS_PER_REQUEST):
        shaped = [
            {"id": f"{number}/{first + i}", **_shape(texts, mode, rng)}
            for i, texts in enumerate(documents[first : first + DOCUMENTS_PER_REQUEST])
        ]
        body = json.dumps({"documents": shaped}, separators=(",", ":")).encode()
        bodies.append(request("POST", f"/v1/collections/{collection}/documents", key, body))

    def put() -> int:
        n_chunks = 0
        with Connection(port) as connection:
            for body in bodies:
                answer = json.loads(connection.exchange(body))
                assert all(result["status"] == "created" for result in answer["documents"]), answer
                n_chunks += sum(result["n_chunks"] for result in answer["documents"])
        return n_chunks

    return put


def _shape(texts: list[str], mode: str, rng: np.random.Generator) -> dict[str, Any]:
    if mode != "given":
        return {"text": "\n\n".join(texts)}
    vectors = rng.standard_normal((len(texts), DIMENSION)).astype("<f4")
    return {
        "chunks": [
            {"text": text, "vector": b64encode(vector.tobytes()).decode()}
            for text, vector in zip(texts, vectors, strict=True)
        ]
    }


def _again(server: Server, source: Path, folder: Path, n_files: int) -> list[Figure]:
    folder.mkdir()
    for i, texts in enumerate(_documents(source, n_files)):
        (folder / f"{i:05}.md").write_text("\n\n".join(texts), encoding="utf-8")
    figures = []
    with Client(f"http://127.0.0.1:{server.port}", server.admin_key, TENANT, timeout_s=120.0) as client:
        for mode, model in (("lexical", ("lexical", "1")), ("no embedder", None)):
            options = IngestOptions(
                mode.replace(" ", "-"), (str(folder),), create=True, embedding=model, dimension=DIMENSION
            )
            first, *later = (ingest(client, options, _silent()) for _ in range(4))
            assert (first.created, later[0].unchanged) == (n_files, n_files)
            took_s = [run.took_s for run in later]
            figures.append(Figure(f"vdb ingest, {mode}: chunks per second", first.n_chunks / first.took_s, "1/s"))
            figures.append(median(f"again, {mode}", took_s, "s"))
            factor = [first.took_s / again_s for again_s in took_s]
            figures.append(median(f"again, {mode}: times faster", factor, "x", LEAST_FACTOR, at_least=True))
    return figures


def _silent() -> Progress:
    return Progress(lambda text: None, is_terminal=False)
