"""From the request line to the reply: routes, methods, media types, sizes, keys, threads, log and metrics."""

import asyncio
import io
import json
import re
import threading
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from msgspec import Raw

from tests.api.stub_engine import StubEngine, ask
from tests.api.test_api_decode import BODIES
from vdb.config import Limits, Settings
from vdb.engine.engine import Engine
from vdb.errors import SequenceTimeout
from vdb.protocol import answers
from vdb.protocol.columns import MEDIA_TYPE, join_frame
from vdb.protocol.operations import OPERATIONS, Operation
from vdb_api import deps
from vdb_api.encode import encode_in_pieces
from vdb_api.logs import AccessLog, Line
from vdb_api.metrics import RequestMetrics, exposition
from vdb_api.middleware import Edge
from vdb_api.streaming import Streams

NAMES = {"collection": "notes", "tenant": "acme", "key": "k1", "job": "j1", "backup": "kept"}
NAMES |= {"model": "notes/extractive"}
NAMES |= {"cache": "answers", "category": "faq", "template": "brief", "entry": "0123456789abcdef"}
SMALL = Settings(limits=replace(Limits(), max_body_bytes=100))


def path_of(operation: Operation) -> str:
    return operation.path.format(**NAMES)


def done(*_: Any) -> Any:
    return answers.Done()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_operation_reaches_the_engine(operation: Operation) -> None:
    engine = StubEngine(done)
    answer = ask(engine, operation.method, path_of(operation), BODIES.get(operation.name, b""))
    assert answer.status == (201 if operation.created else 200)
    assert answer.json == {"deleted": True}
    (call,) = engine.calls
    given = tuple(name for field, name in NAMES.items() if f"{{{field}}}" in operation.path)
    assert (call.name, call.path) == (operation.name, given)
    assert isinstance(call.request, operation.request)


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "DELETE", "TRACE"])
def test_a_method_a_route_lacks_is_405_with_the_methods_it_has(method: str) -> None:
    answer = ask(StubEngine(), method, "/v1/collections/notes/search")
    assert (answer.status, answer.code, answer.headers["allow"]) == (405, "method_not_allowed", "POST")


def test_allow_lists_every_method_of_the_path() -> None:
    assert ask(StubEngine(), "PUT", "/v1/collections/notes").headers["allow"] == "DELETE, GET, PATCH"
    assert ask(StubEngine(), "POST", "/metrics").headers["allow"] == "GET"


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/collections/", "/v1/collections//search", "/docs", "/v2/limits"])
def test_an_unknown_path_is_404(path: str) -> None:
    answer = ask(StubEngine(), "POST", path)
    assert (answer.status, answer.code) == (404, "route_not_found")


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""])
@pytest.mark.parametrize("path", ["/v1/collections", "/v1/collections/notes/search"])
def test_another_media_type_is_415(path: str, media_type: str) -> None:
    answer = ask(StubEngine(done), "POST", path, {"vector": [1]}, headers=[("Content-Type", media_type)])
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize("media_type", ["application/json", "Application/JSON; charset=utf-8"])
def test_json_may_name_its_charset(media_type: str) -> None:
    engine = StubEngine(done)
    path = "/v1/collections/notes/search"
    assert ask(engine, "POST", path, {"vector": [1]}, headers=[("Content-Type", media_type)]).status == 200


def test_a_binary_body_is_for_hot_routes_only() -> None:
    body, headers = join_frame({}, np.ones(3, dtype=np.float32)), [("Content-Type", MEDIA_TYPE)]
    engine = StubEngine(done)
    assert ask(engine, "POST", "/v1/collections/notes/search", body, headers=headers).status == 200
    assert engine.calls[0].vectors.tolist() == [1, 1, 1]
    assert ask(engine, "POST", "/v1/collections/notes/points/count", body, headers=headers).status == 415


def test_a_compressed_body_is_415() -> None:
    answer = ask(StubEngine(), "POST", "/v1/tenants", {"name": "a"}, headers=[("Content-Encoding", "gzip")])
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize("path", ["/v1/tenants", "/v1/collections/notes/points"])
def test_a_body_over_the_cap_is_413_by_its_declared_length_and_by_its_chunks(path: str) -> None:
    engine = StubEngine(settings=SMALL)
    declared = ask(engine, "POST", path, b"{}", headers=[("Content-Length", "101")])
    assert (declared.status, declared.code) == (413, "body_too_large")
    chunked = ask(engine, "POST", path, chunks=[b" " * 60, b" " * 60, b"{}"])
    assert (chunked.status, chunked.code) == (413, "body_too_large")
    fitting = ask(engine, "POST", path, chunks=[b" " * 60, b'{"points":[],', b'"name":"a"}'])
    assert fitting.code == "unknown_field"


