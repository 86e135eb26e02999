"""Where the candidates of a search's dense leg come from, in a snapshot that is never newer than they are.

Order: take the readings, then a transaction (so that it is never older than they are), then search. Where the readings
moved on meanwhile, or the index turns out to be damaged, all of it is done again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from vdb.engine.filters import Filter
from vdb.engine.matching import Matches
from vdb.engine.nearest import Nearest, flat
from vdb.engine.nearest_lists import DamagedIndex, by_index
from vdb.engine.plan import Plan
from vdb.engine.services import Services
from vdb.engine.shard import Shard, Snapshot
from vdb.engine.streamed import streamed
from vdb.engine.tiers import keeps_no_vectors
from vdb.errors import InternalError
from vdb.storage.catalog import CollectionDocument
from vdb.storage.keyspace import EVERYONE_ID

T = TypeVar("T")

MAX_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class Sources:
    """What the dense leg of one request searches."""

    services: Services
    collection: CollectionDocument
    shard: Shard
    tenant_id: int
    plan: Plan
    parsed: Filter | None
    matches: Matches | None

    def answer(self, answer: Callable[[Snapshot, Nearest], T]) -> T:
        """What `answer` makes of a snapshot and its source; it is called again where that proved damaged."""
        shard, tenant_id = self.shard, self.tenant_id
        for _ in range(MAX_ATTEMPTS):
            is_indexed = not self.plan.exact and shard.index.take() is not None
            is_streamed = not is_indexed and keeps_no_vectors(self.collection, shard.index)
            if is_streamed and shard.readings.n_residents:  # of the time before it was to be so
                shard.drop_readings()
            is_loaded = not is_indexed and not is_streamed
            readings = (shard.reading(tenant_id), shard.reading(EVERYONE_ID)) if is_loaded else ()
            with shard.snapshot() as snapshot:
                if is_indexed:
                    source = by_index(
                        self.services, self.collection, shard, tenant_id, snapshot, self.parsed, self.plan
                    )
                elif is_streamed:
                    source = streamed(self.services, self.collection, tenant_id, snapshot, self.parsed, self.matches)
                else:
                    source = flat(self.services, self.collection, snapshot, self.parsed, *readings)
                if source is not None:
                    try:
                        return answer(snapshot, source)
                    except DamagedIndex as exc:  # it is made anew, and this search goes on without it
                        shard.index.forget_damaged(exc.index, exc)
        raise InternalError("the tenant's vectors do not stay in memory: raise memory_bytes")
