"""A second look at the best candidates: by their stored vectors, against each other, or by a model that reads them."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import UnsetType
from numpy.typing import NDArray

from vdb.engine.scored import Scored
from vdb.engine.shard import Snapshot
from vdb.engine.union import distances, stored_vectors
from vdb.errors import InvalidArgument
from vdb.protocol.answers import Hit
from vdb.protocol.paths import find
from vdb.protocol.requests import Reranker
from vdb.rag.rerank.base import Reranker as Model
from vdb.rag.rerank.mmr import mmr
from vdb.storage.catalog import CollectionDocument
from vdb.types import MAIN_TEXT_FIELD

DIVERSITY = 0.3

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def by_vectors(
    reranker: Reranker,
    ranked: list[Scored],
    query: NDArray[np.float32] | None,
    snapshot: Snapshot,
    collection: CollectionDocument,
) -> list[Scored]:
    """The first `depth` in a new order, the rest behind them as they were. A point without a vector comes last."""
    if not ranked:
        return ranked
    head, tail = ranked[: reranker.depth], ranked[reranker.depth :]
    owners, pids = (np.array([getattr(scored, name) for scored in head], np.uint32) for name in ("owner", "pid"))
    vectors, has = stored_vectors(snapshot.txn, owners, pids, collection.dimension)
    if reranker.by == "full":
        return _by_distance(head, query, vectors, has, collection) + tail
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    relevance = np.array([scored.score for scored in head])
    diversity = DIVERSITY if isinstance(reranker.diversity, UnsetType) else reranker.diversity
    return [head[i] for i in mmr(relevance, units, len(head), diversity).tolist()] + tail


def _by_distance(
    head: list[Scored],
    query: NDArray[np.float32] | None,
    vectors: NDArray[np.float32],
    has: NDArray[np.bool_],
    collection: CollectionDocument,
) -> list[Scored]:
    if query is None:
        raise InvalidArgument.at("/reranker/by", "full needs a query vector")
    found = np.where(has, distances(query, vectors, collection.metric), np.inf)
    for scored, distance in zip(head, found.tolist(), strict=True):
        if distance < np.inf:
            scored.distance, scored.score = distance, -distance
    order = np.lexsort((np.arange(len(head)), found))
    return [head[i] for i in order.tolist()]


def by_model(
    model: Model | None,
    query: str,
    found: Sequence[tuple[Hit, Scored]],
    depth: int,
    collection: CollectionDocument,
) -> list[tuple[Hit, Scored]]:
    """The first `depth` by the model's scores, best first, equal ones as they were; the rest behind them."""
    if model is None:
        raise InvalidArgument.at("/reranker/model", "the server knows no reranker of that name")
    head, tail = list(found[:depth]), list(found[depth:])
    texts = [text_of(scored, collection) for _, scored in head]
    scores = model.rerank(query, texts).tolist()
    for (hit, scored), score in zip(head, scores, strict=True):
        hit.score = scored.score = score
    head.sort(key=lambda pair: -pair[1].score)
    return head + tail


def text_of(scored: Scored, collection: CollectionDocument) -> str:
    """What a model reads of a point: the text of the collection's text fields, a line each."""
    payload = _decode(scored.record.payload) if scored.record.payload else {}
    fields = collection.text.fields if collection.text is not None else (MAIN_TEXT_FIELD,)
    values = (find(payload, name) for name in fields)
    return "\n".join(value for value in values if isinstance(value, str))
