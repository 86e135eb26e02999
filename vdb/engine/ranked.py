"""Search by text: a dense and a sparse leg in one snapshot, fused, ranked anew, grouped.

The legs' best candidates are put together, each scored by both (`vdb.engine.union`), fused (`vdb.rag.fuse`), and the
best of them held against their records. A candidate that may not be seen any more leaves no trace: the rest is fused
again without it. What a reranker of another server says is asked after the snapshot is closed.
"""

import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec import UnsetType
from numpy.typing import NDArray

from vdb.engine.acceleration.figures import Declined
from vdb.engine.acceleration.offload import offload_of
from vdb.engine.answer_size import AnswerSize
from vdb.engine.checked import CHUNK, Checker
from vdb.engine.combining import combined
from vdb.engine.filters import Filter
from vdb.engine.grouping import grouped
from vdb.engine.legs import Legs
from vdb.engine.matching import filter_of, matches_of
from vdb.engine.nearest import Nearest
from vdb.engine.plan import Plan, plan_of
from vdb.engine.ranked_plan import Wish, embedded, wish_of, with_known_vectors
from vdb.engine.read import payload_of, vector_of
from vdb.engine.reranking import by_model, by_vectors
from vdb.engine.row_sets import filter_explained
from vdb.engine.scored import Scored
from vdb.engine.services import Services
from vdb.engine.shard import Shard, Snapshot
from vdb.engine.sources import Sources
from vdb.engine.trust import is_sound
from vdb.engine.union import Union
from vdb.errors import TooLarge
from vdb.kernels import current
from vdb.protocol.answers import Explain, Hit, Hits, Leg, SearchAnswer
from vdb.protocol.answers import Legs as LegsOfHit
from vdb.protocol.columns import SearchHead
from vdb.protocol.requests import Search
from vdb.rag.fuse import fused
from vdb.storage.catalog import CollectionDocument
from vdb.storage.codec import Record

COMPARED_PER_CANDIDATE = 2
DEEPER = 4
MAX_DEPTH = 10_000
"""How many candidates of a leg are looked at, at most, where those of a smaller depth fall into too few groups: of all
queries of a request together."""

MAX_HELD_BYTES = 512 << 20
"""Of the payloads of candidates of all queries of a request."""


def ranked_search(
    services: Services,
    collection: CollectionDocument,
    tenant_id: int,
    request: Search | SearchHead,
    block: NDArray[np.float32] | None,
) -> "SearchAnswer | Future[SearchAnswer]":
    """The best points for texts, vectors or both; a future where a model has to be asked that may keep one waiting."""
    wish = with_known_vectors(services, collection, tenant_id, wish_of(services, collection, request, block))
    plan = _of_leg(plan_of(request, services.settings.limits), wish)
    run = _Run(services, collection, tenant_id, request, wish, plan, filter_of(request.filter, collection))
    if not wish.waits_for_models:
        return run.answer()
    with services.shard_for_read(collection, request):
        pass  # whoever waits for a sequence asks no model before it is there
    waiting: Future[SearchAnswer] = services.model_calls.submit(tenant_id, services.in_context(run.answer))
    return waiting


def _of_leg(plan: Plan, wish: Wish) -> Plan:
    """The plan of a leg that gives candidates: where the request names no effort, fewer rows are compared by their full
    vectors than for as many hits. The best are found as surely; which are the last of them hardly matters."""
    is_named = plan.exact or not (plan.recall is plan.budget is plan.rerank is None)
    if is_named or wish.mode != "hybrid":
        return plan
    return Plan(rerank=COMPARED_PER_CANDIDATE * wish.depth, backend=plan.backend)


