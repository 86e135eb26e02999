"""Traces: spans of requests and their stages, nothing in them that is a tenant's, nothing loaded where they are off."""

import http.client
import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from tests.api.stub_engine import StubEngine, ask
from tests.api.test_api_server import LIMIT_S, ended, refused, serving, started
from tests.house.sources import ROOT
from vdb.config import Settings
from vdb.engine.engine import Engine
from vdb_api.exchange import Exchange
from vdb_api.logs import AccessLog
from vdb_api.middleware import Edge
from vdb_api.traces import Traces

ADMIN = "an-admin-key-for-tests"
SEARCH = "/v1/collections/notes/search"
SEARCHED = "POST /v1/collections/{collection}/search"
TRACEPARENT = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


class Traced:
    """A real engine with one point in it, asked through the application, and the spans of each request."""

    def __init__(self, engine: Engine, with_tenant: bool) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.traces = Traces(provider, with_tenant)
        self.engine = engine
        engine.services.stages = self.traces
        self.ask("POST", "/v1/collections", {"name": "notes", "dimension": 2, "metric": "l2"})
        self.upsert()

    def ask(self, method: str, path: str, body: object = b"", *headers: tuple[str, str], key: str = ADMIN) -> Any:
        self.exporter.clear()
        return ask(cast(StubEngine, self.engine), method, path, body, key=key, headers=headers, traces=self.traces)

    def upsert(self) -> None:
        point = {"id": "secret-id", "vector": [0.125, 1], "payload": {"text": "private words"}}
        self.ask("POST", "/v1/collections/notes/points", {"points": [point]}, ("Vdb-Tenant", "acme"))

    def search(self, *headers: tuple[str, str], **more: object) -> list[str]:
        answer = self.ask("POST", SEARCH, {"vector": [0.125, 1], **more}, ("Vdb-Tenant", "acme"), *headers)
        return [hit["id"] for hit in answer.json["hits"]]

    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture(params=[False, True], ids=["without tenants", "with tenants"])
def traced(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Traced]:
    engine = Engine.open(Settings(data_dir=tmp_path / "data", admin_key=ADMIN, compile_kernels=False))
    try:
        yield Traced(engine, request.param)
    finally:
        engine.close()


def ids_of(span: ReadableSpan) -> tuple[int, int]:
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id


@pytest.mark.parametrize(
    "more", [{}, {"filter": {"field": "text", "eq": "private words"}}], ids=["quick", "in a thread"]
)
def test_a_search_is_a_span_with_its_stages_inside(traced: Traced, more: dict[str, Any]) -> None:
    assert traced.search(**more) == ["secret-id"]
    spans = traced.spans()
    root = spans.pop(SEARCHED)
    assert set(spans) == {"plan", "scan", "re-check"}
    assert {span.parent.span_id for span in spans.values() if span.parent} == {ids_of(root)[1]}
    assert all((span.end_time or 0) >= (span.start_time or 0) > 0 for span in spans.values())


def test_a_write_is_a_span_with_its_wait_for_the_commit(traced: Traced) -> None:
    traced.upsert()
    assert set(traced.spans()) == {"POST /v1/collections/{collection}/points", "commit"}


def test_an_answer_is_a_span_with_its_stages_inside_and_nothing_of_its_texts(traced: Traced) -> None:
    body = {"collection": "notes", "question": "Which PRIVATE label?", "vector": [0.125, 1], "threshold": 0}
    answer = traced.ask("POST", "/v1/answer", body, ("Vdb-Tenant", "acme"))
    assert answer.json["found"], answer.body
    spans = traced.spans()
    assert {"retrieval", "context", "generate", "POST /v1/answer"} <= set(spans)
    root = ids_of(spans["POST /v1/answer"])
    for stage in ("retrieval", "context", "generate"):
        parent = spans[stage].parent
        assert parent is not None and (parent.trace_id, parent.span_id) == root, stage
    everything = "".join(span.to_json() for span in traced.exporter.get_finished_spans())
    for secret in ("PRIVATE", "private words", "secret-id", "0.125"):
        assert secret not in everything


