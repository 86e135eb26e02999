"""Metrics of caches, by cache and category, over all tenants."""

from collections import defaultdict
from collections.abc import Callable

from vdb.cache.counts import Counts
from vdb.engine.cache_shard import CacheShard
from vdb.engine.cache_stats import counts_by_category
from vdb.engine.services import Services

Sample = tuple[str, str, str, list[tuple[dict[str, str], float]]]
Values = list[tuple[dict[str, str], float]]


def cache_metrics(services: Services) -> list[Sample]:
    """Gauges and counters of the open caches; all are open soon after the start."""
    names = {document.id: document.name for document in services.catalog.caches()}
    shards = [(names[shard.id], shard) for shard in services.caches.open_shards() if shard.id in names]
    counted = [
        ({"cache": name, "category": category}, counts)
        for name, shard in shards
        for category, counts in sorted(counts_by_category(shard, None).items())
    ]

    def each(value: Callable[[Counts], float]) -> Values:
        return [(labels, value(counts)) for labels, counts in counted]

    requests = [
        ({**labels, "result": result}, getattr(counts, f"{result}_hits" if result != "miss" else "misses"))
        for labels, counts in counted
        for result in ("exact", "semantic", "miss")
    ]
    rejects = [
        ({**labels, "rule": rule}, n) for labels, counts in counted for rule, n in sorted(counts.guard_rejects.items())
    ]
    labelled = [
        ({**labels, "verdict": verdict}, getattr(counts, f"labels_{verdict}"))
        for labels, counts in counted
        for verdict in ("right", "wrong")
    ]
    estimated, bounds = _estimates(shards)
    return [
        ("vdb_cache_entries", "gauge", "Entries of the cache.",
         [({"cache": name}, len(shard.memory.residents)) for name, shard in shards]),
        ("vdb_cache_bytes", "gauge", "Bytes of its entries: heads, vectors and answers.",
         [({"cache": name}, shard.memory.n_bytes) for name, shard in shards]),
        ("vdb_cache_memory_bytes", "gauge", "Bytes that the cache takes in memory, about.",
         [({"cache": name}, shard.memory.nbytes) for name, shard in shards]),
        ("vdb_cache_lookups_total", "counter", "Lookups by what they came to.", requests),
        ("vdb_cache_relaxed_hits_total", "counter", "Semantic hits that only the load allowed.",
         each(lambda counts: counts.relaxed_hits)),
        ("vdb_cache_explored_total", "counter", "Would-be hits that were not served, to be labelled.",
         each(lambda counts: counts.explored)),
        ("vdb_cache_stale_prevented_total", "counter", "Entries that were not served since a source had changed.",
         each(lambda counts: counts.stale_prevented)),
        ("vdb_cache_guard_rejects_total", "counter", "Candidates that the text guard refused, by rule.", rejects),
        ("vdb_cache_labels_total", "counter", "Labels by verdict.", labelled),
        ("vdb_cache_reported_wrong_total", "counter", "Served answers that were reported wrong.",
         each(lambda counts: counts.feedback_wrong)),
        ("vdb_cache_evictions_total", "counter", "Entries that gave way to others.",
         each(lambda counts: counts.evictions)),
        ("vdb_cache_expired_total", "counter", "Entries whose time was over.", each(lambda counts: counts.expired)),
        ("vdb_cache_false_per_request", "gauge", "Estimated share of requests that were served a wrong answer.",
         estimated),
        ("vdb_cache_false_per_request_bound", "gauge", "Its one-sided 95 % bound, the tenants' bounds together.",
         bounds),
    ]  # fmt: skip


def _estimates(shards: list[tuple[str, CacheShard]]) -> tuple[Values, Values]:
    """Estimated false hits per request and their bounds, where there are labels enough."""
    sums: defaultdict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for name, shard in shards:
        for category, calibration in shard.learned.calibrations():
            found = calibration.estimate()
            if found.false_per_request is None or found.false_per_request_bound is None:
                continue
            total = sums[name, category]
            total[0] += found.n_requests
            total[1] += found.n_requests * found.false_per_request
            total[2] += found.n_requests * found.false_per_request_bound
    values = [({"cache": name, "category": category}, total) for (name, category), total in sorted(sums.items())]
    known = [(labels, total) for labels, total in values if total[0]]
    return [(labels, n[1] / n[0]) for labels, n in known], [(labels, n[2] / n[0]) for labels, n in known]
