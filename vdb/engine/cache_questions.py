"""A question on its way into a cache: whose it is, what category, what has to be equal, its vector."""

import math
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from msgspec import UnsetType
from numpy.typing import NDArray

from vdb.cache.identity import NO_RETRIEVAL, Identity, exact_key, retrieval_key
from vdb.cache.policy import UNKNOWN, Policies, Policy
from vdb.config import Limits
from vdb.engine.cache_shard import CacheShard
from vdb.engine.matching import filter_of
from vdb.engine.services import Services
from vdb.engine.vectors import matrix_of
from vdb.errors import InvalidArgument, TooLarge, UnknownCategory
from vdb.protocol.cache_answers import CategoryFrom
from vdb.protocol.cache_requests import Question, Retrieval
from vdb.storage.catalog import CacheDocument, CollectionDocument
from vdb.types import Caller

MAX_HASH_CHARS = 256
LEAST_NORM = 1e-12


@dataclass(frozen=True, slots=True)
class Asking:
    """A question, checked. `vector` float32 (d,) of unit length, None where none was given."""

    identity: Identity
    policy: Policy
    category_from: CategoryFrom
    text: str
    vector: NDArray[np.float32] | None
    partition: bytes
    exact: bytes


def asking_of(
    services: Services, caller: Caller, tenant: int, document: CacheDocument, shard: CacheShard, request: Question
) -> Asking:
    """Raises InvalidArgument and its kinds, TooLarge, UnknownCategory, CollectionNotFound (of the retrieval)."""
    text = checked_text(request.text, services.settings.limits)
    vector = None if isinstance(request.vector, UnsetType) else unit_vector(request.vector, document.dimension)
    for name in ("scope", "model", "fingerprint", "turns"):
        if len(getattr(request, name)) > MAX_HASH_CHARS:
            raise TooLarge.at(f"/{name}", f"up to {MAX_HASH_CHARS} characters")
    version = document.embedding_version
    if not isinstance(request.embedding_version, UnsetType) and request.embedding_version != version:
        raise InvalidArgument.at("/embedding_version", f"the cache's vectors are of version {version!r}")
    retrieval = NO_RETRIEVAL
    if not isinstance(request.retrieval, UnsetType):
        retrieval = key_of(services, caller, request.retrieval)[1]
    policies = shard.policies  # of one moment: another thread may be putting others
    category, category_from = _category_of(shard, policies, tenant, request, vector)
    policy = policies.of(category)
    assert policy is not None, "a known category has a policy"
    identity = Identity(
        tenant, category, request.scope, request.model, request.fingerprint, request.turns, version, retrieval
    )
    partition = identity.partition
    return Asking(identity, policy, category_from, text, vector, partition, exact_key(partition, text))


def checked_text(text: str | UnsetType, limits: Limits, pointer: str = "/text") -> str:
    """The text of a question; raises InvalidArgument, TooLarge."""
    if isinstance(text, UnsetType) or not text.strip():
        raise InvalidArgument.at(pointer, "a question has a text")
    if len(text.encode(errors="surrogatepass")) > limits.max_question_bytes:
        raise TooLarge.at(pointer, f"a text has up to {limits.max_question_bytes} bytes")
    return text


def unit_vector(vector: Any, dimension: int, pointer: str = "/vector") -> NDArray[np.float32]:
    """A vector of a request at length 1; raises DimensionMismatch, NonFiniteVector, InvalidArgument (a zero vector)."""
    row = matrix_of([vector], dimension, lambda _: pointer, "cache")[0]
    norm = math.sqrt(float(np.vdot(wide := row.astype(np.float64), wide)))
    if norm < LEAST_NORM:
        raise InvalidArgument.at(pointer, "a zero vector has no direction, hence no similarity")
    unit: NDArray[np.float32] = (wide / norm).astype(np.float32)
    return unit


def _category_of(
    shard: CacheShard, policies: Policies, tenant: int, request: Question, vector: NDArray[np.float32] | None
) -> tuple[str, CategoryFrom]:
    """The category given, else that of the nearest centroid; raises UnknownCategory."""
    if not isinstance(request.category, UnsetType):
        if not policies.is_known(request.category):
            raise UnknownCategory.at("/category", "the cache has no category of that name")
        return request.category, "request"
    found = None if vector is None else shard.learned.classify(tenant, vector)
    return (UNKNOWN, "none") if found is None or not policies.is_known(found) else (found, "centroid")


def key_of(services: Services, caller: Caller, retrieval: Retrieval) -> tuple[CollectionDocument, bytes]:
    """The collection of a retrieval, and what has to be equal of it; raises CollectionNotFound, InvalidArgument."""
    collection = services.usable(caller, retrieval.collection)
    if not 1 <= retrieval.limit <= services.settings.limits.max_limit:
        raise InvalidArgument.at("/retrieval/limit", f"limit is 1 to {services.settings.limits.max_limit}")
    parsed = filter_of(retrieval.filter, collection)
    return collection, retrieval_key(collection.id, parsed.key if parsed is not None else b"", retrieval.limit)


def filter_bytes(retrieval: Retrieval) -> bytes:
    """The filter as it is stored: JSON, empty for none."""
    is_given = retrieval.filter is not None and not isinstance(retrieval.filter, UnsetType)
    return msgspec.json.encode(retrieval.filter) if is_given else b""
