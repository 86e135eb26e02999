"""The semantic cache in front of answers: asked first, waited for where somebody answers the same, filled afterwards.

An answer is kept whole and once, whatever shape it is asked for in: as JSON, with the texts of its references, without
what belongs to the request that made it. Its sources are all passages that it was written from, cited or not, and its
search is kept with it, so that it dies with any of them (`vdb.engine.provenance`). What goes wrong with a cache never
fails an answer: it is a miss, and counted.

A question of a key that may only read is looked up but never stored, and nobody waits for it.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal, Self

import msgspec
import numpy as np
from msgspec import UNSET, Raw, Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from vdb.engine.answering.cache_choices import CacheChoice
from vdb.engine.answering.cache_sources import retrieval_of, sources_of, stated_sources
from vdb.engine.cache_lookup import lookup_here
from vdb.engine.cache_store import cache_store
from vdb.engine.models import embed_queries, embedder_of
from vdb.engine.names import PinnedName
from vdb.engine.services import Services
from vdb.errors import VdbError
from vdb.protocol.answer_answers import CitedAnswer, FromCache, Reference, Timings
from vdb.protocol.answers import SearchAnswer
from vdb.protocol.cache_answers import InContext, LookupAnswer
from vdb.protocol.cache_requests import CacheLookup, CacheStore, Retrieval, Source
from vdb.protocol.requests import Search
from vdb.rag.generate.base import Message, Stop
from vdb.rag.passage import Passage
from vdb.storage.cache_entries import read_entry, read_entry_vector
from vdb.storage.catalog import CacheDocument, CollectionDocument
from vdb.types import Caller, Role

__all__ = ["Front", "FrontFound", "Kept", "fingerprint_of"]

logger = logging.getLogger(__name__)

_LONGEST_WAIT_S = 30.0
"""For whoever is answering the same question; then it is answered beside."""
_NOT_FOUND_TTL_S = 300.0
_LEAST_NORM = 1e-12
_SAME_COSINE = 0.999
"""Of two vectors of one question: a model need not make the same to the last bit twice."""


class Kept(Struct, kw_only=True):
    """An answer as it lies in a cache. Two of them say the same where their texts do."""

    vdb_answer: Literal[1] = 1
    text: str
    cited: CitedAnswer


@dataclass(slots=True)
class FrontFound:
    """What the cache says: the answer, or None; what to tell of it; near misses; the question's vector, if it has one.

    The timings of the answer are zeros, and so is its usage: nothing was written.
    """

    answer: CitedAnswer | None
    cache: FromCache
    examples: list[tuple[str, str]] = field(default_factory=list)
    vector: NDArray[np.float32] | None = None


def fingerprint_of(*parts: object) -> str:
    """A digest of what has to be equal for one answer to stand for another; any JSON, Structs, None and UNSET."""
    plain = [None if part is UNSET else part for part in parts]
    return blake2b(msgspec.json.encode(plain), digest_size=16).hexdigest()


class Front:
    """The cache in front of one question. Use it as a context: whoever waits for the answer may go on when it ends.

    With `choice` None nothing is asked or kept. One thread uses it.
    """

    def __init__(
        self,
        services: Services,
        caller: Caller,
        tenant_id: int,
        choice: CacheChoice | None,
        collection: CollectionDocument,
        search: Search,
        vector: NDArray[np.float32] | None,
        history: Sequence[Message],
        fingerprint: str,
        load: float,
    ) -> None:
        self._services, self._caller, self._tenant_id = services, caller, tenant_id
        self._choice, self._collection, self._search, self._vector = choice, collection, search, vector
        self._turns = fingerprint_of([(turn.role, turn.content) for turn in history]) if history else ""
        self._is_given = vector is not None
        how = (search.mode, search.fusion, search.reranker, search.params)
        self._fingerprint = fingerprint_of(fingerprint, *how, *self._searched_by()) if choice is not None else ""
        self._load = min(1.0, max(0.0, load))
        self._example_sources: list[Source] = []
        self._found: LookupAnswer | None = None
        self._cache = FromCache(hit=None, reason="off")
        self._is_done = choice is None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.give_up("incomplete" if exc[0] is None else "error")

    def look_up(self, stop: Stop | None = None, *, with_texts: bool = False) -> FrontFound:
        """What the cache has, references with their texts if wanted.

        Waits for whoever is answering the same question, half a minute at most.
        """
        if self._choice is None:
            return FrontFound(None, self._cache, vector=self._vector)
        if self._vector is None:
            self._vector = self._embedded()
        if self._choice.use == "refresh":
            return self._missed("refresh")
        ends = time.monotonic() + _LONGEST_WAIT_S

        def is_over() -> bool:
            is_unwanted = stop is not None and stop.is_requested
            return is_unwanted or self._services.is_stopping.is_set() or time.monotonic() >= ends

        try:
            found = lookup_here(self._services, self._caller, self._choice.document, self._lookup(), is_over)
        except VdbError as exc:
            logger.warning("a cache could not be asked", exc_info=exc, extra={"cache": self._choice.document.id})
            return self._missed("unavailable")
        self._found = found
        if found.hit is None:
            missed = self._missed(found.reason)
            missed.examples = self._examples(found.example)
            return missed
        assert found.entry is not None, "a hit has an entry"
        if found.hit == "exact" and self._is_given and not self._is_alike(found.entry.id):
            return self._missed("other_vector")
        try:
            kept = msgspec.json.decode(bytes(found.entry.answer), type=Kept)
        except msgspec.MsgspecError:  # what somebody else stored there, or an older release
            return self._missed("damaged")
        return self._hit(found, kept.cited, with_texts)

    def store(self, answer: CitedAnswer, passages: Sequence[Passage], found: SearchAnswer | None) -> FromCache:
        """Keep an answer; what to tell of the cache then.

        `passages` are all that it was written from, `found` is the search that they come from: None where there was
        none, because everything there was went into the context, or where no answer was found in any.
        """
        may_store = self._choice is not None and not self._is_done and self._caller.role is not Role.READ
        has_lease = self._found is None or self._found.lease is not None
        if not (may_store and has_lease and answer.finish_reason == "stop"):
            self.give_up("incomplete")
            return self._cache
        request = self._stored(answer, passages, found)
        if request is None:
            self.give_up("private")
            return self._cache
        assert self._choice is not None, "it is asked above"
        try:
            stored = cache_store(self._services, self._caller, (self._choice.document.name,), request)
            done = stored if not hasattr(stored, "result") else stored.result()
            self._cache.stored = done.entry_id
            self._is_done = True
        except VdbError as exc:
            logger.warning("an answer was not cached", exc_info=exc, extra={"cache": self._choice.document.id})
            self.give_up("error")
        return self._cache

    def give_up(self, outcome: Literal["error", "incomplete", "private"]) -> None:
        """Nothing is kept: whoever waits for the answer may go on. Nothing happens after a `store`, or again."""
        if self._is_done or self._choice is None:
            return
        self._is_done = True
        if self._found is None or self._found.lease is None:
            return
        request = CacheStore(lookup_id=self._found.lookup_id, outcome=outcome)
        try:
            cache_store(self._services, self._caller, (self._choice.document.name,), request)
        except VdbError as exc:  # it runs out by itself
            logger.warning("a lease was not given back", exc_info=exc, extra={"cache": self._choice.document.id})

    # What is asked, and kept

    def _question(self) -> dict[str, Any]:
        assert self._choice is not None and isinstance(self._search.text, str), "a question has a text"
        vector = _fitting(self._vector, self._collection, self._choice.document)
        return {
            "text": self._search.text,
            "vector": UNSET if vector is None else vector,
            "category": UNSET if self._choice.category is None else self._choice.category,
            "scope": self._choice.scope,
            "fingerprint": self._fingerprint,
            "turns": self._turns,
        }

    def _lookup(self) -> CacheLookup:
        search = self._search
        place = PinnedName(self._collection.name, self._collection.id)
        retrieval = Retrieval(collection=place, limit=search.limit, filter=search.filter)
        return CacheLookup(**self._question(), load=self._load, wait_ms=1, retrieval=retrieval)

    def _stored(
        self, answer: CitedAnswer, passages: Sequence[Passage], found: SearchAnswer | None
    ) -> CacheStore | None:
        """The request that keeps an answer; None where its sources cannot be kept."""
        most = self._services.settings.limits.max_cached_sources
        retrieval = retrieval_of(self._collection, self._search, self._vector, found, answer.sequence, most)
        sources = [*sources_of(self._collection, passages), *self._example_sources] if answer.found else []
        if retrieval is None or len(sources) > most:
            return None
        kept = Kept(text=answer.text, cited=_whole(answer, passages))
        asked = self._question() if self._found is None else {"lookup_id": self._found.lookup_id}
        return CacheStore(
            **asked,
            answer=Raw(msgspec.json.encode(kept)),
            sources=sources,
            retrieval=retrieval,
            ttl_s=UNSET if answer.found else _NOT_FOUND_TTL_S,
        )

    def _searched_by(self) -> Iterator[object]:
        """What of the collection a search goes by, and whose vector: a given one that cannot be compared counts too."""
        collection = self._collection
        yield from (collection.text, collection.fusion, collection.embedding, self._is_given)
        is_compared = self._choice is None or _fitting(self._vector, collection, self._choice.document) is not None
        if self._vector is not None and not is_compared:
            yield blake2b(self._vector.tobytes(), digest_size=16).hexdigest()

    def _is_alike(self, entry_id: str) -> bool:
        """Whether an entry of equal words was asked for with the vector that was given now."""
        assert self._choice is not None and self._vector is not None, "it was asked, with a vector"
        if _fitting(self._vector, self._collection, self._choice.document) is None:
            return True  # it is part of the fingerprint
        with self._services.caches.use(self._choice.document) as shard, shard.env.read() as txn:
            kept = read_entry_vector(txn, self._tenant_id, int(entry_id, 16))
        return kept is not None and _cosine(np.frombuffer(kept, "<f4"), self._vector) >= _SAME_COSINE

    def _examples(self, example: InContext | None) -> list[tuple[str, str]]:
        """A near miss, as question and answer. What is written after it dies with its sources, too."""
        if example is None:
            return []
        assert self._choice is not None, "it was asked"
        try:
            kept = msgspec.json.decode(bytes(example.answer), type=Kept)
            with self._services.caches.use(self._choice.document) as shard, shard.env.read() as txn:
                entry = read_entry(txn, self._tenant_id, int(example.entry_id, 16))
        except (msgspec.MsgspecError, VdbError):
            return []
        if entry is None:
            return []
        self._example_sources = stated_sources(self._services, entry)
        return [(example.text, kept.text)]

    def _embedded(self) -> NDArray[np.float32] | None:
        """The question's vector, where the collection's model tells it; a failing model is the search's to report."""
        try:
            embedder = embedder_of(self._services, self._collection)
            if embedder is None or (self._search.mode == "sparse" and not embedder.is_quick):
                return None
            assert isinstance(self._search.text, str), "a question has a text"
            texts = [self._search.text]
            row: NDArray[np.float32] = embed_queries(
                self._services, self._tenant_id, embedder, texts, self._collection.dimension
            )[0]
            return row
        except VdbError:
            return None

    # What comes of it

    def _missed(self, reason: str) -> FrontFound:
        self._services.answers.note_cache("unavailable" if reason in ("unavailable", "damaged") else "miss")
        lookup_id = None if self._found is None else self._found.lookup_id
        self._cache = FromCache(hit=None, reason=reason, lookup_id=lookup_id)
        return FrontFound(None, self._cache, vector=self._vector)

    def _hit(self, found: LookupAnswer, answer: CitedAnswer, with_texts: bool) -> FrontFound:
        assert found.hit is not None and found.entry is not None, "it is a hit"
        self._services.answers.note_cache(found.hit)
        self._is_done = True
        self._cache = FromCache(hit=found.hit, reason=found.reason, entry_id=found.entry.id, lookup_id=found.lookup_id)
        answer.cache, answer.timings = self._cache, Timings()
        answer.usage = replace(answer.usage, prompt_tokens=0, completion_tokens=0)
        if not with_texts:
            for reference in answer.references:
                reference.text = UNSET
        return FrontFound(answer, self._cache, vector=self._vector)


