"""Whether a lookup's candidate would have been right: by comparing answers, by the caller, or by a judge.

A lookup is labelled once. What was served is never labelled by a store: nobody made a fresh answer for it.
"""

from typing import Any

import msgspec

from vdb.cache.groups import Membership, place
from vdb.cache.guard import check
from vdb.cache.labels import Label, LabelSource
from vdb.cache.lookups import Asked
from vdb.cache.policy import Policy
from vdb.cache.text import normalise
from vdb.engine.cache_draft import Draft
from vdb.engine.cache_judge import Case
from vdb.engine.cache_shard import CacheGroup, CacheShard
from vdb.engine.services import Services
from vdb.engine.shard import epoch_ms
from vdb.errors import CorruptData
from vdb.protocol.cache_requests import Verdict
from vdb.storage.cache_codec import CacheEntry
from vdb.storage.cache_entries import read_answer, read_entry
from vdb.storage.catalog import CacheDocument
from vdb.storage.env import Transaction

LABEL_BYTES = 4_096
"""What the commit of a label costs, about."""


def verdict_of(group: CacheGroup, shard: CacheShard, draft: Draft) -> Verdict | None:
    """Whether the candidate would have been right, by the category's rule; None where nobody can tell or one did."""
    asked = draft.asked
    if asked is None or asked.candidate is None or asked.served is not None:
        return None
    if draft.policy.compare == "verdict":
        verdict = draft.verdict
    elif draft.policy.compare == "equal":
        verdict = _compared(group.txn, draft.entry.tenant, asked.candidate, draft.answer)
    else:
        verdict = None
    if verdict is None or not shard.lookups.claim_label(asked):
        return None
    group.on_undo(lambda: shard.lookups.give_label_back(asked))
    return verdict


def _compared(txn: Transaction, tenant: int, candidate: int, fresh: bytes) -> Verdict | None:
    """Whether two answers are equal: as JSON, texts in them as `normalise` has them; None where one cannot be read.

    Of answers that the server wrote itself the texts alone are compared: what they took differs each time.
    """
    try:
        cached = read_answer(txn, tenant, candidate)
    except CorruptData:
        return None
    if cached is None:
        return None
    return "right" if _said(msgspec.json.decode(cached)) == _said(msgspec.json.decode(fresh)) else "wrong"


def _said(answer: Any) -> Any:
    is_ours = isinstance(answer, dict) and answer.get("vdb_answer") == 1 and isinstance(answer.get("text"), str)
    return normalise(answer["text"]) if is_ours else _plain(answer)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return normalise(value)
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return {key: _plain(part) for key, part in value.items()} if isinstance(value, dict) else value


def note_label(group: CacheGroup, entry: CacheEntry, asked: Asked, verdict: Verdict, policy: Policy) -> None:
    """Note the label, where a label of such a lookup says something: not of a candidate that the guard refuses.

    The guard is asked here about candidates that were too far to be served, which a lookup does not ask it about.
    """
    if asked.label_weight > 0.0 and not (policy.guard and _is_refused(group.txn, asked)):
        label = Label(
            lookup_id=int(asked.id, 16),
            score=asked.score,
            similarity=asked.similarity,
            is_right=verdict == "right",
            weight=asked.label_weight,
            source=LabelSource(policy.compare),
            at_ms=epoch_ms(),
        )
        group.note_label(entry.tenant, entry.category, label)


def _is_refused(txn: Transaction, asked: Asked) -> bool:
    if asked.is_guarded:
        return False
    try:
        candidate = read_entry(txn, asked.tenant, asked.candidate or 0)
    except CorruptData:
        return True
    return candidate is None or check(asked.text, candidate.text) is not None


# Judges, who are asked after the commit


def have_judged(services: Services, document: CacheDocument, draft: Draft) -> None:
    """Ask the category's judge about the candidate of a lookup, if it had one that may be labelled."""
    asked = draft.asked
    if asked is not None and asked.candidate is not None and asked.served is None:
        services.judge.ask(
            lambda: _case(services, document, draft, asked),
            lambda is_right: _take_verdict(services, document, draft, asked, is_right),
        )


def _case(services: Services, document: CacheDocument, draft: Draft, asked: Asked) -> Case | None:
    """What the judge is to compare; None where the candidate is gone."""
    with services.caches.use(document) as shard, shard.env.read() as txn:
        candidate = read_entry(txn, draft.entry.tenant, asked.candidate or 0)
        cached = read_answer(txn, draft.entry.tenant, asked.candidate or 0)
    if candidate is None or cached is None or draft.policy.judge_url is None:
        return None
    return Case(draft.policy.judge_url, draft.entry.text, draft.answer, candidate.text, cached)


def _take_verdict(services: Services, document: CacheDocument, draft: Draft, asked: Asked, is_right: bool) -> None:
    """Note what a judge said, where nobody said it before and the entry is still there."""
    verdict: Verdict = "right" if is_right else "wrong"

    def apply(group: CacheGroup) -> None:
        candidate = shard.memory.residents.get(asked.candidate or 0)
        if draft.entry.number not in shard.memory.residents or not shard.lookups.claim_label(asked):
            return
        group.on_undo(lambda: shard.lookups.give_label_back(asked))
        known = None if candidate is None else Membership(candidate.group, candidate.rejected)
        group.regroup((draft.entry.tenant, draft.entry.number), place(draft.entry.number, known, is_right))
        group.next_sequence()
        note_label(group, draft.entry, asked, verdict, draft.policy)

    with services.caches.use(document) as shard:
        shard.queue.submit(apply, LABEL_BYTES).result()
