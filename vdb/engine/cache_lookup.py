"""Look-ups: equal questions first, then the nearest eligible entry, if what was learned says that it may be served.

Order: what must be equal picks the partition; the exact tier answers, or the nearest entries of the partition are gone
through, nearest first, until one is eligible (not expired, its sources unchanged in the snapshot that serves it). That
one is the candidate, and no other. Then the guard on both texts, then the bar. Everything that is not served is a miss
with a reason, and remembered under its id, so that the fresh answer can say whether the candidate was right.
"""

import logging
import random
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec import UNSET, Raw, structs

from vdb.cache.calibration import Calibration, Decision, Verdict
from vdb.cache.counts import Counts
from vdb.cache.guard import check
from vdb.cache.leases import Held
from vdb.cache.lookups import Asked, new_lookup_id
from vdb.cache.memory import Resident
from vdb.cache.score import NEIGHBOURS, decision_score
from vdb.cache.text import normalise
from vdb.engine.cache_entries import entry_answer
from vdb.engine.cache_questions import Asking, asking_of
from vdb.engine.cache_shard import CacheShard
from vdb.engine.fair import NO_TENANT
from vdb.engine.provenance import Moment, TakesLong
from vdb.engine.services import Services
from vdb.engine.shard import epoch_ms
from vdb.engine.tenants import ensure_tenant
from vdb.errors import AnswerPending, CorruptData, InvalidArgument, VdbError
from vdb.protocol.cache_answers import Candidate, InContext, Lease, LookupAnswer
from vdb.protocol.cache_requests import CacheLookup
from vdb.storage.cache_codec import CacheEntry
from vdb.storage.cache_entries import read_answer, read_entry
from vdb.storage.catalog import CacheDocument
from vdb.storage.env import Transaction
from vdb.types import Caller, Role

logger = logging.getLogger(__name__)

MORE_NEAR = 256
"""How many are gone through where none of the nearest is eligible."""
MAX_WAIT_MS = 60_000
POLL_S = 0.004


def cache_lookup(
    services: Services, caller: Caller, path: tuple[str, ...], request: CacheLookup
) -> "LookupAnswer | Future[LookupAnswer]":
    """Raises CacheNotFound, TenantNotFound, InvalidArgument and its kinds; AnswerPending: wait, and ask again."""
    document = services.usable_cache(caller, path[0])
    if not 0.0 <= request.load <= 1.0:
        raise InvalidArgument.at("/load", "load is 0 to 1")
    if not 0 <= request.wait_ms <= MAX_WAIT_MS:
        raise InvalidArgument.at("/wait_ms", f"wait_ms is 0 to {MAX_WAIT_MS}")
    if caller.role is Role.READ:  # whoever may not store must not keep others waiting
        request = structs.replace(request, lease=False)
    asking = _asking(services, caller, document, request, caller.tenant_id or NO_TENANT)
    tenant = ensure_tenant(services, caller)  # what is asked for may be stored next; a refused look-up makes no tenant
    if tenant != caller.tenant_id:
        asking = _asking(services, caller, document, request, tenant)
    try:
        return _answer(services, document, tenant, request, asking, is_hurried=True)
    except TakesLong:
        return services.cache_checks.submit(_answer, services, document, tenant, request, asking, is_hurried=False)


def lookup_here(
    services: Services, caller: Caller, document: CacheDocument, request: CacheLookup, is_over: Callable[[], bool]
) -> LookupAnswer:
    """A look-up on this thread, however long it takes, for whoever has one to spare.

    Where somebody is answering the same question, and the request says that it waits, it waits until that has an end or
    `is_over`; the answer is then a miss without a lease. Raises what `cache_lookup` raises but AnswerPending.
    """
    if caller.role is Role.READ:
        request = structs.replace(request, lease=False)
    tenant = ensure_tenant(services, caller)
    asking = _asking(services, caller, document, request, tenant)
    while True:
        try:
            return _answer(services, document, tenant, request, asking, is_hurried=False)
        except AnswerPending:
            with services.caches.use(document) as shard:
                while shard.leases.is_held((tenant, asking.exact)) and not is_over():
                    time.sleep(POLL_S)
            if is_over():
                request = structs.replace(request, wait_ms=0, lease=False)


def _asking(services: Services, caller: Caller, document: CacheDocument, request: CacheLookup, tenant: int) -> Asking:
    with services.caches.use(document) as shard:
        return asking_of(services, caller, tenant, document, shard, request)


def _answer(
    services: Services, document: CacheDocument, tenant: int, request: CacheLookup, asking: Asking, is_hurried: bool
) -> LookupAnswer:
    is_counted = False
    with services.caches.use(document) as shard:
        counts = shard.memory.counts_of(tenant, asking.identity.category)
        while True:
            with Moment(services, tenant, is_hurried) as moment:
                lookup = _Lookup(services, shard, moment, tenant, request, asking, counts, is_counted=is_counted)
                try:
                    return lookup.run()
                except _AnsweredMeanwhile:
                    is_counted = lookup.is_counted


