"""What a key may chat with, as OpenAI's clients list it: each collection, alone and with each backend."""

from collections.abc import Iterator

from vdb.engine.answering.backends import backend_names
from vdb.engine.answering.chat import no_model
from vdb.engine.services import Services
from vdb.errors import CollectionNotFound
from vdb.protocol.chat_answers import Model, Models
from vdb.protocol.requests import Empty
from vdb.storage.catalog import CollectionDocument
from vdb.tenancy.access import sees
from vdb.types import Caller

__all__ = ["get_model", "list_models"]


def list_models(services: Services, caller: Caller, path: tuple[str, ...], request: Empty) -> Models:
    """All of them, by the name of the collection; that without a backend first."""
    seen = (collection for collection in services.catalog.collections() if sees(collection, caller))
    return Models(data=[model for collection in seen for model in _models_of(services, collection)])


def get_model(services: Services, caller: Caller, path: tuple[str, ...], request: Empty) -> Model:
    """One of them; raises ModelNotFound for what does not exist or may not be used, which look the same."""
    name, slash, backend = path[0].partition("/")
    try:
        collection = services.usable(caller, name)
    except CollectionNotFound:
        raise no_model() from None
    if slash and backend not in backend_names(services):
        raise no_model()
    return _model(path[0], collection)


def _models_of(services: Services, collection: CollectionDocument) -> Iterator[Model]:
    yield _model(collection.name, collection)
    for backend in backend_names(services):
        yield _model(f"{collection.name}/{backend}", collection)


def _model(name: str, collection: CollectionDocument) -> Model:
    return Model(id=name, created=collection.created_at_ms // 1000)
