"""Stores: a fresh answer, what it was made from, and what it says about the candidate of the lookup that missed.

One commit has the entry, the label, the group and whatever the entry displaces. The lease is given back once that is
published, so that whoever waits finds the answer.
"""

import random
import secrets
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from msgspec.structs import replace
from numpy.typing import NDArray

from vdb.cache.groups import Membership, place
from vdb.cache.identity import Identity
from vdb.cache.leases import Key
from vdb.cache.lookups import Asked
from vdb.cache.memory import NewEntry, Resident
from vdb.cache.policy import LONGEST_TTL_S, Policy
from vdb.config import Limits
from vdb.engine.batch import check_ids
from vdb.engine.cache_draft import Draft
from vdb.engine.cache_questions import asking_of
from vdb.engine.cache_retrievals import stored_retrieval
from vdb.engine.cache_shard import CacheGroup, CacheShard
from vdb.engine.cache_verdicts import have_judged, note_label, verdict_of
from vdb.engine.fair import NO_TENANT
from vdb.engine.owners import check_live, named_owner
from vdb.engine.provenance import Moment
from vdb.engine.services import Services
from vdb.engine.shard import epoch_ms
from vdb.engine.tenants import ensure_tenant
from vdb.errors import AnswerTooLarge, InvalidArgument, LeaseExpired, LookupNotFound, TooLarge
from vdb.protocol.cache_answers import Stored
from vdb.protocol.cache_requests import CacheStore, Source
from vdb.storage.cache_codec import CacheEntry
from vdb.storage.cache_codec import Source as StoredSource
from vdb.storage.catalog import CacheDocument
from vdb.storage.meta import read_sequence
from vdb.types import Caller

ENTRY_COST_BYTES = 4_096
LIKELY_SCORE = 0.5
"""An answer to a question whose neighbours were about as near as this will probably be asked for again."""


def cache_store(
    services: Services, caller: Caller, path: tuple[str, ...], request: CacheStore
) -> "Stored | Future[Stored]":
    """Raises CacheNotFound, LookupNotFound, LeaseExpired, AnswerTooLarge, InvalidArgument and its kinds, TooLarge.

    An answer that may not be stored is no error: `entry_id` is null, for `reason`.
    """
    document = services.usable_cache(caller, path[0])
    with services.caches.use(document) as shard:
        prepared = _prepare(services, caller, document, shard, caller.tenant_id or NO_TENANT, request)
        if isinstance(prepared, Stored):
            return prepared
        tenant = ensure_tenant(services, caller)  # not before: a refused store makes no tenant
        if tenant != caller.tenant_id:
            prepared = _prepare(services, caller, document, shard, tenant, request)
            if isinstance(prepared, Stored):
                return prepared
    shard = services.caches.acquire(document)
    return services.caches.submit(
        shard,
        lambda group: _write(services, shard, group, prepared),
        len(prepared.answer) + len(prepared.entry.text) + ENTRY_COST_BYTES,
        tenant=tenant,
        n_points=1,
    )


