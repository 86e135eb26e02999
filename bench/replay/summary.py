"""What came of a replay, as figures: latency from the moment a request was due, overall and by size of the tenant."""

from collections.abc import Iterator

import numpy as np

from bench.replay.bursts import bursts
from bench.replay.player import BROKEN, TIMED_OUT, Outcome
from bench.report import Figure
from bench.tenants.workload import Float64s, Int64s

__all__ = ["burst_figures", "figures", "jain"]


_FEWEST = 20
"""Requests of a tenant whose own p99 is looked at."""

_REFUSED = (429, 503)
_PERCENTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "p99.9": 99.9}


def burst_figures(name: str, at_s: Float64s) -> list[Figure]:
    """How bursty arrivals are, what cannot be said left out."""
    found = bursts(at_s)
    values = {
        "gaps, coefficient of variation": found.variation,
        "dispersion at 1 s": found.dispersion_1s,
        "dispersion at 10 s": found.dispersion_10s,
        "peak of 1 s / mean": found.peak,
    }
    return [Figure(f"{name}: {what}", value, "") for what, value in values.items() if np.isfinite(value)]


def figures(outcome: Outcome, tenants: Int64s, n_tenants: int, timeout_s: float) -> list[Figure]:
    """Rates, latencies and fairness; `tenants` int64 (n,) by rank of their size, 0 the largest.

    Latency is that of requests answered with 2xx, and `timeout_s` for those given up. Refused and failed ones have
    none.
    """
    n, is_good = len(outcome.due), outcome.is_good
    seconds = float(outcome.due[-1]) or 1.0
    took_s = float(np.nanmax(np.append(outcome.done, seconds)))
    is_refused = np.isin(outcome.status, _REFUSED)
    is_timed_out, is_broken = outcome.status == TIMED_OUT, outcome.status == BROKEN
    latencies = np.where(is_good, outcome.done - outcome.due, np.where(is_timed_out, timeout_s, np.nan)) * 1e3
    found = [
        Figure("requests", n, ""),
        Figure("offered", n / seconds, "1/s"),
        Figure("completed", int(is_good.sum()) / took_s, "1/s"),
        Figure("timed out", int(is_timed_out.sum()), ""),
        Figure("refused (429, 503)", int(is_refused.sum()), ""),
        Figure("failed", n - int((is_good | is_timed_out | is_refused).sum()), ""),
        *_percentiles("latency", latencies, _PERCENTILES),
    ]
    if is_broken.any():
        found.append(Figure("of the failed, connections that ended", int(is_broken.sum()), ""))
    tenth = max(1, n_tenants // 10)
    first = (n_tenants - tenth) // 2
    groups = {
        "largest tenant": tenants == 0,
        "middle tenth of tenants": (tenants >= first) & (tenants < first + tenth),
        "smallest tenth of tenants": tenants >= n_tenants - tenth,
    }
    for name, is_in in groups.items():
        found.append(Figure(f"{name}: requests", int(is_in.sum()), ""))
        found += _percentiles(name, latencies[is_in], {"p50": 50.0, "p95": 95.0, "p99": 99.0})
    return found + _fairness(latencies, tenants) + list(_client(outcome))


def jain(values: Float64s) -> float:
    """Jain's index of fairness: 1 where all are equal, 1/n where one has all."""
    return float(values.sum() ** 2 / (len(values) * (values**2).sum())) if (values != 0).any() else 1.0


def _fairness(latencies: Float64s, tenants: Int64s) -> list[Figure]:
    """Over tenants with enough requests."""
    by_tenant = [latencies[tenants == tenant] for tenant in np.unique(tenants)]
    enough = [some[np.isfinite(some)] for some in by_tenant if int(np.isfinite(some).sum()) >= _FEWEST]
    if len(enough) < 2:
        return []
    worst = np.array([np.percentile(some, 99) for some in enough])
    return [
        Figure(f"tenants with {_FEWEST} requests or more", len(enough), ""),
        Figure("their mean latencies, Jain's index", jain(np.array([some.mean() for some in enough])), ""),
        Figure("their p99, worst / median", float(worst.max() / np.median(worst)), "x"),
    ]


def _client(outcome: Outcome) -> Iterator[Figure]:
    """How late the client itself was: large figures here are none of the server's."""
    yield from _percentiles("client late by", (outcome.noticed - outcome.due) * 1e3, {"p50": 50.0, "p99": 99.0})
    yield from _percentiles("wait for a connection", (outcome.sent - outcome.noticed) * 1e3, {"p99": 99.0})


def _percentiles(name: str, values: Float64s, shares: dict[str, float]) -> list[Figure]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return []
    at = np.percentile(finite, list(shares.values()), method="inverted_cdf").tolist()
    return [Figure(f"{name}, {word}", value, "ms") for word, value in zip(shares, at, strict=True)]
