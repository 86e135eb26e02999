"""Who is to write an answer: the backend that is named, or those that come into question, in the order to be tried."""

from msgspec import UnsetType

from vdb.engine.answering.choices import answering_of
from vdb.engine.answering.question import Question
from vdb.engine.services import Services
from vdb.errors import ModelNotFound
from vdb.protocol.answer_requests import AnswerCache
from vdb.rag.generate.base import Backend
from vdb.rag.generate.routing import route
from vdb.storage.catalog import CollectionDocument

__all__ = ["backend_names", "backends_for"]


def backends_for(services: Services, collection: CollectionDocument, question: Question) -> list[Backend]:
    """At least one, in the order in which they are to be tried; raises ModelNotFound for a name that is none."""
    stated = answering_of(collection)
    found = route(services.models.backends, question.backend, stated.backend, _category_of(question) or stated.category)
    if found:
        return found
    if question.backend is not None:
        raise ModelNotFound.at(question.backend_at, "the server knows no backend of that name")
    raise ModelNotFound("the collection names a backend that the server does not know")


def _category_of(question: Question) -> str | None:
    cache = question.options.cache
    if not isinstance(cache, AnswerCache) or isinstance(cache.category, UnsetType):
        return None
    return cache.category


def backend_names(services: Services) -> list[str]:
    """The names that a request may give, in order."""
    return list(services.models.backend_names)
