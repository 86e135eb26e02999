"""Entries as callers see them, page by page; reports that an answer was wrong; removal by what is given."""

from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec
from msgspec import UNSET, Raw, UnsetType

from vdb.engine.batch import check_ids
from vdb.engine.cache_shard import CacheGroup, CacheShard, Place
from vdb.engine.cursor import decode_cursor, encode_cursor
from vdb.engine.owners import named_owner
from vdb.engine.provenance import Moment
from vdb.engine.services import Services
from vdb.engine.shard import epoch_ms
from vdb.engine.tenants import moment_of
from vdb.errors import CorruptData, EmptyBatch, EntryNotFound, Forbidden, InvalidArgument, LookupNotFound, TooLarge
from vdb.protocol.cache_answers import CachedEntry, CachedSource, Entries, FeedbackAnswer, Invalidated
from vdb.protocol.cache_requests import CacheFeedback, CacheInvalidate, ScrollEntries
from vdb.protocol.requests import Empty
from vdb.storage.cache_codec import CacheEntry
from vdb.storage.cache_entries import (
    entries_of_collection,
    entries_of_source,
    iterate_entries,
    read_answer,
    read_entry,
)
from vdb.storage.env import Transaction
from vdb.storage.meta import read_sequence
from vdb.tenancy.access import check_tenant_exists
from vdb.types import Caller, Role

STEP_ENTRIES = 1_000
"""Entries removed in one commit."""
MAX_ENTRY_IDS = 1_000
NOBODY = -1
"""In the place of the number of a tenant that does not exist."""


def entry_answer(services: Services, entry: CacheEntry, now_ms: int, with_sources: bool = False) -> CachedEntry:
    """An entry without its answer."""
    found = CachedEntry(
        id=f"{entry.number:016x}",
        category=entry.category,
        age_s=round(max(0, now_ms - entry.created_at_ms) / 1e3, 3),
        expires_at=None if not entry.expires_at_ms else moment_of(entry.expires_at_ms),
        text=entry.text,
    )
    if with_sources:
        found.sources = [
            CachedSource(
                collection=document.name if document is not None else "",
                owner=services.tenant_name(source.owner),
                id=source.id.decode(),
                version=source.version,
            )
            for source in entry.sources
            for document in (services.catalog.collection_by_id(source.collection),)
        ]
    return found


def _is_shown(services: Services, shard: CacheShard, entry: CacheEntry) -> bool:
    """Whether an answer may be looked at: as it may be served, its search apart."""
    if entry.is_expired(epoch_ms()):
        return False
    with Moment(services, entry.tenant, is_hurried=False) as moment:
        return moment.has_sources(entry)


def number_of(entry_id: str, pointer: str) -> int:
    """The number of an entry's id; raises InvalidArgument."""
    if len(entry_id) != 16 or not set(entry_id) <= set("0123456789abcdef"):
        raise InvalidArgument.at(pointer, "an entry's id is 16 hex digits")
    return int(entry_id, 16)


def get_entry(services: Services, caller: Caller, path: tuple[str, ...], request: Empty) -> CachedEntry:
    """One of the tenant's entries with its answer; raises EntryNotFound."""
    document, tenant = services.usable_cache(caller, path[0]), check_tenant_exists(caller)
    number = number_of(path[1], "") if len(path[1]) == 16 else -1
    with services.caches.use(document) as shard, shard.env.read() as txn:
        entry = None if number < 0 else _read(txn, tenant, number)
        body = None if entry is None else read_answer(txn, tenant, number)
        if entry is None or body is None or not _is_shown(services, shard, entry):
            raise EntryNotFound("no such entry")
        found = entry_answer(services, entry, epoch_ms(), with_sources=True)
        found.answer = Raw(body)
        return found


