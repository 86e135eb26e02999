"""Figures of a cache: a tenant's own, or for an admin without a tenant those of all together."""

from collections import defaultdict

from vdb.cache.counts import COUNTED, Counts
from vdb.engine.cache_shard import CacheShard
from vdb.engine.services import Services
from vdb.errors import TenantRequired
from vdb.protocol.cache_answers import CacheStats, CategoryStats
from vdb.protocol.requests import Empty
from vdb.storage.cache_codec import NO_USAGE, CacheUsage
from vdb.storage.cache_entries import iterate_cache_usages, read_cache_usage
from vdb.storage.meta import read_sequence
from vdb.tenancy.access import check_tenant_exists
from vdb.types import Caller, Role


def cache_stats(services: Services, caller: Caller, path: tuple[str, ...], request: Empty) -> CacheStats:
    """Raises CacheNotFound, TenantNotFound, TenantRequired (a service key that names no tenant)."""
    document = services.usable_cache(caller, path[0])
    is_whole = caller.role is Role.ADMIN and caller.tenant is None
    if caller.tenant is None and not is_whole:
        raise TenantRequired("name the tenant in the Vdb-Tenant header")
    tenant = None if is_whole else check_tenant_exists(caller)
    with services.caches.use(document, counts_as_use=False) as shard:
        return _stats(shard, tenant)


def _stats(shard: CacheShard, tenant: int | None) -> CacheStats:
    usages: defaultdict[str, CacheUsage] = defaultdict(lambda: NO_USAGE)
    tenants = set()
    with shard.env.read() as txn:
        total = read_cache_usage(txn) if tenant is None else read_cache_usage(txn, tenant)
        sequence = read_sequence(txn)
        for owner, category, usage in iterate_cache_usages(txn, tenant):
            usages[category] = usages[category].plus(usage)
            tenants.add(owner)
    counts = counts_by_category(shard, tenant)
    categories = sorted({*usages, *counts, *(shard.policies.by_category if tenant is None else ())})
    answer = CacheStats(
        n_entries=total.n_entries,
        n_bytes=total.n_bytes,
        sequence=sequence,
        categories=[_category(shard, tenant, name, usages[name], counts.get(name) or Counts()) for name in categories],
    )
    if tenant is None:
        answer.memory_bytes, answer.file_bytes = shard.memory.nbytes, shard.env.used_bytes
        answer.n_tenants = len(tenants)
    return answer


def counts_by_category(shard: CacheShard, tenant: int | None) -> dict[str, Counts]:
    """Counters by category, of one tenant or of all together."""
    found: dict[str, Counts] = {}
    for (owner, category), counts in list(shard.memory.counts.items()):
        if tenant is None or owner == tenant:
            found.setdefault(category, Counts()).add(counts)
    return found


def _category(shard: CacheShard, tenant: int | None, category: str, usage: CacheUsage, counts: Counts) -> CategoryStats:
    policy = shard.policies.of(category)
    calibration = None if tenant is None else shard.learned.known(tenant, category)
    estimate = None if calibration is None else calibration.estimate()
    figures = {name: getattr(counts, name) for name in COUNTED}
    return CategoryStats(
        category=category,
        mode="off" if policy is None else policy.mode,
        n_entries=usage.n_entries,
        n_bytes=usage.n_bytes,
        **figures,
        guard_rejects=dict(counts.guard_rejects),
        threshold=None if estimate is None else estimate.threshold,
        false_per_request=None if estimate is None else estimate.false_per_request,
        false_per_request_bound=None if estimate is None else estimate.false_per_request_bound,
        false_per_hit=None if estimate is None else estimate.false_per_hit,
        false_per_hit_bound=None if estimate is None else estimate.false_per_hit_bound,
    )