def _whole(answer: CitedAnswer, passages: Sequence[Passage]) -> CitedAnswer:
    """The answer with all that may be asked of it later, without what belongs to the request that made it."""
    texts = {_place(passage): passage.text for passage in passages}
    references = [replace(reference, text=texts.get(_place(reference), "")) for reference in answer.references]
    return replace(
        answer,
        references=references,
        context=replace(answer.context, dropped=UNSET),
        cache=FromCache(hit=None, reason="stored"),
        timings=Timings(),
    )


def _place(told: Passage | Reference) -> tuple[str, str, int | None, int | None]:
    return told.owner, told.id, told.start, told.end


def _cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    first, second = one.astype(np.float64), other.astype(np.float64)
    return float(first @ second) / max(float(np.linalg.norm(first) * np.linalg.norm(second)), _LEAST_NORM)


def _fitting(
    vector: NDArray[np.float32] | None, collection: CollectionDocument, cache: CacheDocument
) -> NDArray[np.float32] | None:
    """The question's vector, where the cache's are of the same kind: else only equal words are found."""
    if vector is None or cache.dimension != collection.dimension or float(np.abs(vector).max()) < _LEAST_NORM:
        return None
    version = cache.embedding_version
    if not version:
        return vector
    made_by = collection.embedding
    return vector if made_by and version in (made_by.version, f"{made_by.model}@{made_by.version}") else None
