"""What a search by text, or one that ranks anew, is to do: its mode, its queries, fusion and reranker, all checked."""

from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Literal

import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from vdb.config import Limits
from vdb.engine.fusions import chosen_fusion
from vdb.engine.models import embed_queries, embedder_of, known_queries
from vdb.engine.services import Services
from vdb.engine.vectors import matrix_of, reshape
from vdb.errors import EmptyBatch, InvalidArgument, TooLarge
from vdb.protocol import requests
from vdb.protocol.columns import SearchHead
from vdb.protocol.requests import Group, Reranker, Search
from vdb.rag.embed.base import Embedder
from vdb.rag.fuse import FusionOptions
from vdb.storage.catalog import CollectionDocument

Mode = Literal["dense", "sparse", "hybrid"]

MAX_GROUP = 100
MAX_RANKED_LISTS = 16
"""Lists of one request that a model ranks anew: it is asked once for each."""
RANKED = ("text", "texts", "mode", "fusion", "reranker", "group", "combine", "weights")
"""What makes a search one that is ranked by more than its distances."""
_ranked_by = attrgetter(*RANKED)
_NOT_RANKED = (UNSET,) * len(RANKED)


@dataclass(frozen=True, slots=True)
class Wish:
    """A ranked search, checked. `texts` (q,) where there are any, `vectors` (q, d) where they came or will be made."""

    mode: Mode
    is_many: bool
    texts: list[str] | None
    vectors: NDArray[np.float32] | None
    embedder: Embedder | None
    fusion: FusionOptions
    depth: int
    reranker: Reranker | None
    group: Group | None
    combine: str | None
    weights: list[float]

    @property
    def n_queries(self) -> int:
        return len(self.texts if self.texts is not None else self.vectors if self.vectors is not None else ())

    @property
    def needs_embedding(self) -> bool:
        return self.mode != "sparse" and self.vectors is None

    @property
    def waits_for_models(self) -> bool:
        """Whether a model has to be asked that may keep one waiting."""
        return self.needs_embedding or (self.reranker is not None and self.reranker.by == "model")


def is_ranked(request: Search | SearchHead) -> bool:
    """Whether a search is more than the nearest points of its vectors; every search asks, twice."""
    return _ranked_by(request) != _NOT_RANKED


def wish_of(
    services: Services, collection: CollectionDocument, request: Search | SearchHead, block: NDArray[np.float32] | None
) -> Wish:
    """What a request asks for; raises InvalidArgument, TooLarge and the like at the member at fault."""
    limits = services.settings.limits
    texts, is_many = _texts(request, limits)
    vectors, is_many_vectors = _vectors(request, block, collection, texts, limits)
    if texts is not None and vectors is not None and (is_many != is_many_vectors or len(texts) != len(vectors)):
        raise InvalidArgument.at("/texts" if is_many else "/text", "give a text for each vector")
    embedder = embedder_of(services, collection) if texts is not None and vectors is None else None
    mode = _mode(request, collection, texts is not None, vectors is not None, embedder is not None)
    combine = None if isinstance(request.combine, UnsetType) else request.combine
    n_queries = len(texts if texts is not None else vectors if vectors is not None else ())
    reranker = _reranker(services, request, mode, limits, texts is not None)
    n_lists = 1 if combine is not None else n_queries
    if reranker is not None and reranker.by == "model" and n_lists > MAX_RANKED_LISTS:
        raise TooLarge.at("/reranker", f"a model ranks up to {MAX_RANKED_LISTS} lists of a request")
    if combine is not None and reranker is not None and reranker.by == "model" and reranker.query is UNSET:
        raise InvalidArgument.at("/reranker/query", "with combine, say which text the candidates are held against")
    return Wish(
        mode=mode,
        is_many=is_many or is_many_vectors,
        texts=texts,
        vectors=vectors,
        embedder=embedder,
        fusion=chosen_fusion(collection, request.fusion),
        depth=_depth(request, limits),
        reranker=reranker,
        group=_group(request, limits),
        combine=combine,
        weights=_weights(request, n_queries),
    )