def test_an_empty_request_takes_no_body_or_an_empty_object() -> None:
    for body, status in ((b"", 200), (b"{}", 200), (b'{"a":1}', 400), (b"[]", 400)):
        assert ask(StubEngine(done), "DELETE", "/v1/keys/k1", body).status == status


def test_the_key_and_the_named_tenant_reach_the_engine() -> None:
    engine = StubEngine(done)
    ask(engine, "GET", "/v1/limits", headers=[("Vdb-Tenant", "acme")])
    assert engine.tenants == ["acme"]
    assert ask(engine, "GET", "/v1/limits", key=None, headers=[("Authorization", "Basic admin")]).status == 401
    assert ask(engine, "GET", "/v1/limits", key=None, headers=[("Authorization", "bearer admin")]).status == 200


def test_a_header_that_says_who_asks_stands_once() -> None:
    twice = [("Vdb-Tenant", "acme"), ("Vdb-Tenant", "globex")]
    answer = ask(StubEngine(done), "GET", "/v1/limits", headers=twice)
    assert (answer.status, answer.code) == (400, "invalid_argument")


def test_nothing_is_read_before_the_key_is_known() -> None:
    answer = ask(StubEngine(settings=SMALL), "POST", "/v1/tenants", b"{", key=None, headers=[("Content-Length", "999")])
    assert answer.status == 401


@pytest.mark.parametrize(("given", "kept"), [("abc-1._Z", True), ("a b", False), ("x" * 65, False), ("", False)])
def test_a_sane_request_id_is_kept(given: str, kept: bool) -> None:
    answer = ask(StubEngine(done), "GET", "/v1/limits", headers=[("X-Request-Id", given)])
    assert (answer.headers["x-request-id"] == given) is kept
    assert answer.headers["server-timing"].startswith("total;dur=")


def test_a_write_is_answered_when_its_future_is_done() -> None:
    def later(*_: Any) -> Any:
        future: Future[Any] = Future()
        threading.Timer(0.05, future.set_result, [answers.Written(sequence=3)]).start()
        return future

    for is_quick in (True, False):
        engine = StubEngine(later, is_quick=is_quick)
        assert ask(engine, "POST", "/v1/collections/notes/points", BODIES["upsert"]).json == {"sequence": 3}


def test_long_work_leaves_the_event_loop() -> None:
    engine = StubEngine(done, is_quick=False)
    ask(engine, "POST", "/v1/collections/notes/search", BODIES["search"])
    assert engine.calls[0].thread.startswith("vdb-reader")


