"""Semantic caches, synchronous. Generated from aio_cache.py by vdb.client.unasync: edit that one.

Every method builds a call, hands it to the transport and returns what the call makes of the answer. Errors are those of
`vdb.errors`, the same in process, over HTTP and here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

from numpy.typing import ArrayLike

from vdb.client import cache_calls
from vdb.client.cache_calls import Answered, Fresh, Sources
from vdb.client.collection import Transport
from vdb.client.wire import Call
from vdb.errors import InternalError, StorageFailure, TransportError, Unavailable, VdbError
from vdb.protocol.answers import Done
from vdb.protocol.cache_answers import (
    CachedEntry,
    CacheStats,
    FeedbackAnswer,
    Invalidated,
    LookupAnswer,
    Policies,
    Policy,
    Stored,
)

T = TypeVar("T")

Verdict = Literal["right", "wrong"]
Outcome = Literal["answer", "error", "incomplete", "private"]

_DOWN = (TransportError, Unavailable, StorageFailure, InternalError)
_NEVER_STORED = ("off", "later_turn")


class Cache:
    """One semantic cache, for one tenant. As safe to share as the client it comes from; nothing to close.

    What has to be equal for an answer to be eligible, besides the tenant: `scope` (a user, a role or a hash of rights),
    `category`, `model`, `fingerprint` (of system prompt, tools, parameters), `turns` (of earlier turns), `retrieval`.
    """

    def __init__(self, transport: Transport, name: str, tenant: str | None) -> None:
        self._transport, self._name, self._tenant = transport, name, tenant

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r}, tenant={self._tenant!r})"

    @property
    def name(self) -> str:
        return self._name

    @property
    def tenant(self) -> str | None:
        return self._tenant

    def lookup(
        self,
        text: str,
        vector: ArrayLike | None = None,
        *,
        category: str | None = None,
        scope: str = "",
        model: str = "",
        fingerprint: str = "",
        turns: str = "",
        retrieval: Mapping[str, Any] | None = None,
        load: float = 0.0,
        lease: bool = True,
        wait_ms: int = 0,
        with_candidate: bool = False,
    ) -> LookupAnswer:
        """Whether there is an answer: `hit` says which kind (None: a miss, for `reason`), `entry.answer` has it.

        Without `vector` only an equal question is found. `load`, 0 to 1, is the backend's; `wait_ms` how long to wait
        for whoever is answering the same question; `with_candidate` asks for what was near but is not served.
        """
        asked = cache_calls.question(text, vector, category, scope, model, fingerprint, turns, retrieval)
        return self._run(cache_calls.lookup(self._name, asked, load, lease, wait_ms, with_candidate))

    def store(
        self,
        found: LookupAnswer | str | None = None,
        answer: Any = None,
        *,
        sources: Sources = (),
        retrieval: Mapping[str, Any] | None = None,
        verdict: Verdict | None = None,
        outcome: Outcome = "answer",
        lease: str | None = None,
        ttl_s: float | None = None,
        text: str | None = None,
        vector: ArrayLike | None = None,
        category: str | None = None,
        scope: str = "",
        model: str = "",
        fingerprint: str = "",
        turns: str = "",
    ) -> Stored:
        """Store the answer to a look-up that missed (`found`, or its id); or to `text` and what goes with it.

        `answer` is any JSON value but null. `sources`: the points it was made from, as {collection: hits}; `retrieval`:
        the search (`vdb.client.retrieval`): once one of them changes, the answer is not served any more. `verdict`:
        whether the look-up's candidate would have been right. `outcome` other than "answer" stores nothing and gives
        the lease back. An answer that may not be stored is no error: `entry_id` is None, for `reason`.
        """
        asked = cache_calls.question(text, vector, category, scope, model, fingerprint, turns, retrieval)
        fields = {"verdict": verdict, "lease": lease, "ttl_s": ttl_s}
        fields |= {"outcome": None if outcome == "answer" else outcome}
        return self._run(cache_calls.store(self._name, found, answer, asked, sources, fields))

    def answer(
        self,
        text: str,
        vector: ArrayLike | None,
        make: Callable[[LookupAnswer | None], Any],
        *,
        category: str | None = None,
        scope: str = "",
        model: str = "",
        fingerprint: str = "",
        turns: str = "",
        retrieval: Mapping[str, Any] | None = None,
        load: float = 0.0,
        wait_ms: int = 10_000,
        with_candidate: bool = False,
        fails_open: bool = True,
    ) -> Answered:
        """The cached answer, or what `make` returns, which is then stored.

        `make` gets the look-up (its `example` and `candidate` are there to be used) and returns the answer, or a
        `Fresh` with sources, retrieval and verdict. Where it raises, the lease is given back and the error goes on.
        `fails_open`: where the cache cannot be asked, `make` gets None and answers alone; and an answer that could not
        be stored is returned all the same, with the `error`. A client with a short `timeout_s` fails open sooner.
        """
        asked = cache_calls.question(text, vector, category, scope, model, fingerprint, turns, retrieval)
        try:
            found = self._run(cache_calls.lookup(self._name, asked, load, True, wait_ms, with_candidate))
        except _DOWN as exc:
            if not fails_open:
                raise
            made = make(None)
            return Answered(made.answer if isinstance(made, Fresh) else made, None, error=exc)
        if found.hit is not None and found.entry is not None:
            return Answered(found.entry.answer, found)
        try:
            made = make(found)
        except BaseException:
            self._give_back(found)
            raise
        fresh = made if isinstance(made, Fresh) else Fresh(made)
        if found.reason in _NEVER_STORED:
            return Answered(fresh.answer, found)
        try:
            return Answered(fresh.answer, found, self._keep(found, fresh))
        except VdbError as exc:
            if not fails_open:
                raise
            return Answered(fresh.answer, found, error=exc)

    def feedback(
        self, found: LookupAnswer | str | None = None, verdict: Verdict = "wrong", *, entry_id: str | None = None
    ) -> FeedbackAnswer:
        """Say whether what a look-up was served, or an entry, was right. A wrong one goes, and the bar may rise."""
        return self._run(cache_calls.feedback(self._name, found, verdict, entry_id))

    def invalidate(
        self,
        entry_ids: Sequence[str] | None = None,
        *,
        source: Mapping[str, Any] | None = None,
        tenant: str | None = None,
        category: str | None = None,
        embedding_version: str | None = None,
        dry_run: bool = False,
    ) -> Invalidated:
        """Remove the entries that match all that is given; `dry_run` counts them.

        `source` is {"collection": …, "id": …, "owner": …}; without `id`, all of the collection. Admins without a tenant
        reach every tenant's entries.
        """
        fields: dict[str, Any] = {"entry_ids": entry_ids, "source": source, "tenant": tenant, "category": category}
        fields |= {"embedding_version": embedding_version, "dry_run": dry_run}
        return self._run(cache_calls.invalidate(self._name, fields))

    def stats(self) -> CacheStats:
        """Figures by category: the tenant's, or for an admin without a tenant those of all."""
        return self._run(cache_calls.stats(self._name))

    def entries(
        self, category: str | None = None, *, page_size: int = 256, with_answer: bool = False
    ) -> Iterator[CachedEntry]:
        """The tenant's entries, in no order of use, read page by page as the iterator goes."""
        cursor: str | None = None
        while True:
            page = cache_calls.entries_page(self._name, category, cursor, page_size, with_answer)
            found, cursor = self._run(page)
            yield from found
            if cursor is None:
                return

    def get_entry(self, entry_id: str) -> CachedEntry:
        """One of the tenant's entries, with its answer."""
        return self._run(cache_calls.get_entry(self._name, entry_id))

    def policies(self) -> Policies:
        """The policies by category, and the one of questions of no known category."""
        return self._run(cache_calls.policies(self._name))

    def policy(self, category: str) -> Policy:
        return self._run(cache_calls.get_policy(self._name, category))

    def put_policy(self, category: str, **policy: Any) -> Policy:
        """Put a category's policy whole: `mode`, `threshold` and the rest as the HTTP API has them; else defaults.

        `examples` are pairs of text and vector, or mappings.
        """
        return self._run(cache_calls.put_policy(self._name, category, policy))

    def delete_policy(self, category: str) -> Done:
        """Remove a category; its entries are served no more."""
        return self._run(cache_calls.delete_policy(self._name, category))

    def _keep(self, found: LookupAnswer, fresh: Fresh) -> Stored:
        asked = {} if fresh.retrieval is None else {"retrieval": fresh.retrieval}
        fields: dict[str, Any] = {"verdict": fresh.verdict, "ttl_s": fresh.ttl_s}
        fields |= {"outcome": None if fresh.outcome == "answer" else fresh.outcome}
        return self._run(cache_calls.store(self._name, found, fresh.answer, asked, fresh.sources, fields))

    def _give_back(self, found: LookupAnswer) -> None:
        """Let somebody else answer; if that fails, the lease runs out by itself."""
        if found.lease is None:
            return
        try:
            self._run(cache_calls.store(self._name, found, None, {}, (), {"outcome": "error"}))
        except VdbError:
            return

    def _run(self, sent: Call[T]) -> T:
        return self._transport.execute(sent, self._tenant)
