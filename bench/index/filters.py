"""Filtered searches of an indexed collection through the engine: recall, hits, CPU of a first and of a later search.

Fields are indexed. One tenant owns 100,000 points, others were granted parts of them. `n` is uniform in [0, 10,000):
a filter is a range of it, of the selectivity's width, beginning anywhere; a filter's first search makes its row set and
narrows the reading, later ones find both. `c` has a hundred values: a filter by one of them is what a label is. Exact
answers are the server's own. CPU time of the thread.
"""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
from msgspec import Raw
from numpy.typing import NDArray

from bench.index.arena import world
from bench.report import Figure, median
from bench.tenants.workload import Workload
from vdb.config import Settings
from vdb.engine.engine import Engine
from vdb.protocol.columns import SearchHead, UpsertHead
from vdb.protocol.requests import CreateCollection, CreateTenant, Empty, Request, SearchParams
from vdb.types import FieldType, Metric, Role

RECALL_BAR, FIRST_BAR_MS, CACHED_BAR_MS = 0.99, 1.0, 0.2
VALUES = 10_000
N_VALUES = 100
SELECTIVITIES = (0.5, 0.1, 0.01, 0.001, 0.0001)
JUDGED = 0.01
"""The selectivity that the bars on time are about."""
N_POINTS = 100_000
LIMIT = 10
BATCH = 1_000
N_LATER = 20
"""Searches with a filter after its first, by other queries."""
TOLERANCE = 1e-5
BUILD_TIMEOUT_S = 600.0
_NAME = "notes"
OWNER = "owner"


class Place:
    """An engine with one indexed collection; tenants are named by their numbers, the owner of all apart."""

    def __init__(self, folder: Path, workload: Workload, n: int) -> None:
        self.engine = Engine.open(Settings(data_dir=folder, admin_key="", index_from_points=min(20_000, n // 4)))
        try:
            self._fill(workload, n)
        except BaseException:
            self.engine.close()
            raise

    def _fill(self, workload: Workload, n: int) -> None:
        self.engine.await_kernels(60.0)
        self.run("create_collection", None, (), CreateCollection(
            name=_NAME, dimension=workload.dimension, metric=Metric(workload.metric),
            fields={"n": FieldType.INTEGER, "c": FieldType.INTEGER}, indexes=["n", "c"],
        ))  # fmt: skip
        names = [f"t{number}" for number in range(workload.access.n_tenants - 1)]
        for name in [OWNER, *names]:
            self.run("create_tenant", None, (), CreateTenant(name=name))
        values = np.random.default_rng(3).integers(0, VALUES, n).tolist()
        for first in range(0, n, BATCH):
            rows = range(first, min(n, first + BATCH))
            starts = workload.access.offsets
            shared: list[list[str] | None] = [
                [names[t] for t in workload.access.grantees[starts[row] : starts[row + 1]].tolist()] for row in rows
            ]
            head = UpsertHead(
                ids=[f"p{row}" for row in rows],
                payloads=[Raw(msgspec.json.encode({"n": values[row], "c": values[row] % N_VALUES})) for row in rows],
                shared_with=shared,
            )
            vectors = np.array(workload.vectors[rows.start : rows.stop])
            self.run("upsert", OWNER, (_NAME,), head, vectors)
        until = time.monotonic() + BUILD_TIMEOUT_S
        while self.run("collection_stats", None, (_NAME,), Empty()).index.state != "ready":
            if time.monotonic() > until:
                raise TimeoutError("the index was not made in time")
            time.sleep(0.1)
        time.sleep(2.0)  # what is written after it, and a layout where one is due

    def run(self, name: str, tenant: str | None, path: Sequence[str], request: Request, vectors: Any = None) -> Any:
        """An operation's answer."""
        answer = self.engine.run(name, self.engine.local_caller(Role.ADMIN, tenant), tuple(path), request, vectors)
        return answer.result(BUILD_TIMEOUT_S) if isinstance(answer, Future) else answer

    def search(self, tenant: str, query: NDArray[np.float32], filter: Any, is_exact: bool = False) -> Any:
        """Hits of a filtered search, and the CPU milliseconds they took."""
        head = SearchHead(limit=LIMIT, filter=filter, with_payload=False)
        if is_exact:
            head.params = SearchParams(exact=True)
        caller = self.engine.local_caller(Role.ADMIN, tenant)
        began = time.thread_time()
        hits = self.engine.run("search", caller, (_NAME,), head, query).hits
        return hits, (time.thread_time() - began) * 1e3


def measure(cache: Path, seed: int, is_quick: bool) -> list[Figure]:
    """All selectivities, for the owner of all points and for tenants that see a part."""
    workload = world(cache, "shared-120k", seed, is_quick)
    n = len(workload.vectors) if is_quick else N_POINTS
    figures = []
    with TemporaryDirectory(prefix="vdb-bench-") as folder:
        place = Place(Path(folder) / "data", workload, n)
        try:
            readers = [f"t{number}" for number in np.unique(workload.askers)[:10].tolist()]
            n_filters = 4 if is_quick else 20
            for kind, tenants in (("owner", [OWNER]), ("shared", readers)):
                labels = [{"field": "c", "eq": value + (50 if tenants is readers else 0)} for value in range(n_filters)]
                figures += _of(place, workload, f"{kind}, 1 %, a label", tenants, labels, kind == "owner")
                for selectivity in SELECTIVITIES:
                    at = f"{kind}, {100 * selectivity:g} %"
                    is_judged = kind == "owner" and selectivity == JUDGED
                    ranges = _ranges(selectivity, n_filters, len(tenants))
                    figures += _of(place, workload, at, tenants, ranges, is_judged)
        finally:
            place.engine.close()
    return figures


def _ranges(selectivity: float, n: int, seed: int) -> list[Any]:
    width = max(1, round(selectivity * VALUES))
    lows = np.random.default_rng([5, width, seed]).integers(0, VALUES - width + 1, n).tolist()
    return [{"field": "n", "gte": low, "lt": low + width} for low in lows]


def _of(
    place: Place, workload: Workload, at: str, tenants: Sequence[str], filters: Sequence[Any], is_judged: bool
) -> list[Figure]:
    first_ms: list[float] = []
    later_ms: list[float] = []
    recalls: list[float] = []
    short = 0
    for i, filter in enumerate(filters):
        tenant = tenants[i % len(tenants)]
        queries = [workload.queries[(i * N_LATER + j) % len(workload.queries)] for j in range(N_LATER)]
        found = []
        for j, query in enumerate(queries):
            hits, took = place.search(tenant, query, filter)
            (later_ms if j else first_ms).append(took)
            found.append(hits)
        for query, hits in zip(queries[:5], found, strict=False):
            exact, _ = place.search(tenant, query, filter, is_exact=True)
            short += len(hits) < len(exact)
            if exact:
                limit = exact[-1].distance + TOLERANCE
                recalls.append(sum(hit.distance <= limit for hit in hits[: len(exact)]) / len(exact))
    return [
        Figure(f"recall, {at}", float(np.mean(recalls)) if recalls else 1.0, "", RECALL_BAR, True),
        Figure(f"answers short of hits, {at}", short, "", 0),
        median(f"first search, {at}", first_ms, "ms", FIRST_BAR_MS if is_judged else None),
        median(f"later searches, {at}", later_ms, "ms", CACHED_BAR_MS if is_judged else None),
    ]