def _texts(request: Search | SearchHead, limits: Limits) -> tuple[list[str] | None, bool]:
    if not isinstance(request.text, UnsetType):
        if not isinstance(request.texts, UnsetType):
            raise InvalidArgument.at("/texts", "give either text or texts")
        return [_checked_text(request.text, limits, "/text")], False
    if isinstance(request.texts, UnsetType):
        return None, False
    if not request.texts:
        raise EmptyBatch.at("/texts", "no queries were given")
    if len(request.texts) > limits.max_queries_per_request:
        raise TooLarge.at("/texts", f"a request takes up to {limits.max_queries_per_request} queries")
    return [_checked_text(text, limits, f"/texts/{i}") for i, text in enumerate(request.texts)], True


def _checked_text(text: str, limits: Limits, pointer: str) -> str:
    try:
        n_bytes = len(text.encode())
    except UnicodeEncodeError as exc:
        raise InvalidArgument.at(pointer, "not valid Unicode") from exc
    if n_bytes > limits.max_question_bytes:
        raise TooLarge.at(pointer, f"a text has up to {limits.max_question_bytes} bytes of UTF-8")
    if not text.strip():
        raise InvalidArgument.at(pointer, "the text is empty")
    return text


def _vectors(
    request: Search | SearchHead,
    block: NDArray[np.float32] | None,
    collection: CollectionDocument,
    texts: list[str] | None,
    limits: Limits,
) -> tuple[NDArray[np.float32] | None, bool]:
    dimension = collection.dimension
    if isinstance(request, SearchHead):
        is_many = request.n_queries is not UNSET
        if block is None or not block.size:
            return None, is_many and texts is not None and len(texts) != 1
        n = request.n_queries if isinstance(request.n_queries, int) else 1
        _check_n(n, limits)
        return reshape(block, n, dimension, "/vectors" if is_many else "/vector"), is_many
    if not isinstance(request.vector, UnsetType):
        if request.vectors is not UNSET:
            raise InvalidArgument.at("/vector", "give either vector or vectors")
        return matrix_of([request.vector], dimension, lambda _: "/vector"), False
    if isinstance(request.vectors, UnsetType):
        return None, False
    _check_n(len(request.vectors), limits)
    return matrix_of(request.vectors, dimension, lambda i: f"/vectors/{i}"), True


def _check_n(n: int, limits: Limits) -> None:
    if n < 1:
        raise EmptyBatch.at("/vectors", "no queries were given")
    if n > limits.max_queries_per_request:
        raise TooLarge.at("/vectors", f"a request takes up to {limits.max_queries_per_request} queries")


def _mode(
    request: Search | SearchHead, collection: CollectionDocument, has_text: bool, has_vector: bool, embeds: bool
) -> Mode:
    """The mode asked for, if both sides can serve it; not given, the widest that they can."""
    if not (has_text or has_vector):
        raise InvalidArgument.at("/text", "give a text, a vector or both")
    can_dense, can_sparse = has_vector or embeds, has_text and collection.text is not None
    mode = request.mode
    if isinstance(mode, UnsetType):
        if can_dense:
            return "hybrid" if can_sparse else "dense"
        mode = "sparse"
    if mode != "dense" and not has_text:
        raise InvalidArgument.at("/text", f"mode {mode} needs a text")
    if mode != "dense" and not can_sparse:
        raise InvalidArgument.at("/text", "the collection has no text index: give it one with text")
    if mode != "sparse" and not can_dense:
        why = "the server knows no model of that name" if collection.embedding else "the collection names no model"
        raise InvalidArgument.at("/text", f"the text cannot be embedded, {why}: send its vector too")
    return mode


