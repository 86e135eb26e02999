"""Where the candidates of a search's dense leg come from, in a snapshot that is never newer than they are.

Order: take the readings, then a transaction (so that it is never older than they are), then search. Where the readings
moved on meanwhile, or the index turns out to be damaged, all of it is done again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from vdb.engine.acceleration.figures import Declined
from vdb.engine.acceleration.offload import may_use, offload_of, wish_of_plan
from vdb.engine.filters import Filter
from vdb.engine.matching import Matches
from vdb.engine.nearest import Nearest, flat
from vdb.engine.nearest_lists import DamagedIndex, by_index
from vdb.engine.nearest_rows import NotThere, indexed
from vdb.engine.plan import Plan
from vdb.engine.readings import Reading
from vdb.engine.services import Services
from vdb.engine.shard import Shard, Snapshot
from vdb.engine.streamed import streamed
from vdb.engine.tiers import keeps_no_vectors
from vdb.errors import InternalError
from vdb.index.curator.index import CuratorIndex
from vdb.storage.catalog import CollectionDocument
from vdb.storage.keyspace import EVERYONE_ID

T = TypeVar("T")

MAX_ATTEMPTS = 100


@dataclass(slots=True)
class Sources:
    """What the dense leg of one request searches."""

    services: Services
    collection: CollectionDocument
    shard: Shard
    tenant_id: int
    plan: Plan
    parsed: Filter | None
    matches: Matches | None
    n_queries: int = 1

    def answer(self, answer: Callable[[Snapshot, Nearest], T]) -> T:
        """What `answer` makes of a snapshot and its source; it is called again where that proved damaged."""
        shard, tenant_id = self.shard, self.tenant_id
        is_there, declined = self._may_be_exact_there(), str(Declined.NOT_INDEXED)
        for _ in range(MAX_ATTEMPTS):
            is_indexed = (is_there or not self.plan.exact) and shard.index.take() is not None
            is_streamed = not is_indexed and keeps_no_vectors(self.collection, shard.index)
            if is_streamed and shard.readings.n_residents:  # of the time before it was to be so
                shard.drop_readings()
            is_loaded = not is_indexed and not is_streamed
            readings = (shard.reading(tenant_id), shard.reading(EVERYONE_ID)) if is_loaded else ()
            with shard.snapshot() as snapshot:
                source = self._source(snapshot, is_indexed, is_streamed, readings)
                if source is None:
                    is_there = is_there and self._may_be_exact_there()
                    continue
                if not is_indexed:
                    source.offload = offload_of(self.services, self.plan, tenant_id, declined)
                try:
                    return answer(snapshot, source)
                except DamagedIndex as exc:  # it is made anew, and this search goes on without it
                    shard.index.forget_damaged(exc.index, exc)
                except NotThere as exc:
                    is_there, declined = False, exc.reason
        raise InternalError("the tenant's vectors do not stay in memory: raise memory_bytes")

    def _source(
        self, snapshot: Snapshot, is_indexed: bool, is_streamed: bool, readings: tuple[Reading, ...]
    ) -> Nearest | None:
        services, collection, shard, tenant_id = self.services, self.collection, self.shard, self.tenant_id
        if is_indexed:
            of = indexed if self.plan.exact else by_index  # one that came on disk meanwhile does not compare all rows
            return of(services, collection, shard, tenant_id, snapshot, self.parsed, self.plan)
        if is_streamed:
            return streamed(services, collection, tenant_id, snapshot, self.parsed, self.matches)
        own, public = readings
        return flat(services, collection, snapshot, self.parsed, own, public)

    def _may_be_exact_there(self) -> bool:
        """Whether an accelerator may compare all rows: it has those of an index in RAM."""
        wish = wish_of_plan(self.services, self.plan)
        is_in_ram = isinstance(self.shard.index.current, CuratorIndex)
        return self.plan.exact and is_in_ram and may_use(self.services, wish, self.n_queries)
