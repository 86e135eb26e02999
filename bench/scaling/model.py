"""What one node takes for so many vectors, tenants and queries: laws of what was measured, added up.

One collection whose vectors all tenants own in equal parts; nobody grants anything, and each query searches its
tenant's part at recall .95. Components of 384 were measured; others change codes by their width and vectors by their
number. A query's CPU is its kernel's, work times what a unit of work took at the largest size measured, and what a
request costs beside it. A node that is one process has one core for the latter.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, nan
from statistics import median

from bench.scaling.fit import Law
from bench.scaling.laws import Laws, Measured
from vdb.config import Settings
from vdb.index.curator.index import RELAYOUT_SHARE
from vdb.index.curator.profile import CANDIDATE_ROWS
from vdb.index.curator.state import REVOKED
from vdb.index.curator.upkeep import default_encoding
from vdb.storage.keyspace import LAST_NUMBER

MEASURED_DIMENSION = 384
CANDIDATES = 40
"""Compared at least, where a search scans all rows of a tenant."""
TIERS = ("memory", "hybrid", "disk")
LONG_S = 3_600.0
"""A layout or a load of the index that takes longer is told as a limit."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a node is to carry."""

    vectors: float
    tenants: float = 1.0
    dimension: int = MEASURED_DIMENSION
    qps: float = 1_000.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one tier. `ram_bytes` with its range; `kernel_us` and `request_us` are CPU of a query; `cores` for the rate.

    `build_h` and `layout_s`: of one core; `load_s`: until the first search after a restart; `inserts_per_s`: points
    written without end by one core, layouts included; nan where it was not measured.
    """

    tier: str
    ram_bytes: float
    ram_range: tuple[float, float]
    disk_bytes: float
    kernel_us: float
    request_us: float
    cores: float
    build_h: float
    layout_s: float
    load_s: float
    inserts_per_s: float


@dataclass(frozen=True, slots=True)
class Threshold:
    """The number of points (or, where `unit` says so, of queries a second) at which something gives way."""

    at: float
    unit: str
    what: str
    remedy: str


class Model:
    """Costs by what was measured. Raises KeyError where a law that it needs was not measured."""

    def __init__(self, measured: Measured, laws: Laws) -> None:
        self._laws = laws
        self.request_us = _request_us(measured, laws["memory"]["CPU at .95"])
        self._us_per_work = {
            part: _at_largest(measured[part]["CPU at .95"]) / _at_largest(measured[part]["work at .95"])
            for part in ("memory", "disk")
        }

    def cost(self, wanted: Wanted, tier: str) -> Cost:
        """What a tier of `TIERS` takes."""
        part = self._laws["disk" if tier == "disk" else "memory"]
        of_tenants = wanted.tenants * self._of_tenant("RAM")
        ram, *ends = (
            self._ram(wanted, tier, n_bytes) + of_tenants
            for n_bytes in (part["bytes in RAM"].at(wanted.vectors), *part["bytes in RAM"].range_at(wanted.vectors))
        )
        kernel_us = self.kernel_us(wanted, tier)
        writes, stored = self._laws["writes"], self._laws["collection"]
        layout_s = writes["CPU of a layout"].at(wanted.vectors)
        point_us = stored["server CPU per point until stored"].at(wanted.vectors)
        insert_us = point_us + 1e6 * layout_s / (RELAYOUT_SHARE * wanted.vectors)
        return Cost(
            tier,
            ram,
            (ends[0], ends[1]),
            self._disk(wanted, tier) + wanted.tenants * self._of_tenant("disk"),
            kernel_us,
            self.request_us,
            wanted.qps * (kernel_us + self.request_us) / 1e6,
            part["CPU of the build"].at(wanted.vectors) / 3_600,
            layout_s,
            _growing(stored["first search after it"], wanted.vectors) / 1e3,
            1e6 / insert_us,
        )

    def kernel_us(self, wanted: Wanted, tier: str) -> float:
        """CPU of a search in a tenant's part, µs: fewer rows than a law says are all scanned."""
        n = max(1.0, wanted.vectors / wanted.tenants)
        if tier == "disk":
            return self._us_per_work["disk"] * min(self._laws["disk"]["work at .95"].at(n), n + 1)
        work = min(self._laws["memory"]["work at .95"].at(n), n + CANDIDATE_ROWS * min(n, CANDIDATES))
        return self._us_per_work["memory"] * work * _width(wanted.dimension)

    def thresholds(self, dimension: int = MEASURED_DIMENSION) -> list[Threshold]:
        """What gives way as a node grows, of points ascending, then of queries."""
        settings = Settings()
        store = self._laws["collection"]["bytes of the store per point"].at(1.0) * dimension / MEASURED_DIMENSION
        found = [
            Threshold(settings.max_map_bytes / store, "points", "a collection's map is full", "raise `max_map_bytes`"),
            Threshold(
                _where(self._laws["memory"]["bytes in RAM"], settings.memory_bytes / _width(dimension)),
                "points", "codes take more than `memory_bytes`", "raise it, or let the tier become `disk`",
            ),
            Threshold(
                _where(self._laws["disk"]["bytes in RAM"], settings.memory_bytes),
                "points", "heads of lists on disk take more than `memory_bytes`", "raise it; several nodes",
            ),
            Threshold(
                _where(self._laws["writes"]["CPU of a layout"], LONG_S),
                "points", "a layout takes an hour of a core", "several collections",
            ),
            Threshold(
                _where(self._laws["collection"]["first search after it"], 1e3 * LONG_S),
                "points", "loading the index takes an hour", "several collections",
            ),
            Threshold(REVOKED, "points", "rows need more than 31 bits", "several collections"),
            Threshold(LAST_NUMBER - 1, "points", "point numbers are used up, deleted ones too", "a new collection"),
        ]  # fmt: skip
        found = sorted((one for one in found if isfinite(one.at)), key=lambda one: one.at)
        what = "requests take all of the one core that Python has"
        return [*found, Threshold(1e6 / self.request_us, "queries/s", what, "several nodes; several queries a request")]

    def gives_way(self, wanted: Wanted) -> list[Threshold]:
        """The thresholds that such a node is beyond, the first first."""
        asked = {"points": wanted.vectors, "queries/s": wanted.qps}
        return [one for one in self.thresholds(wanted.dimension) if asked[one.unit] > one.at]

    def _ram(self, wanted: Wanted, tier: str, n_bytes: float) -> float:
        if tier == "disk":
            return n_bytes
        vectors = 4.0 * wanted.dimension * wanted.vectors if tier == "memory" else 0.0
        return n_bytes * _width(wanted.dimension) + vectors

    def _disk(self, wanted: Wanted, tier: str) -> float:
        stored = self._laws["collection"]
        of_point = stored["bytes on disk per point"].at(1.0)
        if tier == "disk":
            of_point = stored["bytes of the store per point"].at(1.0) + self._laws["disk"][
                "bytes on disk per point"
            ].at(1.0)
        return wanted.vectors * of_point * wanted.dimension / MEASURED_DIMENSION

    def _of_tenant(self, where: str) -> float:
        """Bytes that a tenant takes beside its points, as long as nobody has asked for it; one that all has is free."""
        tenants = self._laws["tenants"]
        if where == "disk":
            return tenants["bytes on disk per tenant"].at(1.0)
        in_server = max(0.0, tenants["bytes in RAM per tenant, not searched"].at(1.0))
        return self._laws["directories"]["bytes in RAM per tenant"].at(1.0) + in_server


def _request_us(measured: Measured, kernel: Law) -> float:
    """Server CPU of a search less its kernel's: the median of the sizes."""
    return median(us - kernel.at(n) for n, us in measured["collection"]["server CPU per search at .95"].items())


def _at_largest(values: Mapping[int, float]) -> float:
    return values[max(values)]


def _width(dimension: int) -> float:
    """Bytes of a coded row over those of a row of the dimension measured."""
    return default_encoding(dimension).row_bytes / default_encoding(MEASURED_DIMENSION).row_bytes


def _growing(of: Law, n: float) -> float:
    """An affine law's value; nan where no growth was seen, which says nothing of larger sizes."""
    return of.at(n) if of.curve.b > 0 else nan


def _where(of: Law, value: float) -> float:
    """The size at which an affine law has a value."""
    return max(0.0, (value - of.curve.a) / of.curve.b) if of.curve.b > 0 else float("inf")
