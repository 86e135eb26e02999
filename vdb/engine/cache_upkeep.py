"""What caches do on their own: purge what is stale, expired, or of no category any more, text and all, within seconds.

Nothing that is stale is served meanwhile: look-ups judge for themselves. Each round takes what look-ups found stale,
what has expired, and the entries that were made from points written since the round before; where it is not known what
was written (at the start, or after very many writes), all entries made from that collection are looked at.
"""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import islice

from vdb.cache.memory import Resident
from vdb.cache.policy import Policies
from vdb.engine.cache_entries import STEP_ENTRIES, remove_entries
from vdb.engine.cache_shard import CacheGroup, CacheShard, CategoryPlace, Place
from vdb.engine.provenance import Moment, TakesLong
from vdb.engine.services import Services
from vdb.engine.shard import epoch_ms
from vdb.errors import CacheNotFound, CollectionNotFound, CorruptData, VdbError
from vdb.storage.cache_codec import CacheEntry
from vdb.storage.cache_entries import entries_of_source, iterate_expired, read_entry
from vdb.storage.cache_labels import put_statistics
from vdb.storage.catalog import ACTIVE, CacheDocument

logger = logging.getLogger(__name__)

LONGEST_ROUND_S = 10.0
PAUSE_AFTER = 256
"""Entries judged between pauses, so that a sweep does not hold up look-ups."""


