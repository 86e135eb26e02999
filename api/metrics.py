"""Figures of the server in the Prometheus text format 0.0.4: requests, the process, and what the engine reports.

Threading: counted and read on the event loop only.
"""

import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

from vdb.engine.answering.figures import STAGE_BUCKETS_S
from vdb.engine.engine import Engine

from .by_name import COLLECTION_BUCKETS_S, CollectionFigures, TenantFigures
from .errors import is_refusal
from .streaming import Streams

Sample = tuple[dict[str, str], float]
Family = tuple[str, str, str, list[Sample]]
"""Name, type, help, samples."""

BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class RequestMetrics:
    """Requests by operation and status, their latency by operation, and how many are in flight.

    Also by collection and tenant: `engine` knows which there are. `n_waiting` tells how many wait for a thread.
    """

    def __init__(self, engine: Engine, streams: Streams, n_waiting: Callable[[], int]) -> None:
        self.n_in_flight = 0
        self.n_queue_full = 0
        self._streams = streams
        self._n_waiting = n_waiting
        self._engine = engine
        self._collections = CollectionFigures(engine.settings.limits.max_collections, engine.collection_names)
        self._tenants = TenantFigures(engine.settings.metrics_tenants)
        self._counts: dict[tuple[str, int], int] = {}
        self._buckets: dict[str, list[int]] = {}
        self._sums_s: dict[str, float] = {}

    def observe(self, operation: str, status: int, duration_s: float) -> None:
        """Count one finished request."""
        key = (operation, status)
        self._counts[key] = self._counts.get(key, 0) + 1
        buckets = self._buckets.get(operation)
        if buckets is None:
            buckets = self._buckets[operation] = [0] * (len(BUCKETS_S) + 1)
            self._sums_s[operation] = 0.0
        buckets[bisect_left(BUCKETS_S, duration_s)] += 1
        self._sums_s[operation] += duration_s

    def observe_names(self, collection: str | None, tenant_id: int | None, status: int, duration_s: float) -> None:
        """Count one finished request on its collection, if there is one of that name, and on its tenant."""
        if collection is not None:
            name = self._engine.collection_named(collection)
            if name is not None:
                self._collections.observe(name, status // 100, duration_s)
        if tenant_id is not None:
            self._tenants.observe(tenant_id, duration_s, is_refusal(status))

    def families(self) -> list[Family]:
        """The counts as metric families."""
        requests: list[Sample] = [
            ({"operation": operation, "status": str(status)}, n) for (operation, status), n in self._counts.items()
        ]
        refused = self._engine.meter.n_refused | {"queue": self.n_queue_full}
        return [
            ("vdb_http_requests_total", "counter", "Requests answered.", requests),
            ("vdb_http_requests_in_flight", "gauge", "Requests being answered.", [({}, self.n_in_flight)]),
            ("vdb_waiting_requests", "gauge", "Requests that wait for a thread.", [({}, self._n_waiting())]),
            ("vdb_streams_in_flight", "gauge", "Answers being sent as events.", [({}, self._streams.n_streaming)]),
            ("vdb_streams_total", "counter", "Answers sent as events, by how they ended.",
             [({"outcome": outcome}, n) for outcome, n in self._streams.outcomes.items()]),
            ("vdb_refused_requests_total", "counter", "Requests refused: a rate used up, or a full queue.",
             [({"kind": kind}, n) for kind, n in refused.items()]),
            ("vdb_collection_requests_total", "counter", "Requests by collection and class of status.",
             self._collections.requests()),
            *self._tenant_families(),
        ]  # fmt: skip

    def _tenant_families(self) -> list[Family]:
        found = self._tenants.samples(self._engine.tenant_name)
        told = ("Requests of the tenants that ask most.", "Those of them refused.", "Seconds that they took.")
        names = ("vdb_tenant_requests_total", "vdb_tenant_refused_total", "vdb_tenant_request_seconds_total")
        return [
            (name, "counter", description, [({"tenant": tenant}, figures[i]) for tenant, figures in found.items()])
            for i, (name, description) in enumerate(zip(names, told, strict=True))
        ]

    def histograms(self) -> Iterable[str]:
        """The lines of the latency histograms."""
        operations = ((name, buckets, self._sums_s[name]) for name, buckets in self._buckets.items())
        name = "vdb_http_request_duration_seconds"
        description = "Time to the answer from the request's head, or from its body where that is small."
        yield from _histogram(name, description, "operation", BUCKETS_S, operations)
        name, collections = "vdb_collection_request_duration_seconds", self._collections.latencies()
        yield from _histogram(name, "The same by collection.", "collection", COLLECTION_BUCKETS_S, collections)


def exposition(requests: RequestMetrics, engine: Engine, n_audit_lines_lost: int = 0) -> bytes:
    """All metrics as text."""
    lines: list[str] = []
    audit: Family = ("vdb_audit_lines_lost_total", "counter", "Audit lines not written.", [({}, n_audit_lines_lost)])
    for name, kind, description, samples in (*requests.families(), audit, *_process(), *engine.metrics()):
        lines += _head(name, kind, description)
        lines += [_line(name, labels, value) for labels, value in samples]
    lines += requests.histograms()
    stages = "vdb_answer_stage_seconds", "Time of an answer's stages.", "stage"
    lines += _histogram(*stages, STAGE_BUCKETS_S, engine.answer_stages())
    return ("\n".join(lines) + "\n").encode()


def _process() -> list[Family]:
    families: list[Family] = [
        ("process_cpu_seconds_total", "counter", "CPU time of the process.", [({}, time.process_time())])
    ]
    resident = _resident_bytes()
    if resident is not None:
        families.append(("process_resident_memory_bytes", "gauge", "Resident memory.", [({}, resident)]))
    return families


def _resident_bytes() -> int | None:
    """Resident memory, where the system tells it without a library."""
    if sys.platform != "linux":
        return None
    with open("/proc/self/status", encoding="ascii") as status:
        found = [line for line in status if line.startswith("VmRSS:")]
    return int(found[0].split()[1]) * 1024 if found else None


def _histogram(
    name: str, description: str, label: str, bounds_s: Sequence[float], series: Iterable[tuple[str, list[int], float]]
) -> Iterable[str]:
    yield from _head(name, "histogram", description)
    for value, buckets, sum_s in series:
        labels = {label: value}
        n_below = 0
        for bound, n in zip((*map(repr, bounds_s), "+Inf"), buckets, strict=True):
            n_below += n
            yield _line(f"{name}_bucket", {**labels, "le": bound}, n_below)
        yield _line(f"{name}_sum", labels, sum_s)
        yield _line(f"{name}_count", labels, n_below)


def _head(name: str, kind: str, description: str) -> list[str]:
    return [f"# HELP {name} {description}", f"# TYPE {name} {kind}"]


def _line(name: str, labels: dict[str, str], value: float) -> str:
    text = ",".join(f'{key}="{_escaped(given)}"' for key, given in labels.items())
    return f"{name}{{{text}}} {value!r}" if text else f"{name} {value!r}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
