"""What the words of a question weigh in a collection, for support and for the backend that takes sentences."""

from vdb.engine.services import Services
from vdb.engine.text_indexes import reading_text, text_ready
from vdb.errors import TextIndexBuilding
from vdb.rag.analysis import LANGUAGES, analyser_of
from vdb.rag.extractive.rarities import rarities
from vdb.storage.catalog import CollectionDocument

__all__ = ["DEFAULT_LANGUAGE", "language_of", "term_weights"]

DEFAULT_LANGUAGE = "english"


def language_of(collection: CollectionDocument) -> str:
    """The language that the collection's texts are read in: that of its text index, or English."""
    text = collection.text
    return text.language if text is not None and text.language in LANGUAGES else DEFAULT_LANGUAGE


def term_weights(
    services: Services, collection: CollectionDocument, tenant_id: int, question: str
) -> dict[str, float] | None:
    """Rarity of the question's terms among what the tenant may see; None where no text index can tell.

    An index that is damaged is built anew.
    """
    if collection.text is None:
        return None
    terms = analyser_of(language_of(collection)).terms(question)
    try:
        with services.shards.use(collection) as shard, shard.snapshot() as snapshot:
            version = snapshot.txn.id(), snapshot.sequence
            known = services.postings.of((collection.id, tenant_id), version)  # the search has just read them
            if collection.text is not known.text:
                known.text = text_ready(snapshot.txn, collection)
            with reading_text(services, collection):
                return rarities(snapshot.txn, tenant_id, terms, known) or None
    except TextIndexBuilding:
        return None
