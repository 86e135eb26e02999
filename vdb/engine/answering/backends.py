"""Who is to write an answer: the backend that is named, or those that come into question, in the order to be tried."""

from vdb.engine.answering.question import Question
from vdb.engine.services import Services
from vdb.errors import ModelNotFound
from vdb.rag.extractive import Extractive
from vdb.rag.generate.base import Backend
from vdb.storage.catalog import CollectionDocument

__all__ = ["BUILT_IN", "backend_names", "backends_for"]


BUILT_IN: Backend = Extractive()


def backends_for(services: Services, collection: CollectionDocument, question: Question) -> list[Backend]:
    """At least one, in the order in which they are to be tried; raises ModelNotFound for a name that is none."""
    if question.backend not in (None, BUILT_IN.name):
        raise ModelNotFound.at(question.backend_at, "the server knows no backend of that name")
    return [BUILT_IN]


def backend_names(services: Services) -> list[str]:
    """The names that a request may give, in order."""
    return sorted({BUILT_IN.name, *getattr(services.models, "backend_names", ())})