class _AnsweredMeanwhile(Exception):
    """The question was stored after it was looked for: to be looked up again."""


@dataclass(slots=True)
class _Near:
    """The candidate; `score` says how much of what is near speaks for it."""

    entry: CacheEntry
    similarity: float
    score: float


def _score(near: list[tuple[Resident, float]]) -> float:
    """Of a neighbourhood, nearest first, the candidate at its head."""
    return decision_score(
        np.array([similarity for _, similarity in near], np.float32),
        np.array([resident.group for resident, _ in near], np.uint64),
        np.array([resident.rejected for resident, _ in near], np.uint64),
    )


class _Lookup:
    """One lookup in one moment."""

    def __init__(
        self,
        services: Services,
        shard: CacheShard,
        moment: Moment,
        tenant: int,
        request: CacheLookup,
        asking: Asking,
        counts: Counts,
        *,
        is_counted: bool = False,
    ) -> None:
        """`is_counted`: by an earlier look at the same question, which its category is not to count twice."""
        self.services, self.shard, self.moment, self.tenant = services, shard, moment, tenant
        self.request, self.asking, self.policy, self.counts = request, asking, asking.policy, counts
        self.now_ms = epoch_ms()
        self.asked = Asked(
            new_lookup_id(), tenant, asking.identity, asking.text, asking.vector, asking.exact,
            asking.category_from == "request", load=request.load,
            names=services.catalog.names,
        )  # fmt: skip
        self.stale: set[int] = set()
        self.is_counted = is_counted
        self._equal: Resident | None = None

    def run(self) -> LookupAnswer:
        """The answer; what it decides is counted once, also where the question waits for somebody's answer first."""
        if self.policy.mode == "off":
            return self._miss("off")
        if self.asking.identity.turns and self.policy.turns == "first":
            return self._miss("later_turn")
        with self.shard.env.read() as txn:
            equal = self._exact(txn)
            if equal is not None:
                self._count_request()
                return self._serve(txn, equal, "exact", 1.0, None)
            if self.request.wait_ms and self.shard.leases.is_held((self.tenant, self.asking.exact)):
                raise AnswerPending("somebody is answering the same question", retry_after_s=1.0)
            if self.asking.vector is None or not self.policy.compares:
                return self._miss("no_vector" if self.policy.compares else "exact_only")
            return self._semantic(txn)

    @property
    def _calibration(self) -> Calibration:
        return self.shard.learned.calibration(self.tenant, self.asking.identity.category)

    def _count_request(self) -> None:
        if not self.is_counted:
            self._calibration.count_request()
        self.is_counted = True

    # The exact tier

    def _exact(self, txn: Transaction) -> CacheEntry | None:
        resident = self._equal = self.shard.memory.find_exact(self.tenant, self.asking.exact)
        entry = None if resident is None else self._eligible(txn, resident)
        if entry is None or normalise(entry.text) != normalise(self.asking.text):
            return None
        self.asked.candidate = entry.number
        return entry

    # The semantic tier

    def _semantic(self, txn: Transaction) -> LookupAnswer:
        near = self._near(txn)
        calibration = self._calibration
        if near is None:
            self._count_request()
            return self._miss("stale" if self.stale else "empty")
        reached = near.score
        self.asked.candidate, self.asked.similarity, self.asked.score = near.entry.number, near.similarity, reached
        if self.policy.guard and calibration.may_serve(reached, near.similarity):
            self.asked.is_guarded = True
            refused = check(self.asking.text, near.entry.text)
            if refused is not None:
                self._count_request()
                self.counts.reject(refused)
                return self._miss(f"guard_{refused}", txn, near)
        is_shadow = self.policy.mode == "shadow"
        decision = calibration.decide(reached, near.similarity, random.random(), self.request.load, is_shadow=is_shadow)
        self.is_counted = True
        self.asked.label_weight = decision.label_weight
        if decision.verdict is Verdict.SERVE:
            return self._serve(txn, near.entry, "semantic", near.similarity, decision)
        self.counts.explored += decision.verdict is Verdict.EXPLORE
        return self._miss(str(decision.reason), txn, near, decision)

    def _near(self, txn: Transaction) -> _Near | None:
        """The nearest eligible entry and its neighbours; None where there is none."""
        vector = self.asking.vector
        assert vector is not None, "only questions with a vector are compared"
        for k in (NEIGHBOURS, MORE_NEAR):
            found = self.shard.memory.nearest(self.tenant, self.asking.partition, vector, k)
            for place, (resident, similarity) in enumerate(found):
                entry = self._eligible(txn, resident)
                if entry is not None:
                    rest = [pair for pair in found[place : place + NEIGHBOURS] if not pair[0].is_expired(self.now_ms)]
                    return _Near(entry, similarity, _score(rest))
            if len(found) < k:
                return None
        return None

    def _eligible(self, txn: Transaction, resident: Resident) -> CacheEntry | None:
        """The entry, if it may be served now: one identity, not expired, its sources unchanged."""
        if resident.is_expired(self.now_ms):
            return None
        try:
            entry = read_entry(txn, self.tenant, resident.number)
        except CorruptData:
            return None
        if entry is None or not self._is_alike(entry):
            return None
        if not (entry.sources or entry.retrieval is not None):
            return entry
        try:
            if self.moment.is_sound(entry, resident, self.now_ms):
                return entry
        except VdbError as exc:  # nobody can say that it is sound
            logger.warning("the sources of an entry cannot be read", exc_info=exc, extra={"cache": self.shard.id})
            return None
        self.counts.stale_prevented += resident.number not in self.stale
        self.stale.add(resident.number)
        self.services.stale_entries.note(self.shard.id, (self.tenant, resident.number))
        return None

    def _is_alike(self, entry: CacheEntry) -> bool:
        """Whether what the partition's hash stands for is equal itself."""
        mine = self.asking.identity
        theirs = (entry.category, entry.scope, entry.model, entry.fingerprint, entry.turns, entry.embedding_version)
        wanted = (mine.category, mine.scope, mine.model, mine.fingerprint, mine.turns, mine.embedding_version)
        return theirs == wanted and entry.partition == self.asking.partition

    # Answers

    def _serve(
        self,
        txn: Transaction,
        entry: CacheEntry,
        kind: Any,
        similarity: float,
        decision: Decision | None,
    ) -> LookupAnswer:
        body = self._body(txn, entry)
        if body is None:
            return self._miss("damaged")
        self.asked.served = entry.number
        self.shard.eviction.hit(entry.number)
        self.counts.requests += 1
        if kind == "exact":
            self.counts.exact_hits += 1
        else:
            self.counts.semantic_hits += 1
            self.counts.relaxed_hits += decision is not None and decision.is_relaxed
        served = entry_answer(self.services, entry, self.now_ms, with_sources=True)
        served.answer = Raw(body)
        candidate = Candidate(entry_id=served.id, similarity=similarity)
        return self._told(LookupAnswer(
            lookup_id=self.asked.id, hit=kind, reason="hit", category=entry.category,
            category_from=self.asking.category_from, entry=served, similarity=similarity, candidate=candidate,
        ), decision)  # fmt: skip

    def _miss(
        self, reason: str, txn: Transaction | None = None, near: _Near | None = None, decision: Decision | None = None
    ) -> LookupAnswer:
        held = self._lease() if self.policy.stores and self.request.lease and reason != "later_turn" else None
        self.counts.requests += 1
        self.counts.misses += 1
        answer = LookupAnswer(
            lookup_id=self.asked.id, hit=None, reason=reason, category=self.asking.identity.category,
            category_from=self.asking.category_from,
        )  # fmt: skip
        if near is not None and txn is not None:
            answer.similarity = near.similarity
            answer.candidate = self._candidate(txn, near)
            answer.example = self._example(txn, near)
        answer.lease = None if held is None else Lease(id=held.id, expires_in_s=round(held.remaining_s, 3))
        return self._told(answer, decision)

    def _lease(self) -> Held | None:
        """On the question, to answer it; None where somebody else answers it now.

        Raises _AnsweredMeanwhile where somebody did since it was looked for, and their lease was over before this one.
        """
        key = (self.tenant, self.asking.exact)
        held = self.shard.leases.take(key, self.asked.id)
        if held is not None and self.shard.memory.find_exact(*key) not in (None, self._equal):
            self.shard.leases.give_back(key, held.id)
            raise _AnsweredMeanwhile
        return held

    def _told(self, answer: LookupAnswer, decision: Decision | None) -> LookupAnswer:
        if self.asked.candidate is not None and decision is not None:
            answer.score, answer.threshold, answer.is_relaxed = (
                self.asked.score,
                decision.threshold,
                decision.is_relaxed,
            )
        self.shard.lookups.put(self.asked)
        return answer

    def _candidate(self, txn: Transaction, near: _Near) -> Candidate:
        candidate = Candidate(entry_id=f"{near.entry.number:016x}", similarity=near.similarity)
        if self.request.with_candidate:
            candidate.text = near.entry.text
            body = self._body(txn, near.entry)
            candidate.answer = UNSET if body is None else Raw(body)
        return candidate

    def _example(self, txn: Transaction, near: _Near) -> InContext | None:
        least = self.policy.example_threshold
        if least is None or near.similarity < least:
            return None
        body = self._body(txn, near.entry)
        if body is None:
            return None
        return InContext(
            entry_id=f"{near.entry.number:016x}", similarity=near.similarity, text=near.entry.text, answer=Raw(body)
        )

    def _body(self, txn: Transaction, entry: CacheEntry) -> bytes | None:
        """The stored answer; None where it is damaged: half an answer is never served."""
        try:
            return read_answer(txn, entry.tenant, entry.number)
        except CorruptData:
            return None