class CacheUpkeep:
    """One thread, a round every `purge_interval_s`, at least every ten seconds. `stop` waits for the step in hand."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vdb-caches", daemon=True)
        self._seen: dict[tuple[int, int], tuple[int | None, list[int] | None]] = {}
        """(cache, collection) → the sequence up to which the entries made from it were judged, and who might use it."""
        self._swept_for: dict[int, tuple[Policies, str]] = {}

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._is_stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        pause_s = 0.0  # the first round loads the caches: they are warm before they are asked
        while not self._is_stopping.wait(pause_s):
            pause_s = min(self._services.settings.purge_interval_s, LONGEST_ROUND_S)
            for document in self._services.catalog.caches():
                if self._is_stopping.is_set():
                    return
                try:
                    self.round(document)
                except CacheNotFound:  # deleted meanwhile
                    continue
                except Exception as exc:  # upkeep must not end because one round failed
                    level = logging.WARNING if isinstance(exc, VdbError) else logging.ERROR
                    logger.log(level, "upkeep of a cache failed", exc_info=exc, extra={"cache": document.id})

    def round(self, document: CacheDocument) -> int:
        """One round over one cache; how many entries it removed."""
        with self._services.caches.use(document, counts_as_use=False) as shard:
            n_removed = self._remove(shard, self._expired(shard), "expired")
            n_removed += self._remove(shard, self._services.stale_entries.take(document.id), "stale")
            n_removed += self._remove(shard, self._meaningless(document, shard), "meaningless")
            n_removed += self._remove(shard, self._changed(shard), "stale")
            n_removed += self._trim(shard)
            save_counts(self._services, shard)
            return n_removed

    def _remove(self, shard: CacheShard, places: Iterable[Place], why: str) -> int:
        """Remove entries, a thousand in a commit."""
        n_removed = 0
        rest = iter(places)
        while chunk := list(islice(rest, STEP_ENTRIES)):
            if self._is_stopping.is_set():
                break
            if why == "expired":
                for tenant, number in chunk:
                    resident = shard.memory.residents.get(number)
                    if resident is not None:
                        shard.memory.counts_of(tenant, resident.category).expired += 1
            n_removed += remove_entries(shard, chunk)
        return n_removed

    def _trim(self, shard: CacheShard) -> int:
        """Evict what is beyond a cap that was lowered, a thousand entries in a commit."""
        if not shard.wants_trim:
            return 0
        shard.wants_trim = False
        n_evicted = 0
        while not self._is_stopping.is_set():
            try:
                n_step: int = shard.queue.submit(lambda group: group.trim(STEP_ENTRIES), 1024, True).result()
            except VdbError:
                shard.wants_trim = True
                raise
            n_evicted += n_step
            if n_step < STEP_ENTRIES:
                break
        return n_evicted

    def _expired(self, shard: CacheShard) -> Iterator[Place]:
        while True:
            with shard.env.read() as txn:
                found = list(iterate_expired(txn, epoch_ms(), STEP_ENTRIES))
            yield from found
            if len(found) < STEP_ENTRIES:
                return

    def _meaningless(self, document: CacheDocument, shard: CacheShard) -> list[Place]:
        """Entries of a category that is gone, or of another embedding version; looked for where either has changed."""
        version = (self._services.catalog.cache_by_id(document.id) or document).embedding_version
        swept_for = shard.policies, version
        if self._swept_for.get(shard.id) == swept_for:
            return []
        self._swept_for[shard.id] = swept_for
        return [
            (resident.tenant, resident.number)
            for resident in list(shard.memory.residents.values())
            if not shard.policies.is_known(resident.category) or resident.embedding_version != version
        ]

    # Entries whose sources have changed

    def _changed(self, shard: CacheShard) -> Iterator[Place]:
        for collection_id in shard.memory.collections():
            key = shard.id, collection_id
            document = self._services.catalog.collection_by_id(collection_id)
            if document is None:  # dropped: all that was made from it goes
                yield from self._judged(shard, shard.memory.of_collection(collection_id))
                self._seen.pop(key, None)
                continue
            try:
                with self._services.shards.use(document, counts_as_use=False) as source, source.snapshot() as snapshot:
                    sequence, touched = snapshot.sequence, source.touched
            except CollectionNotFound:  # dropped in this moment: the next round sees it
                continue
            except VdbError as exc:  # look-ups do not serve from it either; what is made from others must not wait
                logger.warning("a collection cannot be read", exc_info=exc, extra={"collection": collection_id})
                continue
            since, tenants = self._seen.get(key, (None, None))
            # Whoever lost the collection's use has entries there that no write has touched.
            touches = touched.since(since) if since is not None and tenants == document.tenants else None
            if touches is None:
                yield from self._judged(shard, shard.memory.of_collection(collection_id))
            elif touches:
                points = {(touch.owner, touch.id) for touch in touches if touch.id is not None}
                yield from self._judged(shard, self._made_from(shard, collection_id, points))
            self._seen[key] = sequence, document.tenants

    def _made_from(self, shard: CacheShard, collection_id: int, points: Iterable[tuple[int, bytes]]) -> list[Resident]:
        with shard.env.read() as txn:
            numbers = {
                number
                for owner, point_id in points
                for _, number in entries_of_source(txn, collection_id, owner, point_id)
            }
        found = (shard.memory.residents.get(number) for number in numbers)
        return [resident for resident in found if resident is not None]

    def _judged(self, shard: CacheShard, residents: Iterable[Resident]) -> Iterator[Place]:
        """Those of the entries that are stale, each judged in a moment of its own."""
        for n_judged, resident in enumerate(residents, 1):
            if self._is_stopping.is_set():
                return
            if n_judged % PAUSE_AFTER == 0:
                time.sleep(0.001)
            if not self._is_sound(shard, resident):
                yield resident.tenant, resident.number

    def _is_sound(self, shard: CacheShard, resident: Resident) -> bool:
        with shard.env.read() as txn:
            try:
                entry = read_entry(txn, resident.tenant, resident.number)
            except CorruptData:
                return False
        if entry is None:
            return True  # gone already
        with Moment(self._services, resident.tenant, is_hurried=True) as moment:
            try:
                return moment.is_sound(entry, resident, epoch_ms())
            except TakesLong:  # to make searches again is left to look-ups; of the sources themselves all is known
                return self._has_sources(moment, entry)
            except CorruptData:
                return False
            except VdbError:  # nobody can say: one entry must not keep the others from being looked at
                return True

    @staticmethod
    def _has_sources(moment: Moment, entry: CacheEntry) -> bool:
        try:
            return moment.has_sources(entry)
        except CorruptData:
            return False
        except VdbError:
            return True


def save_counts(services: Services, shard: CacheShard) -> None:
    """Store counters and what calibrations have come to, where they changed, so that they go on after a restart."""
    changed = shard.unsaved()
    for first in range(0, len(changed), STEP_ENTRIES):
        _save(services, shard, changed[first : first + STEP_ENTRIES])


def _save(services: Services, shard: CacheShard, changed: list[tuple[CategoryPlace, int]]) -> None:
    kept = [(place, shard.figures_of(place)) for place, _ in changed]

    def apply(group: CacheGroup) -> None:
        for (tenant, category), stored in kept:
            document = services.catalog.tenant_by_id(tenant)
            if document is not None and document.state == ACTIVE:  # else its figures have gone, or are about to
                put_statistics(group.txn, tenant, category, stored)

    shard.queue.submit(apply, sum(len(stored) for _, stored in kept), True).result()
    shard.note_saved(changed)


def save_all_counts(services: Services) -> None:
    """The same of all open caches."""
    for shard in services.caches.open_shards():
        save_counts(services, shard)
