"""Queries asked of a collection: one run for a way of searching."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import UNSET

from vdb.client.sync import Operations
from vdb.errors import InvalidArgument
from vdb.evaluation.files import Query, Run, strictly_falling

TOGETHER = 32
"""Queries of one request."""
POINT = "point"
"""What judgements name, where it is no payload field."""

Told = Callable[[int], None]


def ask(
    client: Operations,
    collection: str,
    queries: Sequence[Query],
    *,
    mode: str,
    limit: int,
    by: str = POINT,
    fusion: Mapping[str, Any] | None = None,
    told: Told = lambda n_done: None,
) -> Run:
    """Ask all queries, each for its tenant. `by` names the payload field whose values stand for documents."""
    run: Run = {}
    for tenant in dict.fromkeys(query.tenant for query in queries):
        own = [query for query in queries if query.tenant == tenant]
        for start in range(0, len(own), TOGETHER):
            part = own[start : start + TOGETHER]
            run |= _asked(client.collection(collection, tenant), part, mode, limit, by, fusion)
            told(len(run))
    return run


def vectors_of(queries: Sequence[Query]) -> Any:
    """Vectors (q, d) float32 of the queries, None where none has one; InvalidArgument where only some have."""
    lengths = {None if query.vector is None else len(query.vector) for query in queries}
    if lengths == {None}:
        return None
    if len(lengths) != 1:
        raise InvalidArgument("give all queries a vector of one length, or none of them")
    return np.array([query.vector for query in queries], np.float32)


def _asked(
    collection: Any, queries: Sequence[Query], mode: str, limit: int, by: str, fusion: Mapping[str, Any] | None
) -> Run:
    vectors = None if mode == "sparse" else vectors_of(queries)
    texts = None if mode == "dense" and vectors is not None else [query.text for query in queries]
    is_point = by == POINT
    lists = collection.search(
        vectors,
        limit,
        text=texts,
        mode=mode if texts is not None else None,
        fusion=fusion,
        group=None if is_point else {"field": by},
        with_payload=not is_point,
        timeout_s=60.0,
    )
    return {query.id: _scores(hits, by) for query, hits in zip(queries, lists, strict=True)}


def _scores(hits: Any, by: str) -> dict[str, float]:
    """Documents with scores that fall from hit to hit; of one document the best hit counts."""
    best: dict[str, float] = {}
    for hit in hits:
        best.setdefault(_name(hit, by), -hit.distance if hit.score is UNSET else hit.score)
    return dict(zip(best, strictly_falling(list(best.values())), strict=True))


def _name(hit: Any, by: str) -> str:
    """What judgements call a hit; a point without the field goes by its id."""
    if by == POINT:
        return str(hit.id)
    value = hit.payload
    for part in by.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value if isinstance(value, str) else str(hit.id)