def _prepare(
    services: Services, caller: Caller, document: CacheDocument, shard: CacheShard, tenant: int, request: CacheStore
) -> Draft | Stored:
    """What is to be written, or why nothing is."""
    asked = _asked(shard, tenant, request)
    question = _question(services, caller, tenant, document, shard, request, asked)
    lease = (tenant, question.exact), _lease_id(asked, request)
    if isinstance(request.lease, str) and not shard.leases.is_mine(lease[0], request.lease):
        raise LeaseExpired.at("/lease", "the lease has expired: somebody else may be answering by now")
    reason = _refusal(question.policy, question.identity, request)
    if reason:
        return _given_up(shard, lease, reason)
    limits = services.settings.limits
    answer, now_ms = _answer_bytes(request, limits), epoch_ms()
    identity, load = question.identity, 0.0 if asked is None else asked.load
    entry = CacheEntry(
        tenant=tenant,
        number=_new_number(shard),
        partition=identity.partition,
        exact=question.exact,
        category=identity.category,
        text=question.text,
        created_at_ms=now_ms,
        expires_at_ms=now_ms + question.policy.life_ms(random.random(), load, _ttl_s(request)),
        sequence=0,
        embedding_version=identity.embedding_version,
        scope=identity.scope,
        model=identity.model,
        fingerprint=identity.fingerprint,
        turns=identity.turns,
        vector_bytes=0 if question.vector is None else question.vector.nbytes,
        answer_bytes=len(answer),
        sources=_sources(services, caller, request.sources),
        retrieval=stored_retrieval(services, caller, identity, request.retrieval),
        is_category_given=question.is_category_given,
    )
    checked = Resident(tenant, entry.number, b"", b"", "", 0, 0, 0, False, 0)
    if asked is not None and _leads_elsewhere(services, asked, request):
        return _given_up(shard, lease, "sources_changed")
    if entry.sources or entry.retrieval is not None:
        with Moment(services, tenant, is_hurried=False) as moment:
            if not moment.is_sound(entry, checked, now_ms):
                return _given_up(shard, lease, "sources_changed")
    verdict = None if isinstance(request.verdict, UnsetType) else request.verdict
    if verdict is not None and question.policy.compare != "verdict":
        raise InvalidArgument.at("/verdict", f"answers of this category are compared by {question.policy.compare!r}")
    return Draft(entry, question.vector, answer, asked, question.policy, verdict, checked, lease)


@dataclass(frozen=True, slots=True)
class _Question:
    """What a store is the answer to: from the lookup that missed, or told with the answer."""

    identity: Identity
    policy: Policy
    text: str
    vector: NDArray[np.float32] | None
    exact: bytes
    is_category_given: bool


def _asked(shard: CacheShard, tenant: int, request: CacheStore) -> Asked | None:
    """The lookup that missed; raises LookupNotFound for one that is forgotten, or another tenant's."""
    if isinstance(request.lookup_id, UnsetType):
        return None
    asked = shard.lookups.get(tenant, request.lookup_id)
    if asked is None:
        raise LookupNotFound("no such lookup")
    for name, nothing in _KNOWN_BY_LOOKUP.items():
        if getattr(request, name) != nothing:
            raise InvalidArgument.at(f"/{name}", "known from the lookup: leave it out")
    return asked


_KNOWN_BY_LOOKUP: dict[str, Any] = {
    "text": UNSET, "vector": UNSET, "category": UNSET, "scope": "", "model": "", "fingerprint": "", "turns": "",
    "embedding_version": UNSET,
}  # fmt: skip


def _question(
    services: Services,
    caller: Caller,
    tenant: int,
    document: CacheDocument,
    shard: CacheShard,
    request: CacheStore,
    asked: Asked | None,
) -> _Question:
    if asked is None:
        told = asking_of(services, caller, tenant, document, shard, request)
        is_given = told.category_from == "request"
        return _Question(told.identity, told.policy, told.text, told.vector, told.exact, is_given)
    policy = shard.policies.of(asked.identity.category)
    if policy is None or asked.identity.embedding_version != document.embedding_version:
        raise LookupNotFound("no such lookup")  # its category, or what its vector meant, is gone
    return _Question(asked.identity, policy, asked.text, asked.vector, asked.exact, asked.is_category_given)


def _lease_id(asked: Asked | None, request: CacheStore) -> str:
    if isinstance(request.lease, str):
        return request.lease
    return "" if asked is None else asked.id


def _given_up(shard: CacheShard, lease: tuple[Key, str], reason: str) -> Stored:
    """Nothing is stored: whoever waits may answer."""
    shard.leases.give_back(*lease)
    with shard.env.read() as txn:
        return Stored(entry_id=None, reason=reason, label=None, sequence=read_sequence(txn))


def _refusal(policy: Policy, identity: Identity, request: CacheStore) -> str:
    """Why an answer may not be stored; empty where it may."""
    if request.outcome != "answer":
        return request.outcome
    if not policy.stores:
        return "off"
    return "later_turn" if identity.turns and policy.turns == "first" else ""


