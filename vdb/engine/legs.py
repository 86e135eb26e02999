"""The two legs of a search by text: what the vectors find, and what the words find, of what the tenant may see."""

import time
from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from vdb.engine.checked import FIRST_ROUND, WIDENING, Checker
from vdb.engine.filters import Filter
from vdb.engine.nearest import FlatNearest, Listed, Nearest, Place
from vdb.engine.nearest_rows import IndexNearest
from vdb.engine.ranked_plan import Wish
from vdb.engine.row_sets import row_set_of
from vdb.engine.services import Services
from vdb.engine.shard import Snapshot
from vdb.engine.text_indexes import reading_text, text_ready
from vdb.engine.union import NO_WORDS, Union, Words, complete, grantees_of, owners_of, union_of
from vdb.errors import TooLarge
from vdb.rag.analysis import analyser_of
from vdb.rag.sparse import TextQuery, prepare
from vdb.storage.catalog import CollectionDocument

TOGETHER = 4
"""Queries of a request from which on both legs search at the same time: below, a thread costs more than it saves."""

MAX_POSTINGS = 64 << 20
"""Of all texts of a request, which are in memory together: 512 MiB."""


class Sparse:
    """The words' leg of one request: one prepared query per text, in one snapshot."""

    def __init__(
        self,
        services: Services,
        collection: CollectionDocument,
        texts: Sequence[str],
        snapshot: Snapshot,
        checker: Checker,
        parsed: Filter | None,
    ) -> None:
        self._services, self._collection, self._checker = services, collection, checker
        self.queries: list[TextQuery] = []
        n_postings = 0
        kept = services.postings
        known = kept.of((collection.id, checker.tenant_id), (snapshot.txn.id(), snapshot.sequence))
        index = collection.text
        if index is None or index is not known.text:
            index = known.text = text_ready(snapshot.txn, collection)
        if known.grantees is None:
            known.grantees = grantees_of(snapshot.txn, checker.tenant_id)
        self._grantees = known.grantees
        analyser = analyser_of(index.language)
        for text in texts:
            terms = analyser.terms(text)
            with reading_text(services, collection):
                query = prepare(snapshot.txn, checker.tenant_id, terms, index.k1, index.b, (kept, known))
            self.queries.append(query)
            n_postings += query.n_postings
            if n_postings > MAX_POSTINGS:
                raise TooLarge("the texts have too many terms that too many points have: send fewer of them at once")
        rows = row_set_of(services, collection, snapshot, parsed)
        self._allowed = None if rows is None else np.frombuffer(rows.pids.to_array(), np.uint32)
        self._is_tested = checker.matches is not None and (rows is None or not rows.is_exact)

    def best(self, query: TextQuery, depth: int) -> Words:
        """The `depth` best of a query that match the filter."""
        k = max(FIRST_ROUND, WIDENING * depth) if self._is_tested else depth
        while True:
            with reading_text(self._services, self._collection):
                pids, scores = query.top(k, self._allowed)
            owners = owners_of(self._checker.snapshot.txn, self._checker.tenant_id, pids, self._grantees)
            if not self._is_tested:
                return Words(pids, owners, scores)
            places: list[Place] = list(zip((-scores).tolist(), pids.tolist(), owners.tolist(), strict=True))
            accepted, _ = self._checker.accepted(places, depth)
            if len(accepted) >= depth or len(pids) < k:
                return Words(
                    np.array([found.pid for found in accepted], np.uint32),
                    np.array([found.owner for found in accepted], np.uint32),
                    np.array([-found.distance for found in accepted], np.float64),
                )
            k *= WIDENING


class Legs:
    """Both legs of one request in one snapshot. `source` None: there is no dense leg."""

    def __init__(
        self,
        services: Services,
        collection: CollectionDocument,
        wish: Wish,
        snapshot: Snapshot,
        source: Nearest | None,
        checker: Checker,
        parsed: Filter | None,
    ) -> None:
        self.snapshot, self.source, self.checker = snapshot, source, checker
        self.max_distance: float | None = None
        self.sparse_us = 0.0
        self.has_more = False
        self._services, self._collection, self._wish = services, collection, wish
        self._sparse: Sparse | None = None
        if wish.mode != "dense" and wish.texts is not None:
            began = time.perf_counter()
            self._sparse = Sparse(services, collection, wish.texts, snapshot, checker, parsed)
            self.sparse_us += (time.perf_counter() - began) * 1e6

    @property
    def scan_us(self) -> float:
        return self.source.scan_us if self.source is not None else 0.0

    @property
    def n_terms(self) -> int:
        return sum(query.n_terms for query in self._sparse.queries) if self._sparse is not None else 0

    @property
    def n_postings(self) -> int:
        return sum(query.n_postings for query in self._sparse.queries) if self._sparse is not None else 0

    @property
    def n_documents(self) -> int:
        """Points with text that the tenant may see."""
        queries = self._sparse.queries if self._sparse is not None else []
        return queries[0].n_documents if queries else 0

    def unions(self, depth: int) -> list[Union]:
        """The candidates of each query: the best `depth` of each leg, with both legs' scores."""
        n = self._wish.n_queries
        dense, sparse = self._both(depth, n)
        self.has_more = any(len(listed.pids) >= depth for listed in dense)
        self.has_more = self.has_more or any(len(words.pids) >= depth for words in sparse)
        unions = [union_of(*lists) for lists in zip(dense, sparse, strict=True)]
        for i, union in enumerate(unions):
            if self.source is not None and self._wish.vectors is not None:
                complete(union, self.snapshot, self.source, self._wish.vectors[i], self._collection.metric)
            if self._sparse is not None:
                union.sparse_bound = self._sparse.queries[i].bound
                unlisted = (union.sparse_rank == 0).nonzero()[0]
                if len(unlisted):
                    union.sparse[unlisted] = self._sparse.queries[i].scores(union.pids[unlisted])
        return unions

    def _both(self, depth: int, n: int) -> tuple[list[Listed], list[Words]]:
        source, vectors = self.source, self._wish.vectors
        if source is None or vectors is None:
            return [Listed.of(())] * n, self._all_sparse(depth, n)
        is_apart = self.checker.matches is None and isinstance(source, FlatNearest | IndexNearest)
        if n < TOGETHER or self._sparse is None or not is_apart:  # the others read what the words' leg reads too
            return self._all_dense(source, vectors, depth), self._all_sparse(depth, n)
        waiting: Future[list[Listed]] = self._services.legs.submit(self._all_dense, source, vectors, depth)
        try:
            sparse = self._all_sparse(depth, n)
        finally:
            dense = waiting.result()
        return dense, sparse

    def _all_dense(self, source: Nearest, vectors: NDArray[np.float32], depth: int) -> list[Listed]:
        if self.checker.matches is not None and not source.is_filtered:
            found = self.checker.nearest(source, vectors, depth)
            lists = [Listed.of([(hit.distance, hit.pid, hit.owner) for hit in hits]) for hits in found]
        elif isinstance(source, IndexNearest):
            lists = source.listed(vectors, depth)
        else:
            lists = [Listed.of(places) for places in source.nearest(vectors, depth)]
        if self.max_distance is None:
            return lists
        return [listed.within(self.max_distance) for listed in lists]

    def _all_sparse(self, depth: int, n: int) -> list[Words]:
        if self._sparse is None:
            return [NO_WORDS] * n
        began = time.perf_counter()
        lists = [self._sparse.best(query, depth) for query in self._sparse.queries]
        self.sparse_us += (time.perf_counter() - began) * 1e6
        return lists
