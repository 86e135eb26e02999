"""Judges, asked over HTTP after a store: their verdict is the label, and nothing else they do matters."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.engine.cache_driver import CacheDriver
from tests.engine.driver import opened, wait_until


@contextmanager
def judging(status: int, answer: bytes) -> Iterator[tuple[str, list[Any]]]:
    """A judge that always says `answer`: its address, and what it was asked."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing is written to the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/judge", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("verdict", ["right", "wrong"])
def test_a_judges_verdict_becomes_the_label_and_groups_the_entries(tmp_path: Path, verdict: str) -> None:
    said = json.dumps({"verdict": verdict, "why": "because"}).encode()
    with judging(200, said) as (url, asked), opened(tmp_path / "data") as driver:
        cache = CacheDriver.made(driver, {"guard": False, "compare": "judge", "judge_url": url})
        first = cache.ask("acme", "one", {"text": "first"}).entry_id
        stored = cache.store("acme", cache.lookup("acme", "two"), "second")
        assert stored.label is None, "nobody waits for a judge"
        wait_until(lambda: cache.stats("acme").labels_right + cache.stats("acme").labels_wrong == 1)
        assert getattr(cache.stats("acme"), f"labels_{verdict}") == 1
        assert asked == [
            {"question": "two", "answer": "second", "cached_question": "one", "cached_answer": {"text": "first"}}
        ]
        residents = driver.engine.services.caches.open_shards()[0].memory.residents
        old, new = residents[int(first, 16)], residents[int(stored.entry_id, 16)]
        assert (new.group == old.group, new.rejected == old.group) == (verdict == "right", verdict == "wrong")


@pytest.mark.parametrize(
    ("status", "answer"), [(500, b"{}"), (200, b"not json"), (200, b'{"verdict":"maybe"}'), (302, b"")]
)
def test_a_judge_that_gives_no_verdict_leaves_no_label(tmp_path: Path, status: int, answer: bytes) -> None:
    with judging(status, answer) as (url, _), opened(tmp_path / "data") as driver:
        cache = CacheDriver.made(driver, {"guard": False, "compare": "judge", "judge_url": url})
        cache.ask("acme", "one", 1)
        cache.store("acme", cache.lookup("acme", "two"), 2)
        judge = driver.engine.services.judge
        wait_until(lambda: judge.n_failed == 1)
        assert (cache.stats("acme").labels_right, cache.stats("acme").labels_wrong) == (0, 0)
        assert cache.entries("acme") == ["one", "two"]
