"""The server's models: read at its start, held against what collections name, asked for vectors of searches."""

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vdb.config import Settings
from vdb.engine.services import Services
from vdb.errors import ModelMismatch
from vdb.rag.embed.base import Embedder, check_dimension
from vdb.rag.models import Models
from vdb.storage.catalog import CollectionDocument, EmbeddingDocument

__all__ = ["check_embedding", "embed_queries", "embedder_of", "known_queries", "read_models"]

logger = logging.getLogger(__name__)


def read_models(settings: Settings) -> Models:
    """The models that `models_file` lists, and the built-in one; raises InvalidArgument."""
    models, warnings = Models.of_file(settings.models_file)
    for warning in warnings:
        logger.warning("%s", warning)
    return models


def embedder_of(services: Services, collection: CollectionDocument) -> Embedder | None:
    """The embedder of a collection; None where it names none, or one that this server does not have.

    Raises ModelMismatch where the server has a model of that name, of another version or dimension.
    """
    return _checked(services.models, collection.embedding, collection.dimension)


def check_embedding(models: Models, embedding: EmbeddingDocument | None, dimension: int) -> None:
    """Raise ModelMismatch where a collection is to name a model of this server that is not what the name says."""
    try:
        _checked(models, embedding, dimension)
    except ModelMismatch as exc:
        raise ModelMismatch.at("/embedding", exc.detail) from exc


def known_queries(
    services: Services, tenant_id: int, embedder: Embedder, texts: Sequence[str], dimension: int
) -> NDArray[np.float32] | None:
    """Vectors of what is searched for, where they are there without waiting for a model; None otherwise."""
    if embedder.is_quick:
        return embedder.embed_queries(texts, dimension)
    rows = services.query_vectors.found(embedder.name, tenant_id, texts, dimension)
    known = [row for row in rows if row is not None]
    return np.stack(known) if known and len(known) == len(rows) else None


def embed_queries(
    services: Services, tenant_id: int, embedder: Embedder, texts: Sequence[str], dimension: int
) -> NDArray[np.float32]:
    """Vectors of what is searched for, float32 (n, dimension): those that are known, and of the others by the model.

    Waits for the model: where that is not quick, on a thread of `services.model_calls`. Raises ModelUnavailable,
    ModelMismatch, InvalidArgument (the model refuses a text).
    """
    if embedder.is_quick:
        return embedder.embed_queries(texts, dimension)
    rows = services.query_vectors.found(embedder.name, tenant_id, texts, dimension)
    asked = list(dict.fromkeys(text for text, row in zip(texts, rows, strict=True) if row is None))
    if not asked:
        return np.stack([row for row in rows if row is not None]) if rows else np.empty((0, dimension), np.float32)
    made = embedder.embed_queries(asked, dimension)
    services.query_vectors.keep(embedder.name, tenant_id, asked, dimension, made)
    place = {text: i for i, text in enumerate(asked)}
    return np.stack([made[place[text]] if row is None else row for text, row in zip(texts, rows, strict=True)])


def _checked(models: Models, embedding: EmbeddingDocument | None, dimension: int) -> Embedder | None:
    if embedding is None:
        return None
    embedder = models.embedder(embedding.model)
    if embedder is None:
        return None
    if embedder.version != embedding.version:
        raise ModelMismatch(f"model {embedder.name!r} of this server has version {embedder.version!r}")
    check_dimension(embedder, dimension)
    return embedder