def scroll_entries(services: Services, caller: Caller, path: tuple[str, ...], request: ScrollEntries) -> Entries:
    """A page of the tenant's entries, in the order of their numbers, which are random."""
    document, tenant = services.usable_cache(caller, path[0]), check_tenant_exists(caller)
    limits = services.settings.limits
    if not 1 <= request.limit <= limits.max_scroll_limit:
        raise InvalidArgument.at("/limit", f"limit is 1 to {limits.max_scroll_limit}")
    key = msgspec.json.encode(["cache", document.id, tenant, None if request.category is UNSET else request.category])
    after = None
    if request.cursor is not None:
        upper, lower = decode_cursor(request.cursor, key, services.secret)
        after = tenant, upper << 32 | lower
    now_ms = epoch_ms()
    with services.caches.use(document) as shard, shard.env.read() as txn:
        live = (entry for entry in iterate_entries(txn, tenant, after) if not entry.is_expired(now_ms))
        wanted = (entry for entry in live if request.category is UNSET or entry.category == request.category)
        page = list(islice(wanted, request.limit + 1))
        found = []
        for entry in page[: request.limit]:
            shown = entry_answer(services, entry, now_ms, with_sources=True)
            is_shown = request.with_answer and _is_shown(services, shard, entry)
            body = read_answer(txn, tenant, entry.number) if is_shown else None
            shown.answer = UNSET if body is None else Raw(body)
            found.append(shown)
        is_more = len(page) > request.limit
        last = page[request.limit - 1].number if is_more else 0
        cursor = encode_cursor(key, (last >> 32, last & 0xFFFF_FFFF), services.secret) if is_more else None
        return Entries(entries=found, next_cursor=cursor)


def cache_feedback(services: Services, caller: Caller, path: tuple[str, ...], request: CacheFeedback) -> FeedbackAnswer:
    """A wrong answer goes, and the bar may rise; a right one is not even counted: reports are biased.

    Raises LookupNotFound, InvalidArgument. The same report again changes nothing.
    """
    document, tenant = services.usable_cache(caller, path[0]), check_tenant_exists(caller)
    is_lookup, is_entry = request.lookup_id is not UNSET, request.entry_id is not UNSET
    if is_lookup == is_entry:
        raise InvalidArgument.at("/lookup_id", "give either lookup_id or entry_id")
    with services.caches.use(document) as shard:
        if is_lookup:
            asked = shard.lookups.get(tenant, str(request.lookup_id))
            if asked is None:
                raise LookupNotFound("no such lookup")
            if asked.served is None:
                raise InvalidArgument.at("/lookup_id", "nothing was served to that lookup")
            number = asked.served
        else:
            number = number_of(str(request.entry_id), "/entry_id")
        if request.verdict == "right" or number not in shard.memory.residents:
            return FeedbackAnswer(n_removed=0, sequence=_sequence(shard))

        def apply(group: CacheGroup) -> FeedbackAnswer:
            entry = _read(group.txn, tenant, number)
            if entry is None:
                return FeedbackAnswer(n_removed=0, sequence=group.sequence)
            sequence = group.next_sequence()
            group.remove((tenant, number))
            group.after_commit(lambda: shard.report_wrong(tenant, entry.category))
            return FeedbackAnswer(n_removed=1, sequence=sequence)

        answer: FeedbackAnswer = shard.queue.submit(apply, 1024, True, tenant).result()
        return answer


def cache_invalidate(
    services: Services, caller: Caller, path: tuple[str, ...], request: CacheInvalidate
) -> Invalidated:
    """Remove the tenant's entries (an admin without a tenant: anybody's) that match all that is given.

    Raises EmptyBatch where nothing is given, InvalidArgument, TooLarge, CollectionNotFound, Forbidden.
    """
    document = services.usable_cache(caller, path[0])
    tenant = _tenant_of(services, caller, request)
    wanted = _Wanted(services, caller, request, tenant)
    with services.caches.use(document) as shard:
        with shard.env.read() as txn:
            places = list(wanted.places(txn))
        n_entries = len(places)
        if not request.dry_run:
            steps = range(0, len(places), STEP_ENTRIES)
            n_entries = sum(remove_entries(shard, places[first : first + STEP_ENTRIES]) for first in steps)
        return Invalidated(n_entries=n_entries, dry_run=request.dry_run, sequence=_sequence(shard))


