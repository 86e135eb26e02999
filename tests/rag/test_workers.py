"""Worker processes: limits, crashes, shutdown, and none left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO

import pytest

from tests.rag.pdf_files import bomb, pages, text_page
from vdb.config import MIB
from vdb.errors import DocumentTooLarge, ShuttingDown, UnreadableDocument
from vdb.rag.chunk import ChunkOptions
from vdb.rag.extract import Extractor
from vdb.rag.extract.wire import read_frame, write_frame

OPTIONS = ChunkOptions()
PAGE = b"<h1>A</h1><p>Some words."
SLOW = b"- x\n" * (2 << 20)  # Markdown that takes a minute
WITHIN_S = 60.0


@contextmanager
def _extractor(n_workers: int = 1, cpu_s: float = 30.0, memory_bytes: int = 1024 * MIB) -> Iterator[Extractor]:
    extractor = Extractor(n_workers=n_workers, cpu_s=cpu_s, memory_bytes=memory_bytes)
    try:
        yield extractor
    finally:
        extractor.close()


def _wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + WITHIN_S
    while not until():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def _pids(extractor: Extractor) -> list[int]:
    return [worker._process.pid for worker in extractor._workers._all]


def _is_running(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def test_every_format_comes_out_of_a_worker_as_it_went_in() -> None:
    with _extractor() as extractor:
        assert _pids(extractor) == []
        assert extractor.parse(PAGE, "text/html", OPTIONS).chunks[0].heading == ("A",)
        assert extractor.parse(pages([text_page("Text")]), "application/pdf", OPTIONS).chunks[0].page == 1
        assert extractor.parse(b"# B\n\n" + b"text " * 10_000, "text/markdown", OPTIONS).title == "B"
        assert len(_pids(extractor)) == 1


def test_errors_keep_their_class() -> None:
    with _extractor() as extractor:
        with pytest.raises(UnreadableDocument, match="no text"):
            extractor.parse(b"<p> ", "text/html", OPTIONS)
        with pytest.raises(DocumentTooLarge, match="up to 10,000 chunks"):
            extractor.parse(b"word " * 20_000, "text/plain", ChunkOptions(1))
        assert len(_pids(extractor)) == 1


def test_a_document_that_takes_too_long_is_refused_and_the_next_one_read() -> None:
    with _extractor(cpu_s=1.0) as extractor:
        assert extractor.parse(PAGE, "text/html", OPTIONS).chunks
        before = _pids(extractor)
        with pytest.raises(UnreadableDocument, match="longer than 1 s"):
            extractor.parse(SLOW, "text/markdown", OPTIONS)
        assert extractor.parse(PAGE, "text/html", OPTIONS).chunks
        assert _pids(extractor) != before
        assert not any(_is_running(pid) for pid in before)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS bounds no address space")
@pytest.mark.parametrize(
    ("data", "media_type"),
    [(b"some words. " * (2 << 20), "text/plain"), (pages([bomb(70_000_000)] * 3), "application/pdf")],
    ids=["text", "pdf"],
)
def test_a_document_that_takes_too_much_memory_is_refused_and_the_next_one_read(data: bytes, media_type: str) -> None:
    with _extractor(memory_bytes=160 * MIB) as extractor:
        with pytest.raises(UnreadableDocument, match="160 MiB of memory"):
            extractor.parse(data, media_type, OPTIONS)
        assert extractor.parse(PAGE, "text/html", OPTIONS).chunks


def test_an_idle_worker_that_was_killed_is_replaced() -> None:
    with _extractor() as extractor:
        assert extractor.parse(PAGE, "text/html", OPTIONS).chunks
        (pid,) = _pids(extractor)
        os.kill(pid, signal.SIGKILL)
        _wait(lambda: not _is_running(pid))
        assert extractor.parse(PAGE, "text/html", OPTIONS).chunks
        assert _pids(extractor) != [pid]


def test_many_threads_share_few_workers() -> None:
    with _extractor(n_workers=2) as extractor, ThreadPoolExecutor(8) as pool:
        texts = [f"<p>number {n}" for n in range(40)]
        parsed = pool.map(lambda text: extractor.parse(text.encode(), "text/html", OPTIONS), texts)
        assert [each.chunks[0].text for each in parsed] == [f"number {n}" for n in range(40)]
        assert len(_pids(extractor)) <= 2


def test_closing_ends_workers_and_refuses_what_they_read() -> None:
    with _extractor() as extractor, ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(extractor.parse, SLOW, "text/markdown", OPTIONS) for _ in range(2)]
        _wait(lambda: _pids(extractor) != [])
        (pid,) = _pids(extractor)
        extractor.close()
        for future in futures:
            with pytest.raises(ShuttingDown):
                future.result(WITHIN_S)
        assert not _is_running(pid)
        with pytest.raises(ShuttingDown):
            extractor.parse(PAGE, "text/html", OPTIONS)
    assert threading.active_count() < 20


SERVER = """
import sys, threading
from vdb.rag.chunk import ChunkOptions
from vdb.rag.extract import Extractor
extractor = Extractor(n_workers=2)
for kind, data in (("text/html", b"<p>x"), ("text/markdown", b"- x\\n" * (2 << 20))):
    threading.Thread(target=extractor.parse, args=(data, kind, ChunkOptions()), daemon=True).start()
while len(extractor._workers._all) < 2 or not extractor._workers._idle:
    pass
print(*(worker._process.pid for worker in extractor._workers._all), flush=True)
sys.stdin.read()
"""


def test_no_worker_outlives_a_server_that_is_killed() -> None:
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None and server.stdin is not None
    with server.stdout, server.stdin:
        pids = [int(pid) for pid in server.stdout.readline().split()]
        assert len(pids) == 2 and all(_is_running(pid) for pid in pids)
        server.kill()
        server.wait()
    _wait(lambda: not any(_is_running(pid) for pid in pids))


def test_a_worker_imports_nothing_of_the_server() -> None:
    code = (
        "import sys; import vdb.rag.extract.worker as w; from vdb.rag.extract.formats import parse;"
        " from vdb.rag.chunk import ChunkOptions; parse(b'<p>x', 'text/html', ChunkOptions(), 9);"
        " print(*sorted({'numpy', 'numba', 'lmdb', 'fastapi', 'pypdf', 'markdown_it', 'asyncio'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_a_frame_that_is_cut_or_too_long_is_none() -> None:
    file = BytesIO()
    write_frame(file, b"abc")
    assert read_frame(BytesIO(file.getvalue()), 3) == b"abc"
    assert [read_frame(BytesIO(file.getvalue()[:n]), 3) for n in range(11)] == [None] * 11
    assert read_frame(BytesIO(file.getvalue()), 2) is None
