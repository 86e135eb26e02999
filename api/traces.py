"""Traces: a span for each request, children for its stages. OpenTelemetry (extra `otel`), imported when `traces` is on.

The standard OTEL_* variables configure sampling, resource and the exporter (OTLP over HTTP). `traceparent` is honoured.
A span holds route, method, status, operation and collection, the tenant where the settings say so; never point ids,
payloads, vectors or keys.

Stages: `plan` and `scan` and `re-check` of a search, `commit` for the wait of a write. Those of a search are sums over
its queries and rounds, laid one behind the other.
"""

import threading
import time
from typing import TYPE_CHECKING, Any

from vdb.config import Settings
from vdb.errors import InvalidArgument
from vdb.types import NAME

from .errors import is_fault
from .exchange import Exchange

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_FLUSH_S = 2.0
_TRACEPARENT = b"traceparent"
_TRACESTATE = b"tracestate"


class Traces:
    """Makes the spans of a server's requests. `begin` and `end` on the event loop, `note` on any thread; close it."""

    def __init__(self, provider: "TracerProvider", with_tenant: bool) -> None:
        from opentelemetry import context, trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("vdb")
        self._with_tenant = with_tenant
        self._context, self._trace = context, trace
        self._propagator = TraceContextTextMapPropagator()

    @classmethod
    def of(cls, settings: Settings) -> "Traces | None":
        """Exporting to where the environment says, if the settings want traces; InvalidArgument without the extra."""
        return cls(_provider(), settings.trace_tenants) if settings.traces else None

    def begin(self, exchange: Exchange) -> None:
        """Open the request's span, and make it the parent of what the task does from now on."""
        given = {
            name.decode(): exchange.headers[name].decode("latin-1")
            for name in (_TRACEPARENT, _TRACESTATE)
            if name in exchange.headers
        }
        method = str(exchange.scope["method"])
        bare = self._context.Context()  # a pipelined request starts within the context of the one before it
        exchange.span = self._tracer.start_span(
            method,
            context=self._propagator.extract(given, bare) if given else bare,
            kind=self._trace.SpanKind.SERVER,
            attributes={"http.request.method": method},
        )
        self._context.attach(self._trace.set_span_in_context(exchange.span))  # ends with the task, which has its own
        exchange.trace_id = f"{exchange.span.get_span_context().trace_id:032x}"

    def end(self, exchange: Exchange, status: int) -> None:
        """Close the request's span with what came of it."""
        span = exchange.span
        found: dict[str, Any] = {"http.response.status_code": status}
        if exchange.route:
            span.update_name(f"{exchange.scope['method']} {exchange.route}")
            found |= {"http.route": exchange.route, "vdb.operation": exchange.operation}
        if exchange.collection is not None and NAME.match(exchange.collection):
            found["vdb.collection"] = exchange.collection
        if self._with_tenant and exchange.tenant is not None:
            found["vdb.tenant"] = exchange.tenant
        span.set_attributes(found)
        if is_fault(status):
            span.set_status(self._trace.StatusCode.ERROR)
        span.end()

    def note(self, stage: str, began: float, seconds: float) -> None:
        """A child of the request's span: `stage` took `seconds` from `began` (of `perf_counter`) on."""
        start_ns = time.time_ns() - int((time.perf_counter() - began) * 1e9)
        self._tracer.start_span(stage, start_time=start_ns).end(start_ns + int(seconds * 1e9))

    def close(self) -> None:
        """Send what is left, for at most two seconds: a collector that is away must not hold up the end."""
        sending = threading.Thread(target=self._provider.shutdown, name="vdb-traces", daemon=True)
        sending.start()
        sending.join(_FLUSH_S)


def _provider() -> "TracerProvider":
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as exc:
        raise InvalidArgument("traces need OpenTelemetry: install vdb with the extra `otel`") from exc
    named = Resource.create({"service.name": "vdb"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=named, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
