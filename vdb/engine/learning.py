"""Learn how a collection's legs are to be fused, from queries that somebody judged; see `vdb.rag.learn`.

The candidates are those that a search of the tenant that asks would fuse: a query may name it, else it is the caller's.
What is learned holds for all tenants, so only an admin may teach it. What it replaces is the fusion that holds now.
"""

from typing import Any

import msgspec
import numpy as np
from msgspec import UnsetType
from msgspec.structs import replace
from numpy.typing import NDArray

from vdb.engine.askers import askers
from vdb.engine.checked import Checker
from vdb.engine.commit import Group
from vdb.engine.fusions import fusion_answer, fusion_of
from vdb.engine.legs import Legs
from vdb.engine.nearest import Nearest
from vdb.engine.plan import Plan
from vdb.engine.ranked_plan import Wish, embedded, wish_of
from vdb.engine.services import Services
from vdb.engine.shard import Snapshot
from vdb.engine.sources import Sources
from vdb.engine.union import Union
from vdb.errors import CollectionNotFound, EmptyBatch, InvalidArgument, TooLarge
from vdb.protocol.answers import FusionLearned
from vdb.protocol.paths import find
from vdb.protocol.requests import Search
from vdb.protocol.text_requests import JudgedQuery, LearnFusion
from vdb.rag.learn import JudgedCandidates, learned
from vdb.storage.catalog import ACTIVE, CollectionDocument, FusionDocument, collection_by_id
from vdb.storage.codec import Record
from vdb.types import Caller

MAX_GRADE = 100
MAX_JUDGED = 10_000
TOGETHER = 64
"""Queries whose candidates are found in one snapshot."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def learn_fusion(services: Services, caller: Caller, path: tuple[str, ...], request: LearnFusion) -> FusionLearned:
    """The fusion that the judgements speak for, kept unless `dry_run`, or unless it does not win."""
    collection = services.usable(caller, path[0])
    _check(services, request)
    judged: dict[int, JudgedCandidates] = {}
    tenants = [query.tenant for query in request.queries]
    for tenant_id, places in askers(services, caller, collection, tenants, "/queries").items():
        for start in range(0, len(places), TOGETHER):
            part = places[start : start + TOGETHER]
            queries = [request.queries[place] for place in part]
            wish = wish_of(services, collection, _search(queries, start), None)
            wish = embedded(services, collection, tenant_id, wish)
            judged |= zip(part, _judged(services, collection, tenant_id, request, queries, wish), strict=True)
    found = learned([judged[place] for place in sorted(judged)], request.metric, request.at, fusion_of(collection))
    options = found.options
    document = FusionDocument(kind=options.kind, weight=options.weight, rrf_k=options.rrf_k)
    is_kept = found.kept and not request.dry_run
    if is_kept:
        _keep(services, collection, document)
    answer = fusion_answer(document)
    assert answer is not None
    return FusionLearned(
        fusion=answer,
        kept=is_kept,
        n_queries=found.n_queries,
        metric=f"{request.metric}@{request.at}",
        dense=found.dense,
        sparse=found.sparse,
        default=found.default,
        learned=found.learned,
    )


def _check(services: Services, request: LearnFusion) -> None:
    if not request.queries:
        raise EmptyBatch.at("/queries", "no queries were given")
    if len(request.queries) > MAX_JUDGED:
        raise TooLarge.at("/queries", f"up to {MAX_JUDGED} queries")
    if not 1 <= request.at <= services.settings.limits.max_limit:
        raise InvalidArgument.at("/at", f"at is 1 to {services.settings.limits.max_limit}")
    has_vector = [not isinstance(query.vector, UnsetType) for query in request.queries]
    if any(has_vector) != all(has_vector):
        raise InvalidArgument.at("/queries", "give all queries a vector, or none of them")
    for i, query in enumerate(request.queries):
        if any(not 0 <= grade <= MAX_GRADE for grade in query.relevant.values()):
            raise InvalidArgument.at(f"/queries/{i}/relevant", f"a grade is 0 to {MAX_GRADE}")
        if not any(query.relevant.values()):
            raise InvalidArgument.at(f"/queries/{i}/relevant", "nothing answers the query: leave it out")


def _search(queries: list[JudgedQuery], start: int) -> Search:
    """The search whose candidates are fused."""
    search = Search(mode="hybrid", texts=[query.text for query in queries])
    if not isinstance(queries[0].vector, UnsetType):
        search.vectors = [query.vector for query in queries if not isinstance(query.vector, UnsetType)]
    return search


def _judged(
    services: Services,
    collection: CollectionDocument,
    tenant_id: int,
    request: LearnFusion,
    queries: list[JudgedQuery],
    wish: Wish,
) -> list[JudgedCandidates]:
    def answer(snapshot: Snapshot, source: Nearest) -> list[JudgedCandidates]:
        checker = Checker(tenant_id, None, snapshot)
        legs = Legs(services, collection, wish, snapshot, source, checker, None)
        return [
            _of_query(checker, union, query, request.field)
            for union, query in zip(legs.unions(wish.depth), queries, strict=True)
        ]

    with services.shard_for_read(collection, request) as shard:
        return Sources(services, collection, shard, tenant_id, Plan(), None, None).answer(answer)


def _of_query(checker: Checker, union: Union, query: JudgedQuery, field: str | UnsetType) -> JudgedCandidates:
    """The candidates of a query that may be seen, with their grades."""
    places = [(0.0, pid, owner) for pid, owner in zip(union.pids.tolist(), union.owners.tolist(), strict=True)]
    records = checker.read(places)
    gone = np.array([record is None for record in records], np.bool_)
    if gone.any():
        union = union.without(gone)
    names = [_name(record, field) for record in records if record is not None]
    grades = np.array([query.relevant.get(name, 0) for name in names], np.float64)
    ideal = np.array(sorted((grade for grade in query.relevant.values() if grade > 0), reverse=True), np.float64)
    return JudgedCandidates(union.candidates, grades, ideal, None if isinstance(field, UnsetType) else _groups(names))


def _name(record: Record, field: str | UnsetType) -> str:
    if isinstance(field, UnsetType):
        return record.id.decode()
    value = find(_decode(record.payload) if record.payload else {}, field)
    return value if isinstance(value, str) else ""


def _groups(names: list[str]) -> NDArray[np.int64]:
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)


def _keep(services: Services, collection: CollectionDocument, document: FusionDocument) -> None:
    def apply(group: Group) -> None:
        known = collection_by_id(group.txn, collection.id)
        if known is None or known.state != ACTIVE:
            raise CollectionNotFound("no such collection")
        services.catalog.put_collection(group, replace(known, fusion=document), known)

    services.catalog.write(apply)
