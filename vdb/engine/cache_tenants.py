"""What caches have of a tenant that is being deleted: its entries, labels and figures go, a step at a time."""

from collections.abc import Callable

from vdb.engine.cache_entries import STEP_ENTRIES
from vdb.engine.cache_shard import CacheGroup, CacheShard
from vdb.engine.services import Services
from vdb.errors import CacheNotFound
from vdb.storage.cache_entries import entries_of_tenant
from vdb.storage.cache_labels import remove_learned


def forget_in_caches(services: Services, tenant: int) -> int:
    """Remove up to a step's worth of a tenant's entries, or else of its labels, in some cache; 0 once none are left.

    Stores for a tenant that is being deleted are refused in their commit, so nothing comes after this.
    """
    for document in services.catalog.caches():
        try:
            shard = services.caches.acquire(document, counts_as_use=False)
        except CacheNotFound:  # deleted meanwhile, and with it what the tenant had there
            continue
        n_removed: int = services.caches.submit(shard, _step(shard, tenant), 1024, True).result()
        if n_removed:
            return n_removed
    return 0


def _step(shard: CacheShard, tenant: int) -> Callable[[CacheGroup], int]:
    def apply(group: CacheGroup) -> int:
        places = entries_of_tenant(group.txn, tenant, STEP_ENTRIES)
        if places:
            group.next_sequence()
        for place in places:
            group.remove(place)
        n_learned = 0 if places else remove_learned(group.txn, tenant, STEP_ENTRIES)
        if not places:
            group.after_commit(lambda: shard.forget_tenant(tenant))
        return len(places) or n_learned

    return apply
