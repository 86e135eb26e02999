"""How well what was found for a question bears an answer, whichever backend is to write it."""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import UnsetType

from vdb.engine.answering.passages import FoundPassages
from vdb.engine.answering.term_weights import language_of, term_weights
from vdb.engine.services import Services
from vdb.protocol.answers import Hit
from vdb.rag.extractive import similarities_of, support
from vdb.storage.catalog import CollectionDocument

__all__ = ["Supported", "supported"]


@dataclass(frozen=True, slots=True)
class Supported:
    """`support`, 0 to 1; `weights` and `language` of the question's words, which `Asked` takes too."""

    support: float
    weights: dict[str, float] | None
    language: str


def supported(
    services: Services,
    collection: CollectionDocument,
    tenant_id: int,
    question: str,
    passages: FoundPassages,
    hits: Sequence[Hit] | None,
) -> Supported:
    """Of all `passages` that a search found, whose `hits` are given in the same order; None where none was made."""
    language = language_of(collection)
    weights = term_weights(services, collection, tenant_id, question)
    similarities = None
    if hits is not None:
        distances = [None if isinstance(hit.distance, UnsetType) else hit.distance for hit in hits]
        similarities = similarities_of(collection.metric, distances)
    found = support(
        question,
        passages,
        scores=passages.scores,
        similarities=similarities,
        weights=weights,
        language=language,
    )
    return Supported(found, weights, language)
