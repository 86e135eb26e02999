"""Whether a cached answer may still be served: its sources unchanged, and its search without a newer, nearer point.

Everything is judged in one snapshot per collection, opened once for the lookup that serves from it. What an entry was
found to be in an earlier snapshot holds on while nothing that its tenant may see was written (`vdb.engine.touched`);
else its sources are read, and the points written since are compared with the distance of its search's last hit. Where
these are no longer remembered, the search is made again, exactly.

A search by words has no such distance: what a word counts changes with every point. Where points are new it is made
again as it was (`vdb.engine.searched_again`), and the answer holds while none of them is found.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from vdb.cache.memory import Resident
from vdb.engine.matching import filter_of, matches_of
from vdb.engine.names import PinnedName
from vdb.engine.owners import is_visible
from vdb.engine.read import visible
from vdb.engine.search import search
from vdb.engine.searched_again import MOST_ATTEMPTS, SearchedBy, request_of, searched_by
from vdb.engine.services import Services
from vdb.engine.shard import Shard, Snapshot
from vdb.engine.touched import concerns
from vdb.errors import CollectionNotFound
from vdb.protocol.answers import Hit, SearchAnswer
from vdb.protocol.requests import Search, SearchParams
from vdb.storage.cache_codec import CacheEntry, Retrieval, Source
from vdb.storage.catalog import CollectionDocument
from vdb.storage.codec import Record
from vdb.storage.index_changes import Touch
from vdb.storage.points import find_pids, first_expiry, read_record, read_vector
from vdb.tenancy.access import may_use
from vdb.types import Caller, Metric, Role

INLINE_POINTS = 256
"""So many sources and points written since, of all entries judged for a look-up together, are looked at by the thread
that answers; more are for a thread beside."""

MOST_READ = 4_096
"""Points that are read to see whether one of them is new, where it is not remembered which were written."""

SLACK = 1e-5
"""By so much, relatively, a distance may exceed that of the last hit and still count as nearer: float32 rounds."""


class TakesLong(Exception):
    """Much was written since, or a collection has to be opened, or waited for: ask again where that does not matter."""


@dataclass(frozen=True, slots=True)
class Place:
    """A collection in the moment that is judged: what the catalog has of it, its shard, a snapshot."""

    document: CollectionDocument
    shard: Shard
    snapshot: Snapshot


class Moment:
    """The snapshots of one lookup of a tenant. Use it as a context: they end with it."""

    def __init__(self, services: Services, tenant_id: int, is_hurried: bool) -> None:
        self._services = services
        self._tenant_id = tenant_id
        self._is_hurried = is_hurried
        self._places: dict[int, Place | None] = {}
        self._stack = ExitStack()
        self._n_looked_at = 0

    def __enter__(self) -> "Moment":
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def place(self, collection_id: int) -> Place | None:
        """The collection; None where it was dropped, or is not for this tenant."""
        if collection_id not in self._places:
            self._places[collection_id] = self._open(collection_id)
        return self._places[collection_id]

    def _open(self, collection_id: int) -> Place | None:
        document = self._services.catalog.collection_by_id(collection_id)
        if document is None or not may_use(document, self._tenant_id):
            return None
        if self._is_hurried and _has_to_be_awaited(self._services.shards.peek(collection_id)):
            raise TakesLong
        try:
            shard = self._stack.enter_context(self._services.shards.use(document))
        except CollectionNotFound:  # dropped in this very moment
            return None
        return Place(document, shard, self._stack.enter_context(shard.snapshot()))

    def renew(self) -> None:
        """Forget the snapshots: later ones are wanted."""
        self._stack.close()
        self._places.clear()

    def is_sound(self, entry: CacheEntry, resident: Resident, now_ms: int) -> bool:
        """Whether the entry may be served in this moment; what was found is noted in `resident`.

        Raises TakesLong to a caller in a hurry.
        """
        places = self._places_of(entry)
        if places is None:
            return False
        if self._is_known(places, resident, now_ms):
            return True
        if entry.retrieval is not None:
            # Where a hit has expired, what was behind it moves up: all that is new since the search counts again.
            is_over = 0 < resident.sources_expire_ms <= now_ms
            checked_at = 0 if is_over else resident.checked_at.get(entry.retrieval.collection, 0)
            since = max(entry.retrieval.sequence, checked_at)
            by = searched_by(entry.retrieval)
            if by is None and not self._is_nearest(entry, entry.retrieval, since):
                return False
            if by is not None and not self._has_nothing_new(entry, entry.retrieval, by, since):
                return False
        places = self._places_of(entry)  # later ones, where the search was made again
        if places is None:
            return False
        expiry_ms = self._first_expiry(entry.sources)
        if expiry_ms is None:
            return False
        resident.sources_expire_ms = self._first_expiry_of_found(entry.retrieval, expiry_ms, now_ms)
        resident.checked_at = {place.document.id: place.snapshot.sequence for place in places}
        return True

    def has_sources(self, entry: CacheEntry) -> bool:
        """Whether all sources are what they were; whatever the search would find now."""
        self._is_hurried = False
        return self._places_of(entry) is not None and self._first_expiry(entry.sources) is not None

    def _places_of(self, entry: CacheEntry) -> list[Place] | None:
        ids = {source.collection for source in entry.sources}
        if entry.retrieval is not None:
            ids.add(entry.retrieval.collection)
        # In one order always: who holds one collection's snapshot and waits for another's, while both their maps
        # have to grow, must not meet somebody who holds the other and waits for the one.
        new = ids.difference(self._places)
        if new and self._places and min(new) < max(self._places):
            self.renew()
        found = [self.place(collection_id) for collection_id in sorted(ids)]
        return None if None in found else [place for place in found if place is not None]

    def _is_known(self, places: list[Place], resident: Resident, now_ms: int) -> bool:
        """Whether all was found sound before, and nothing that this tenant may see was written since."""
        if 0 < resident.sources_expire_ms <= now_ms:
            return False
        known = resident.checked_at
        return all(
            place.document.id in known
            and (
                known[place.document.id] >= place.snapshot.sequence
                or place.shard.touched.is_untouched(self._tenant_id, known[place.document.id])
            )
            for place in places
        )

    def _first_expiry(self, sources: Iterable[Source]) -> int | None:
        """The first expiry among the sources, 0 for none; None where one has changed, or may not be seen."""
        first_ms = 0
        for source in sources:
            self._look_at(1)
            place = self.place(source.collection)
            record = None if place is None else _record_of(place.snapshot, source.owner, source.id)
            if place is None or record is None or record.version != source.version:
                return None
            if not is_visible(record, source.owner, self._tenant_id, place.snapshot.now_ms):
                return None
            if record.expires_at_ms and (not first_ms or record.expires_at_ms < first_ms):
                first_ms = record.expires_at_ms
        return first_ms

    def _first_expiry_of_found(self, retrieval: Retrieval | None, first_ms: int, now_ms: int) -> int:
        """The first expiry among the hits that are still there, or `first_ms`, where that is not 0 and is earlier.

        By words every point counts that expires after `now_ms`, as the lookup began: scores of all candidates change
        with the one that goes.
        """
        place = None if retrieval is None else self.place(retrieval.collection)
        if retrieval is None or place is None:
            return first_ms
        if searched_by(retrieval) is not None:
            next_ms = first_expiry(place.snapshot.txn, now_ms)
            return min(next_ms, first_ms) if next_ms and first_ms else next_ms or first_ms
        for owner, point_id in retrieval.hits:
            self._look_at(1)
            record = _record_of(place.snapshot, owner, point_id)
            if record is None or not is_visible(record, owner, self._tenant_id, place.snapshot.now_ms):
                continue
            if record.expires_at_ms and (not first_ms or record.expires_at_ms < first_ms):
                first_ms = record.expires_at_ms
        return first_ms

    def _look_at(self, n_points: int) -> None:
        """Count points that are about to be read; raises TakesLong where a caller in a hurry has seen enough."""
        self._n_looked_at += n_points
        if self._is_hurried and self._n_looked_at > INLINE_POINTS:
            raise TakesLong

    # The search that the answer was made from

    def _is_nearest(self, entry: CacheEntry, retrieval: Retrieval, since: int) -> bool:
        """Whether no point written after `since` would be among the hits."""
        place = self.place(retrieval.collection)
        if place is None:
            return False
        if since >= place.snapshot.sequence or place.shard.touched.is_untouched(self._tenant_id, since):
            return True
        touches = place.shard.touched.since(since)
        if touches is None:
            return self._is_found_again(entry, retrieval, place, since)
        own = [touch for touch in touches if concerns(touch, self._tenant_id)]
        self._look_at(sum(touch.n for touch in own))
        return not any(self._would_rank(entry, retrieval, place, touch, since) for touch in own)

    def _would_rank(self, entry: CacheEntry, retrieval: Retrieval, place: Place, touch: Touch, since: int) -> bool:
        """Whether one of the points of a touch is, in this moment, a hit that the search did not have."""
        for pid, record in self._new_in(entry, retrieval, place, touch, since):
            vector = read_vector(place.snapshot.txn, touch.owner, pid) if record.has_vector else None
            if vector is None:
                continue
            query = np.frombuffer(retrieval.vector, "<f4")
            distance = _distance(place.document.metric, query, np.frombuffer(vector, "<f4"))
            if distance <= retrieval.distance + SLACK * max(1.0, abs(retrieval.distance)):
                return True
        return False

    def _new_in(
        self, entry: CacheEntry, retrieval: Retrieval, place: Place, touch: Touch, since: int
    ) -> Iterator[tuple[int, Record]]:
        """(pid, record) of the points of a touch that the search could find now, and were not the same at `since`."""
        matches = matches_of(filter_of(_filter_json(retrieval), place.document))
        known, hits = _known(entry, retrieval), _hits(retrieval)
        for pid, record in _written(place.snapshot, touch):
            if not is_visible(record, touch.owner, self._tenant_id, place.snapshot.now_ms):
                continue
            if record.version <= known.get((touch.owner, record.id), -1):
                continue
            if record.version <= since and (touch.owner == self._tenant_id or (touch.owner, record.id) in hits):
                continue  # only who else may see it has changed
            if matches is None or matches(record.payload):
                yield pid, record

    def _is_found_again(self, entry: CacheEntry, retrieval: Retrieval, place: Place, since: int) -> bool:
        """Make the search again, exactly: whether each of its hits was one then, or was there and not written since.

        What is written after that search is looked at in snapshots that are later still. Of another tenant's point it
        is not known when it was granted: one that was no hit then is taken for new.
        """
        if self._is_hurried:
            raise TakesLong
        request = Search(
            vector=np.frombuffer(retrieval.vector, "<f4"),  # type: ignore[arg-type]
            limit=retrieval.limit,
            filter=_filter_json(retrieval),
            params=SearchParams(exact=True),
            with_payload=False,
        )
        answer, new = self._new_hits(entry, retrieval, place, request, since)
        bound = retrieval.distance + SLACK * max(1.0, abs(retrieval.distance))
        if any(isinstance(hit.distance, float) and hit.distance <= bound for hit in new):
            return False
        return self._is_nearest(entry, retrieval, answer.sequence)

    def _new_hits(
        self, entry: CacheEntry, retrieval: Retrieval, place: Place, request: Search, since: int
    ) -> tuple[SearchAnswer, list[Hit]]:
        """What a search finds in a later snapshot, and which of its hits were not the same at `since`."""
        document = place.document
        known, hits = _known(entry, retrieval), _hits(retrieval)
        self.renew()
        caller = Caller("", Role.READ, self._services.tenant_name(self._tenant_id), self._tenant_id)
        answer = search(self._services, caller, (PinnedName(document.name, document.id),), request, None)
        assert isinstance(answer, SearchAnswer), "a search with its vector waits for no model"
        new = []
        for hit in answer.hits if isinstance(answer.hits, list) else ():
            owner = self._services.tenant_id(hit.owner)
            name = (owner or 0, hit.id.encode())
            if not (hit.version <= since and (owner == self._tenant_id or name in hits or name in known)):
                new.append(hit)
        return answer, new

    # A search by more than its vector

    def _has_nothing_new(self, entry: CacheEntry, retrieval: Retrieval, by: SearchedBy, checked_at: int) -> bool:
        """Whether no point that is new since the search would be found by it now; nothing was at `checked_at`.

        What did not rank then may now, where a hit is gone: so all that is new since the search itself counts.
        """
        for _ in range(MOST_ATTEMPTS):
            place = self.place(retrieval.collection)
            if place is None:
                return False
            touched = place.shard.touched
            if checked_at >= place.snapshot.sequence or touched.is_untouched(self._tenant_id, checked_at):
                return True
            touches = touched.since(retrieval.sequence)
            if touches is not None:
                own = [touch for touch in touches if concerns(touch, self._tenant_id)]
                self._look_at(sum(touch.n for touch in own))
                since = retrieval.sequence
                if not any(True for touch in own for _ in self._new_in(entry, retrieval, place, touch, since)):
                    return True
            if by.mode == "whole":
                return touches is None and self._holds_nothing_new(entry, retrieval, place)
            if self._is_hurried:
                raise TakesLong
            answer, new = self._new_hits(entry, retrieval, place, request_of(retrieval, by), retrieval.sequence)
            if new:
                return False
            checked_at = answer.sequence
        return False  # so much is written that no moment of rest was met: it cannot be said

    def _holds_nothing_new(self, entry: CacheEntry, retrieval: Retrieval, place: Place) -> bool:
        """Whether all that the tenant may see, and the filter lets through, was there; False for very much of it."""
        if self._is_hurried:
            raise TakesLong
        matches = matches_of(filter_of(_filter_json(retrieval), place.document))
        known, hits = _known(entry, retrieval), _hits(retrieval)
        for n, (_, owner, record) in enumerate(visible(place.snapshot, self._tenant_id, "visible", 0)):
            if n >= MOST_READ:
                return False
            name = (owner, record.id)
            is_old = record.version <= retrieval.sequence and (
                owner == self._tenant_id or name in hits or name in known
            )
            if not is_old and (matches is None or matches(record.payload)):
                return False
        return True


def _has_to_be_awaited(shard: Shard | None) -> bool:
    """Whether a snapshot has to wait: for the collection to open, its map to grow, or a commit to be published."""
    return shard is None or shard.env.is_held or shard.readings.is_publishing


def _record_of(snapshot: Snapshot, owner: int, point_id: bytes) -> Record | None:
    pid = find_pids(snapshot.txn, owner, [point_id]).get(point_id)
    return None if pid is None else read_record(snapshot.txn, owner, pid)


def _written(snapshot: Snapshot, touch: Touch) -> Iterator[tuple[int, Record]]:
    """(pid, record) of the points of a touch that are still there."""
    for pid in range(touch.first_pid, touch.first_pid + touch.n):
        record = read_record(snapshot.txn, touch.owner, pid)
        if record is not None:
            yield pid, record


def _known(entry: CacheEntry, retrieval: Retrieval) -> dict[tuple[int, bytes], int]:
    """(owner, id) → version of the sources in the collection of the retrieval."""
    return {
        (source.owner, source.id): source.version
        for source in entry.sources
        if source.collection == retrieval.collection
    }


def _hits(retrieval: Retrieval) -> frozenset[tuple[int, bytes]]:
    return frozenset((owner, point_id) for owner, point_id in retrieval.hits)


def _filter_json(retrieval: Retrieval) -> object:
    return msgspec.json.decode(retrieval.filter) if retrieval.filter else None


def _distance(metric: Metric, query: NDArray[np.float32], vector: NDArray[np.float32]) -> float:
    """As answers state it; of a zero vector, which has no cosine, 1."""
    first, second = query.astype(np.float64), vector.astype(np.float64)
    if metric is Metric.L2:
        return float(np.linalg.norm(first - second))
    product = float(first @ second)
    if metric is Metric.IP:
        return -product
    norms = math.sqrt(float(first @ first) * float(second @ second))
    return 1.0 - product / norms if norms else 1.0
