"""`vdb ingest` over a folder that changes, killed again and again, and so is its server: in the end all is as it lies.

Each round writes, changes and removes some files, starts `vdb ingest`, and kills it (SIGKILL) at a random moment, or
the server under it, which is started again at once while the client waits for it. A last run with `--delete-missing` is
left alone. Then there is one document for each file, and of each exactly the chunks that reading the file anew gives.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import vdb.testing
from vdb.client.sync import Operations
from vdb.rag.chunk import ChunkOptions
from vdb.rag.extract import Extractor
from vdb.storage.check import check_directory
from vdb.testing import RunningServer

COLLECTION, TENANT = "guides", "acme"
N_FILES = 400
LONGEST_S = 1.2
_WORDS = (
    *("label", "parcel", "return", "refund", "week", "print", "order", "address", "courier", "customs", "desk"),
    *("form", "hour", "item", "invoice"),
)


def killed(folder: Path, n_kills: int, seed: int, n_files: int = N_FILES) -> dict[str, int]:
    """Counts: `client kills`, `server kills`, `documents`, `chunks`, and `wrong`, which is to be 0."""
    rng = random.Random(seed)
    files, counts = folder / "files", {"client kills": 0, "server kills": 0}
    files.mkdir(parents=True)
    for i in range(n_files):
        _write(files / f"f{i:04}.md", rng)
    data = folder / "data"
    with vdb.testing.server(compile_kernels=False, data_dir=data) as server:
        while sum(counts.values()) < n_kills:
            _change(files, rng)
            with _started(server, files) as client:
                time.sleep(rng.uniform(0.2, LONGEST_S))
                if client.poll() is not None:  # it was done before: the next time earlier
                    continue
                if rng.random() < 0.5:
                    client.kill()
                    counts["client kills"] += 1
                else:
                    server.kill()
                    counts["server kills"] += 1
                    server.start()
                    client.wait()
        with _started(server, files, "--delete-missing") as last:
            assert last.wait() == 0, "the last run failed"
        counts |= _compared(server.admin(), files)
    counts["wrong"] += len(list(check_directory(data)))
    return counts


def _started(server: RunningServer, files: Path, *more: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "vdb.cli", "ingest", str(files), "--collection", COLLECTION, "--tenant", TENANT]
    command += ["--create", "--dimension", "32", "--batch", "16", "--quiet", *more]
    environment = os.environ | {"VDB_URL": server.url, "VDB_API_KEY": server.admin_key}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _write(path: Path, rng: random.Random) -> None:
    sections = []
    for i in range(rng.randint(1, 6)):
        words = " ".join(rng.choices(_WORDS, k=rng.randint(20, 160)))
        sections.append(f"# Part {i}\n\n{words.capitalize()}.")
    path.write_text("\n\n".join(sections), encoding="utf-8")


def _change(files: Path, rng: random.Random) -> None:
    present = sorted(files.iterdir())
    for path in rng.sample(present, len(present) // 4):
        path.unlink() if rng.random() < 0.2 else _write(path, rng)
    for _ in range(len(present) // 20):
        _write(files / f"n{rng.randrange(1 << 30):08x}.md", rng)


def _compared(admin: Operations, files: Path) -> dict[str, int]:
    """How many documents and chunks there are, and how many are not what the files say."""
    collection = admin.collection(COLLECTION, TENANT)
    wanted = {path.name: path.read_bytes() for path in files.iterdir()}
    listed = list(collection.documents())
    wrong = len({document.id for document in listed} ^ wanted.keys())
    reader, n_chunks = Extractor(), 0
    for document in listed:
        parsed = reader.parse(wanted.get(document.id, b"?"), "text/markdown", ChunkOptions())
        (found,) = collection.get_documents([document.id], with_chunks=True)
        texts = [(chunk.text, chunk.start) for chunk in found.chunks or ()]
        wrong += texts != [(chunk.text, chunk.start) for chunk in parsed.chunks]
        n_chunks += len(parsed.chunks)
    reader.close()
    wrong += abs(collection.count() - n_chunks)
    return {"documents": len(listed), "chunks": n_chunks, "wrong": wrong}