def _depth(request: Search | SearchHead, limits: Limits) -> int:
    fusion, reranker = request.fusion, request.reranker
    depth = requests.CANDIDATES
    for given, pointer in ((fusion, "/fusion/depth"), (reranker, "/reranker/depth")):
        if isinstance(given, requests.Fusion | Reranker):
            if not 1 <= given.depth <= limits.max_limit:
                raise InvalidArgument.at(pointer, f"depth is 1 to {limits.max_limit}")
            depth = given.depth if isinstance(given, requests.Fusion) else max(depth, given.depth)
    return max(depth, request.limit)


def _reranker(
    services: Services, request: Search | SearchHead, mode: Mode, limits: Limits, has_text: bool
) -> Reranker | None:
    given = request.reranker
    if isinstance(given, UnsetType):
        return None
    if (given.model is not UNSET) != (given.by == "model"):
        raise InvalidArgument.at("/reranker/model", "model goes with by: model")
    if given.query is not UNSET and given.by != "model":
        raise InvalidArgument.at("/reranker/query", "query goes with by: model")
    if given.by == "model":
        if services.models.reranker(str(given.model)) is None:
            raise InvalidArgument.at("/reranker/model", "the server knows no reranker of that name")
        if isinstance(given.query, UnsetType) and not has_text:
            raise InvalidArgument.at("/reranker/query", "the search has no text: give the reranker one")
        if not isinstance(given.query, UnsetType):
            _checked_text(given.query, limits, "/reranker/query")
    if given.by != "mmr" and given.diversity is not UNSET:
        raise InvalidArgument.at("/reranker/diversity", "diversity goes with by: mmr")
    if not isinstance(given.diversity, UnsetType) and not 0 <= given.diversity <= 1:
        raise InvalidArgument.at("/reranker/diversity", "diversity is 0 to 1")
    if given.by == "full" and mode == "sparse":
        raise InvalidArgument.at("/reranker/by", "full compares vectors: mode is dense or hybrid")
    return given


def _group(request: Search | SearchHead, limits: Limits) -> Group | None:
    given = request.group
    if isinstance(given, UnsetType):
        return None
    if not 1 <= len(given.field) <= 512:
        raise InvalidArgument.at("/group/field", "a field's name has 1 to 512 characters")
    if not 1 <= given.size <= MAX_GROUP:
        raise InvalidArgument.at("/group/size", f"size is 1 to {MAX_GROUP}")
    return given


def _weights(request: Search | SearchHead, n_queries: int) -> list[float]:
    if isinstance(request.weights, UnsetType):
        return [1.0] * n_queries
    if request.combine is UNSET:
        raise InvalidArgument.at("/weights", "weights go with combine")
    if len(request.weights) != n_queries:
        raise InvalidArgument.at("/weights", f"{n_queries} queries, but {len(request.weights)} weights")
    for i, weight in enumerate(request.weights):
        if not (np.isfinite(weight) and 0 <= weight <= 1e6):
            raise InvalidArgument.at(f"/weights/{i}", "a weight is 0 to 1,000,000")
    return list(request.weights)


def with_known_vectors(services: Services, collection: CollectionDocument, tenant_id: int, wish: Wish) -> Wish:
    """The wish with the vectors of its texts, where they are there without waiting for a model; else as it is."""
    if not wish.needs_embedding or wish.embedder is None or wish.texts is None:
        return wish
    known = known_queries(services, tenant_id, wish.embedder, wish.texts, collection.dimension)
    return wish if known is None else replace(wish, vectors=known)


def embedded(services: Services, collection: CollectionDocument, tenant_id: int, wish: Wish) -> Wish:
    """The wish with the vectors of its texts, where it needs them; raises ModelUnavailable, ModelMismatch."""
    if not wish.needs_embedding or wish.embedder is None or wish.texts is None:
        return wish
    made = embed_queries(services, tenant_id, wish.embedder, wish.texts, collection.dimension)
    return replace(wish, vectors=made)