@dataclass(slots=True)
class _Run:
    """One request."""

    services: Services
    collection: CollectionDocument
    tenant_id: int
    request: Search | SearchHead
    wish: Wish
    plan: Plan
    parsed: Filter | None
    began: float = field(default_factory=time.perf_counter)
    plan_us: float = 0.0
    rerank_us: float = 0.0
    n_held: int = 0
    """Bytes of payloads of the candidates that are in memory."""
    names: dict[int, str] = field(default_factory=dict)
    """Owners of hits."""

    def answer(self) -> SearchAnswer:
        wish = self.wish = embedded(self.services, self.collection, self.tenant_id, self.wish)
        with self.services.shard_for_read(self.collection, self.request) as shard:
            if wish.mode == "sparse" or wish.vectors is None:
                with shard.snapshot() as snapshot:
                    found, answer = self._in_snapshot(shard, snapshot, None)
            else:
                shard.index.tuner.recorded.note(wish.vectors)
                matches = matches_of(self.parsed)
                sources = Sources(
                    self.services, self.collection, shard, self.tenant_id, self.plan, self.parsed, matches,
                    wish.n_queries,
                )  # fmt: skip
                found, answer = sources.answer(lambda snapshot, source: self._in_snapshot(shard, snapshot, source))
        results = [self._finished(i, hits) for i, hits in enumerate(found)]
        if wish.is_many and wish.combine is None:
            answer.results = [Hits(hits=hits) for hits in results]
        else:
            answer.hits = results[0]
        if not isinstance(answer.explain, UnsetType):
            total_us = (time.perf_counter() - self.began) * 1e6
            answer.explain.total_us = round(total_us, 1)
            if self.rerank_us:
                answer.explain.rerank_us = round(self.rerank_us, 1)
        return answer

    def _in_snapshot(
        self, shard: Shard, snapshot: Snapshot, source: Nearest | None
    ) -> tuple[list[list[tuple[Hit, Scored]]], SearchAnswer]:
        """All that needs the store: the hits of each query, or of their combination, before a model's order."""
        began = time.perf_counter()
        self.plan_us = (began - self.began) * 1e6
        checker = Checker(self.tenant_id, matches_of(self.parsed), snapshot)
        legs = Legs(self.services, self.collection, self.wish, snapshot, source, checker, self.parsed)
        legs.max_distance = self.request.max_distance
        depth = self.wish.depth
        deepest = MAX_DEPTH // self.wish.n_queries
        while True:
            lists = self._ranked(legs, depth)
            short = any(self._n_answered(ranked) < self.request.limit for ranked in lists)
            if not short or not legs.has_more or depth >= deepest or self.wish.group is None:
                break
            depth = min(deepest, depth * DEEPER)
        size = AnswerSize(self.request, self.collection.dimension, self.services.settings.limits)
        found = [[(self._hit(snapshot, size, scored), scored) for scored in self._kept(ranked)] for ranked in lists]
        answer = SearchAnswer(sequence=snapshot.sequence)
        if source is not None and source.offload.backend == "gpu":
            answer.backend = "gpu"
        if self.request.explain:
            answer.explain = self._explain(legs, checker, (time.perf_counter() - began) * 1e6)
        if self.services.stages is not None:
            self.services.stages.note("scan", began, legs.scan_us / 1e6)
        return found, answer

    def _ranked(self, legs: Legs, depth: int) -> list[list[Scored]]:
        """Per query, or once for all that are combined: the candidates in their order, their records read."""
        wish, self.n_held = self.wish, 0
        unions = legs.unions(depth)
        needs_all = wish.group is not None or wish.combine is not None or wish.reranker is not None
        n_wanted = depth if needs_all else self.request.limit
        lists = [self._best(legs, union, n_wanted) for union in unions]
        if wish.combine is not None:
            lists = [combined(lists, wish.combine, wish.weights)]
        if wish.reranker is not None and wish.reranker.by != "model":
            began = time.perf_counter()
            lists = [
                by_vectors(wish.reranker, ranked, self._query_vector(i), legs.snapshot, self.collection)
                for i, ranked in enumerate(lists)
            ]
            self.rerank_us += (time.perf_counter() - began) * 1e6
        return lists

    def _query_vector(self, i: int) -> NDArray[np.float32] | None:
        """The vector that list `i` answers; of combined queries the mean."""
        vectors = self.wish.vectors
        if vectors is None:
            return None
        mean: NDArray[np.float32] = vectors.mean(axis=0, dtype=np.float32)
        return mean if self.wish.combine is not None else vectors[i]

    def _best(self, legs: Legs, union: Union, n_wanted: int) -> list[Scored]:
        """The best of a union that are there to be seen; what is not leaves it, and the rest is scored anew."""
        while True:
            score = self._scores(union)
            order = np.lexsort((union.pids, -score))[:n_wanted]
            keys = list(zip(union.owners[order].tolist(), union.pids[order].tolist(), strict=True))
            records = self._records(legs.checker, keys)
            gone = [i for i, record in zip(order.tolist(), records, strict=True) if record is None]
            if gone:
                mask = np.zeros(len(union), np.bool_)
                mask[gone] = True
                union = union.without(mask)
                continue
            if _forget_damaged(union, order, records):
                continue
            columns = (score, union.distance, union.sparse, union.dense_rank, union.sparse_rank)
            rows = zip(*[column[order].tolist() for column in columns], strict=True)
            return [
                Scored(pid, owner, record, *row)
                for (owner, pid), record, row in zip(keys, records, rows, strict=True)
                if record is not None
            ]

    def _records(self, checker: Checker, keys: list[tuple[int, int]]) -> list[Record | None]:
        """The records of candidates, (owner, pid) each; raises TooLarge where they would fill the memory."""
        found: list[Record | None] = []
        for start in range(0, len(keys), CHUNK):
            part = checker.read([(0.0, pid, owner) for owner, pid in keys[start : start + CHUNK]])
            self.n_held += sum(len(record.payload) for record in part if record is not None)
            if self.n_held > MAX_HELD_BYTES:
                raise TooLarge("the candidates' payloads are too large together: ask for less at once, or less deep")
            found += part
        return found

    def _scores(self, union: Union) -> NDArray[np.float64]:
        if self.wish.mode == "hybrid":
            return fused(union.candidates, self.wish.fusion)
        return union.sparse if self.wish.mode == "sparse" else -union.distance

    def _n_answered(self, ranked: list[Scored]) -> int:
        return len(grouped(ranked, self.wish.group, self.request.limit, self.tenant_id))

    def _kept(self, ranked: list[Scored]) -> list[Scored]:
        """What is made hits of: all that a model is to rank anew, else what is answered."""
        reranker = self.wish.reranker
        if reranker is not None and reranker.by == "model":
            return ranked[: max(reranker.depth, self.request.limit)]
        return grouped(ranked, self.wish.group, self.request.limit, self.tenant_id)

    def _finished(self, i: int, found: list[tuple[Hit, Scored]]) -> list[Hit]:
        """The hits of a list after its model, if there is one to ask, has ranked them anew."""
        reranker = self.wish.reranker
        if reranker is None or reranker.by != "model" or not found:
            return [hit for hit, _ in found]
        began = time.perf_counter()
        query = reranker.query if isinstance(reranker.query, str) else (self.wish.texts or [""])[i]
        model = self.services.models.reranker(str(reranker.model))
        ranked = by_model(model, query, found, reranker.depth, self.collection)
        self.rerank_us += (time.perf_counter() - began) * 1e6
        hits = {id(scored): hit for hit, scored in ranked}
        kept = grouped([scored for _, scored in ranked], self.wish.group, self.request.limit, self.tenant_id)
        return [hits[id(scored)] for scored in kept]

    def _hit(self, snapshot: Snapshot, size: AnswerSize, scored: Scored) -> Hit:
        request, record = self.request, scored.record
        size.add(1, len(record.payload))
        hit = Hit(
            id=record.id.decode(),
            owner=self._name_of(scored.owner),
            version=record.version,
            score=scored.score,
            legs=self._legs_of(scored),
        )
        if scored.distance == scored.distance:
            hit.distance = scored.distance
        if request.with_payload:
            hit.payload = payload_of(record)
        if request.with_vector:
            hit.vector = vector_of(snapshot, scored.owner, scored.pid, record, request.vector_encoding)
        return hit

    def _name_of(self, owner: int) -> str:
        name = self.names.get(owner)
        if name is None:
            name = self.names[owner] = self.services.tenant_name(owner)
        return name

    def _legs_of(self, scored: Scored) -> LegsOfHit:
        legs = LegsOfHit()
        if self.wish.mode != "sparse":
            legs.dense = Leg()
            if scored.dense_rank:
                legs.dense.rank = scored.dense_rank
            if scored.distance == scored.distance:
                legs.dense.score = -scored.distance
        if self.wish.mode != "dense":
            legs.sparse = Leg(score=scored.sparse)
            if scored.sparse_rank:
                legs.sparse.rank = scored.sparse_rank
        return legs

    def _explain(self, legs: Legs, checker: Checker, run_us: float) -> Explain:
        source = legs.source
        known: dict[str, Any] = {"path": "text"} if source is None else source.explain()
        offload = offload_of(self.services, self.plan, 0, Declined.WORDS) if source is None else source.offload
        is_filtered = checker.matches is not None
        others = legs.scan_us + legs.sparse_us + checker.recheck_us
        explain = Explain(
            **known,
            **offload.explain(),
            rows=legs.n_documents if source is None else source.n_seen,
            queries=self.wish.n_queries,
            **(filter_explained(is_filtered, source) if source is not None else {}),
            mode=self.wish.mode,
            kernels=current().name,
            plan_us=round(self.plan_us, 1),
            scan_us=round(legs.scan_us, 1),
            recheck_us=round(checker.recheck_us, 1),
            payloads_us=round(max(0.0, run_us - others), 1),
            total_us=round(self.plan_us + run_us, 1),
        )
        if is_filtered:
            explain.candidates_tested = checker.n_tested
        if self.wish.mode != "dense":
            explain.terms, explain.postings = legs.n_terms, legs.n_postings
            explain.sparse_us = round(legs.sparse_us, 1)
        if self.wish.mode == "hybrid":
            explain.fusion, explain.weight = self.wish.fusion.kind, self.wish.fusion.weight
        return explain


def _forget_damaged(union: Union, order: NDArray[np.int64], records: list[Record | None]) -> bool:
    """Take back distances that were made of damaged vectors, of the candidates in `order`; whether there were any."""
    if not union.looked_up:
        return False
    damaged = [
        i
        for i, record in zip(order.tolist(), records, strict=True)
        if record is not None
        and (vector := union.looked_up.pop(int(union.pids[i]), None)) is not None
        and not is_sound(record, vector, int(union.pids[i]))
    ]
    union.distance[damaged] = np.nan
    return bool(damaged)