def test_a_search_that_waits_for_a_model_keeps_its_stages(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    embedding = {"model": "lexical", "version": "1"}
    traced.ask("POST", "/v1/collections", {"name": "texts", "dimension": 32, "embedding": embedding})
    lexical = traced.engine.services.models.embedder("lexical")
    monkeypatch.setattr(lexical, "is_quick", False)
    traced.ask("POST", "/v1/collections/texts/search", {"text": "words"}, ("Vdb-Tenant", "acme"))
    spans = traced.spans()
    parent = spans["scan"].parent
    assert parent is not None and (parent.trace_id, parent.span_id) == ids_of(spans[SEARCHED])


def test_a_span_says_what_the_access_log_says_and_nothing_of_the_tenant(traced: Traced) -> None:
    traced.search(limit=3)
    expected: dict[str, object] = {
        "http.request.method": "POST", "http.route": "/v1/collections/{collection}/search", "vdb.operation": "search",
        "http.response.status_code": 200, "vdb.collection": "notes",
    }  # fmt: skip
    if traced.traces._with_tenant:
        expected["vdb.tenant"] = "acme"
    assert dict(traced.spans()[SEARCHED].attributes or {}) == expected
    everything = ""
    for step in (traced.search, traced.upsert):
        step()
        everything += "".join(span.to_json() for span in traced.exporter.get_finished_spans())
    traced.ask("POST", "/v1/collections/SECRET/search", {"vector": [1, 2]}, ("Vdb-Tenant", "acme"))
    everything += "".join(span.to_json() for span in traced.exporter.get_finished_spans())
    assert "404" in everything
    for secret in ("secret-id", "private words", "0.125", ADMIN, "SECRET"):
        assert secret not in everything


def test_a_trace_of_the_caller_is_continued_and_a_malformed_one_is_not(traced: Traced) -> None:
    traced.search(TRACEPARENT)
    root = traced.spans()[SEARCHED]
    assert f"{ids_of(root)[0]:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert root.parent is not None and f"{root.parent.span_id:016x}" == "b7ad6b7169203331"
    for text in ("00-xyz", "", "é" * 300, "00-" + "0" * 32 + "-b7ad6b7169203331-01"):
        assert traced.search(("traceparent", text)) == ["secret-id"]
        assert traced.spans()[SEARCHED].parent is None


def test_requests_do_not_become_parts_of_each_other(traced: Traced) -> None:
    found = set()
    for _ in range(3):
        traced.search()
        found.add(ids_of(traced.spans()[SEARCHED])[0])
    assert len(found) == 3


def test_a_request_that_follows_in_the_same_context_is_no_part_of_the_one_before(traced: Traced) -> None:
    for headers in ([], [(b"traceparent", b"00-xyz")]):
        scope = {"type": "http", "method": "GET", "headers": headers}
        one, two = Exchange(scope, None), Exchange(scope, None)  # type: ignore[arg-type]
        traced.traces.begin(one)
        traced.traces.begin(two)
        assert two.span.parent is None
        assert one.trace_id != two.trace_id


def test_a_refused_request_is_a_span_and_only_a_fault_of_ours_is_an_error(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced.ask("GET", "/v1/collections", key="wrong-key-of-some-length")
    (span,) = traced.exporter.get_finished_spans()
    assert (span.name, (span.attributes or {})["http.response.status_code"]) == ("GET /v1/collections", 401)
    assert span.status.is_unset
    monkeypatch.setattr(traced.engine, "run", lambda *_: 1 / 0)
    traced.ask("GET", "/v1/collections")
    (span,) = traced.exporter.get_finished_spans()
    assert not span.status.is_ok


def test_the_access_log_names_the_trace_sampled_or_not(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    log = AccessLog(written)
    original = Edge.__init__
    monkeypatch.setattr(Edge, "__init__", lambda self, inner, service, _: original(self, inner, service, log))
    traced.search(TRACEPARENT)
    log.flush()
    traced.traces = Traces(TracerProvider(sampler=ALWAYS_OFF), False)
    traced.search(TRACEPARENT)
    log.flush()
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [line["trace_id"] for line in lines] == [TRACEPARENT[1].split("-")[1]] * 2


def test_without_traces_opentelemetry_is_not_loaded() -> None:
    # FastAPI loads OpenTelemetry's bare interface, which does nothing without the rest.
    code = "import sys, vdb_api.server; print(*{'opentelemetry.sdk', 'opentelemetry.exporter'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


class Collector:
    """An OTLP collector that remembers the bodies it was sent."""

    def __init__(self) -> None:
        self.received: list[tuple[str, bytes]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.received.append((self.path, body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self) -> "Collector":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


def ask_once(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    connection.request("GET", "/healthz")
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_server_sends_its_spans_where_the_environment_says(tmp_path: Path) -> None:
    with Collector() as collector:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server.server_port}",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
        }
        with started(*serving(tmp_path / "data", "--traces"), **environment) as (process, _, port):
            assert ask_once(port) == 200
            assert ended(process)[0] == 0
    (path, body) = collector.received[-1]
    assert path == "/v1/traces"
    for text in (b"GET /healthz", b"service.name", b"vdb", b"deployment.environment"):
        assert text in body


def test_a_collector_that_is_away_neither_stops_requests_nor_the_end(tmp_path: Path) -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    with started(*serving(tmp_path / "data", "--traces"), **environment) as (process, _, port):
        assert ask_once(port) == 200
        code, _, err = ended(process)
    assert code == 0
    assert all(json.loads(line) for line in err.splitlines())


def test_traces_without_the_extra_are_refused_at_start(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['opentelemetry.sdk'] = None")
    line = refused(*serving(tmp_path / "data", "--traces"), PYTHONPATH=str(tmp_path))
    assert line == "vdb: traces need OpenTelemetry: install vdb with the extra `otel`"
    assert not (tmp_path / "data").exists()
