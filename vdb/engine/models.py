"""Which embedder makes the vectors of a collection, and whether it is the one that the collection names."""

from vdb.engine.services import Services
from vdb.errors import ModelMismatch
from vdb.rag.embed.base import Embedder, check_dimension
from vdb.rag.models import Models
from vdb.storage.catalog import CollectionDocument, EmbeddingDocument

__all__ = ["check_embedding", "embedder_of"]


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