def test_what_a_search_that_asked_a_model_found_is_encoded_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of up to 128 MiB were encoded on it: everybody waited."""
    threads: list[str] = []

    def encode(answer: Any) -> bytes:
        threads.append(threading.current_thread().name)
        return encode_in_pieces(answer)

    def later(*_: Any) -> Any:
        future: Future[Any] = Future()
        threading.Timer(0.05, future.set_result, [answers.SearchAnswer(sequence=3, hits=[])]).start()
        return future

    monkeypatch.setattr(deps, "encode_in_pieces", encode)
    found = ask(StubEngine(later, is_quick=False), "POST", "/v1/collections/notes/search", BODIES["search"])
    assert found.json == {"sequence": 3, "hits": []}
    assert len(threads) == 1 and threads[0].startswith("vdb-reader")


def test_a_large_body_is_decoded_as_a_small_one() -> None:
    engine = StubEngine(done)
    ids = [f"{number:09}" for number in range(30_000)]
    assert ask(engine, "POST", "/v1/collections/notes/points/get", {"ids": ids}).status == 200
    assert engine.calls[0].request.ids == ids


def test_a_read_waits_for_its_sequence_and_then_gives_up() -> None:
    n_tries = 0

    def not_yet(*_: Any) -> Any:
        nonlocal n_tries
        n_tries += 1
        if n_tries < 4:
            raise SequenceTimeout("not yet")
        return answers.Done()

    engine = StubEngine(not_yet)
    assert ask(engine, "POST", "/v1/collections/notes/points/count", {"min_sequence": 5}).status == 200
    n_tries = -(10**9)
    answer = ask(engine, "POST", "/v1/collections/notes/points/count", {"min_sequence": 5, "timeout_s": 0.05})
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "sequence_timeout", "1")


def test_payloads_pass_through_and_vectors_become_lists() -> None:
    hit = answers.Hit(id="a", owner="t", distance=0.5, version=1, payload=Raw(b'{"x": 1}'))
    hit.vector = np.array([0.5, 2], dtype=np.float32)
    answer = ask(
        StubEngine(lambda *_: answers.SearchAnswer(sequence=1, hits=[hit])),
        "POST", "/v1/collections/notes/search", BODIES["search"],
    )  # fmt: skip
    assert answer.json["hits"] == [
        {"id": "a", "owner": "t", "distance": 0.5, "version": 1, "payload": {"x": 1}, "vector": [0.5, 2.0]}
    ]


def test_health_and_document_need_no_key() -> None:
    engine = StubEngine()
    assert ask(engine, "GET", "/healthz", key=None).json == {"status": "alive"}
    assert ask(engine, "GET", "/readyz", key=None).json["status"] == "ready"
    assert ask(engine, "GET", "/openapi.json", key=None).json["openapi"] == "3.1.0"
    engine.is_ready = False
    assert ask(engine, "GET", "/readyz", key=None).code == "unavailable"
    assert ask(engine, "GET", "/healthz", key=None).status == 200


def test_metrics_are_for_admin_keys() -> None:
    assert ask(StubEngine(), "GET", "/metrics", key=None).status == 401
    assert ask(StubEngine(), "GET", "/metrics", key="write").status == 403
    answer = ask(StubEngine(), "GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    text = answer.body.decode()
    assert "process_cpu_seconds_total " in text
    assert 'vdb_points{collection="a\\"b"} 3.0\n' in text
    assert "vdb_http_requests_in_flight 1\n" in text


def access_line(monkeypatch: pytest.MonkeyPatch, *request: Any, **more: Any) -> dict[str, Any]:
    """The access log of one request."""
    written = io.BytesIO()
    log = AccessLog(written)
    original = Edge.__init__

    def logged(self: Edge, inner: Any, service: Any, _: Any) -> None:
        original(self, inner, service, log)

    monkeypatch.setattr(Edge, "__init__", logged)
    ask(*request, **more)
    log.flush()
    (line,) = written.getvalue().splitlines()
    return dict(json.loads(line))


def test_lines_of_the_access_log_leave_together() -> None:
    written = io.BytesIO()
    line = Line(0.0, "id", "", "127.0.0.1", "", "GET", "/livez", None, None, None, 200, "", 0.001, 2)

    async def ask_often() -> list[int]:
        log, counts = AccessLog(written), []
        for n in (63, 1, 3):
            for _ in range(n):
                log.write(line)
            counts.append(written.getvalue().count(b"\n"))
        await asyncio.sleep(0.2)
        return [*counts, written.getvalue().count(b"\n")]

    assert asyncio.run(ask_often()) == [0, 64, 64, 67]
    assert json.loads(written.getvalue().splitlines()[-1])["time"] == "1970-01-01T00:00:00.000+00:00"


def test_the_access_log_says_what_happened_and_keeps_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"points": [{"id": "secret-id", "vector": [0.125], "payload": {"text": "secret text"}}]}
    line = access_line(monkeypatch, StubEngine(done), "POST", "/v1/collections/notes/points", body, key="write")
    assert line.pop("duration_ms") > 0
    assert line.pop("time").endswith("+00:00")
    assert re.fullmatch("[0-9a-f]{12}-[0-9a-f]+", line.pop("request_id"))
    assert line == {
        "level": "info", "event": "request", "client": "127.0.0.1", "method": "POST",
        "route": "/v1/collections/{collection}/points", "collection": "notes",
        "tenant": "acme", "status": 200, "bytes": 16,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["NOTES", "a" * 65, "no tes"])
def test_a_path_that_is_no_name_does_not_reach_the_log(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    line = access_line(monkeypatch, StubEngine(), "POST", f"/v1/collections/{name}/search", BODIES["search"])
    assert "collection" not in line


def test_requests_are_counted_by_operation_and_status() -> None:
    metrics = RequestMetrics(cast(Engine, StubEngine()), Streams(), int)
    for status in (200, 200, 404):
        metrics.observe("search", status, 0.003)
    text = exposition(metrics, StubEngine()).decode()  # type: ignore[arg-type]
    assert 'vdb_http_requests_total{operation="search",status="200"} 2\n' in text
    assert 'vdb_http_request_duration_seconds_bucket{operation="search",le="0.0025"} 0\n' in text
    assert 'vdb_http_request_duration_seconds_bucket{operation="search",le="0.005"} 3\n' in text
    assert 'vdb_http_request_duration_seconds_count{operation="search"} 3\n' in text