def _tenant_of(services: Services, caller: Caller, request: CacheInvalidate) -> int | None:
    """Whose entries may go: None for anybody's; NOBODY where there is no such tenant, who has none."""
    is_admin = caller.role is Role.ADMIN
    if isinstance(request.tenant, UnsetType):
        return None if is_admin and caller.tenant is None else check_tenant_exists(caller)
    if request.tenant == caller.tenant:
        return check_tenant_exists(caller)
    if not is_admin:
        raise Forbidden("entries of other tenants are for admin keys")
    found = services.tenant_id(request.tenant)
    return NOBODY if found is None else found


class _Wanted:
    """What a request names, and the entries in a transaction that match it."""

    def __init__(self, services: Services, caller: Caller, request: CacheInvalidate, tenant: int | None) -> None:
        self._tenant = tenant
        self._request = request
        given = (request.entry_ids, request.source, request.tenant, request.category, request.embedding_version)
        if all(value is UNSET for value in given):
            raise EmptyBatch("say which entries: entry_ids, source, tenant, category or embedding_version")
        self._numbers: set[int] | None = None
        if not isinstance(request.entry_ids, UnsetType):
            if len(request.entry_ids) > MAX_ENTRY_IDS:
                raise TooLarge.at("/entry_ids", f"a request takes up to {MAX_ENTRY_IDS} ids")
            self._numbers = {number_of(text, f"/entry_ids/{i}") for i, text in enumerate(request.entry_ids)}
        self._source: tuple[int, int | None, bytes | None] | None = None
        if not isinstance(request.source, UnsetType):
            collection = services.usable(caller, request.source.collection)
            is_named = request.source.owner is not UNSET
            owner = named_owner(services, caller, request.source.owner)
            is_whole = request.source.id is UNSET
            point_id = None if is_whole else check_ids([str(request.source.id)], lambda _: "/source/id")[0]
            if owner is None and not is_whole and not is_named:
                raise InvalidArgument.at("/source/owner", "name the owner of the point")
            if owner is None and is_named:
                self._tenant = NOBODY  # nothing was made from points of an owner that does not exist
            self._source = collection.id, owner if is_named or not is_whole else None, point_id

    def places(self, txn: Transaction) -> Iterator[Place]:
        """(tenant, number) of each entry that matches, once."""
        seen: set[Place] = set()
        for entry in self._candidates(txn):
            place = entry.tenant, entry.number
            if place not in seen and self._matches(entry):
                seen.add(place)
                yield place

    def _candidates(self, txn: Transaction) -> Iterable[CacheEntry]:
        if self._tenant == NOBODY:
            return ()
        if self._source is None:
            if self._numbers is None or self._tenant is None:
                return iterate_entries(txn, self._tenant)
            tenant = self._tenant
            return (entry for number in self._numbers if (entry := _read(txn, tenant, number)) is not None)
        collection, owner, point_id = self._source
        if point_id is not None and owner is not None:
            found = entries_of_source(txn, collection, owner, point_id)
        else:
            found = entries_of_collection(txn, collection, owner, n_max=1 << 62)
        entries = (_read(txn, *place) for place in found)
        return (entry for entry in entries if entry is not None)

    def _matches(self, entry: CacheEntry) -> bool:
        request = self._request
        return (
            (self._tenant is None or entry.tenant == self._tenant)
            and (self._numbers is None or entry.number in self._numbers)
            and (request.category is UNSET or entry.category == request.category)
            and (request.embedding_version is UNSET or entry.embedding_version == request.embedding_version)
        )


def remove_entries(shard: CacheShard, places: list[Place]) -> int:
    """Remove entries in one commit; how many there were. Not for the event loop."""

    def apply(group: CacheGroup) -> int:
        group.next_sequence()
        return sum(group.remove(place) is not None for place in places)

    n_removed: int = shard.queue.submit(apply, 256 * len(places), True).result()
    return n_removed


def _read(txn: Transaction, tenant: int, number: int) -> CacheEntry | None:
    try:
        return read_entry(txn, tenant, number)
    except CorruptData:
        return None


def _sequence(shard: CacheShard) -> int:
    with shard.env.read() as txn:
        return read_sequence(txn)