def _answer_bytes(request: CacheStore, limits: Limits) -> bytes:
    if request.answer is UNSET or request.answer is None:
        raise InvalidArgument.at("/answer", "an answer is any JSON value but null")
    answer = msgspec.json.encode(request.answer)
    if len(answer) > limits.max_cached_answer_bytes:
        raise AnswerTooLarge.at(
            "/answer", f"an answer has up to {limits.max_cached_answer_bytes} bytes, not {len(answer)}"
        )
    return answer


def _ttl_s(request: CacheStore) -> float | None:
    if isinstance(request.ttl_s, UnsetType):
        return None
    if not 0.001 <= request.ttl_s <= LONGEST_TTL_S:
        raise InvalidArgument.at("/ttl_s", f"ttl_s is 0.001 to {LONGEST_TTL_S:g}")
    return request.ttl_s


def _new_number(shard: CacheShard) -> int:
    while True:
        number = secrets.randbits(64)
        if number and number not in shard.memory.residents:
            return number


def _sources(services: Services, caller: Caller, given: list[Source]) -> tuple[StoredSource, ...]:
    """The sources by numbers. One that does not exist, or may not be seen, is found out by looking at its version."""
    limits = services.settings.limits
    if len(given) > limits.max_cached_sources:
        raise TooLarge.at("/sources", f"an answer has up to {limits.max_cached_sources} sources")
    found: dict[tuple[int, int, bytes], StoredSource] = {}
    for i, source in enumerate(given):
        collection = services.usable(caller, source.collection)
        owner = named_owner(services, caller, source.owner)
        point_id = check_ids([source.id], lambda _, i=i: f"/sources/{i}/id")[0]  # type: ignore[misc]
        if source.version < 0:
            raise InvalidArgument.at(f"/sources/{i}/version", "a version is not negative")
        found[collection.id, owner or 0, point_id] = StoredSource(collection.id, owner or 0, point_id, source.version)
    return tuple(found.values())


def _leads_elsewhere(services: Services, asked: Asked, request: CacheStore) -> bool:
    """Whether an alias was switched since the look-up: nobody knows then which collection the answer was made from.

    Versions do not tell: the same points, loaded in the same order, have the same ones.
    """
    then, now = asked.names, services.catalog.names
    if then is now:
        return False
    names = {source.collection for source in request.sources}
    if not isinstance(request.retrieval, UnsetType):
        names.add(request.retrieval.collection)
    led = [(then.find(name), now.find(name)) for name in names]
    return any(old is not None and (new is None or new.id != old.id) for old, new in led)


# In the commit


def _write(services: Services, shard: CacheShard, group: CacheGroup, draft: Draft) -> Stored:
    entry = draft.entry
    check_live(services, entry.tenant, ())
    verdict = verdict_of(group, shard, draft)
    sequence = group.next_sequence()
    candidate = None if draft.asked is None else shard.memory.residents.get(draft.asked.candidate or 0)
    known = None if candidate is None or candidate.tenant != entry.tenant else candidate
    membership = place(
        entry.number,
        None if known is None else Membership(known.group, known.rejected),
        None if verdict is None else verdict == "right",
    )
    new = NewEntry(
        entry=replace(entry, sequence=sequence),
        vector=draft.vector,
        group=membership.group,
        rejected=membership.rejected,
        checked_at=draft.checked.checked_at,
        sources_expire_ms=draft.checked.sources_expire_ms,
    )
    vector = None if draft.vector is None else np.ascontiguousarray(draft.vector, "<f4").tobytes()
    is_likely = draft.asked is not None and draft.asked.score >= LIKELY_SCORE
    group.add(new, vector, draft.answer, is_likely)
    if verdict is not None and draft.asked is not None:
        note_label(group, entry, draft.asked, verdict, draft.policy)
    if verdict is None and draft.policy.compare == "judge":
        group.after_commit(lambda: have_judged(services, shard.document, draft))
    group.after_commit(lambda: shard.leases.give_back(*draft.lease))
    return Stored(entry_id=f"{entry.number:016x}", reason="stored", label=verdict, sequence=sequence)
