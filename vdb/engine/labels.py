"""What admins note on a collection for people and applications: the embedding model, and free metadata.

The server keeps and shows it. What an embedding means where the server has that model: `vdb/engine/models.py`.
"""

from collections.abc import Mapping

from vdb.config import Limits
from vdb.errors import InvalidArgument, TooLarge
from vdb.protocol import answers
from vdb.protocol.requests import EmbeddingModel
from vdb.protocol.strict_json import child_pointer
from vdb.storage.catalog import EmbeddingDocument
from vdb.types import NAME


def checked_embedding(given: EmbeddingModel | None, limits: Limits) -> EmbeddingDocument | None:
    """What is stored of an embedding; raises InvalidArgument, TooLarge."""
    if given is None:
        return None
    if not given.model:
        raise InvalidArgument.at("/embedding/model", "the model has a name")
    _check_text(given.model, limits, "/embedding/model")
    _check_text(given.version, limits, "/embedding/version")
    return EmbeddingDocument(model=given.model, version=given.version)


def checked_metadata(given: Mapping[str, str] | None, limits: Limits) -> dict[str, str]:
    """What is stored of metadata, none for None; raises InvalidArgument, TooLarge."""
    entries = dict(given or {})
    if len(entries) > limits.max_metadata_entries:
        raise TooLarge.at("/metadata", f"up to {limits.max_metadata_entries} entries")
    for name, value in entries.items():
        pointer = child_pointer("/metadata", name)
        if not NAME.match(name):
            raise InvalidArgument.at(pointer, "a name is 1 to 64 of a-z 0-9 _ -, and begins with a letter or digit")
        _check_text(value, limits, pointer)
    return entries


def embedding_answer(stored: EmbeddingDocument | None) -> answers.Embedding | None:
    """An embedding as callers see it."""
    return None if stored is None else answers.Embedding(model=stored.model, version=stored.version)


def _check_text(text: str, limits: Limits, pointer: str) -> None:
    try:
        n_bytes = len(text.encode())
    except UnicodeEncodeError as exc:
        raise InvalidArgument.at(pointer, "not valid Unicode") from exc
    if n_bytes > limits.max_metadata_value_bytes:
        raise TooLarge.at(pointer, f"up to {limits.max_metadata_value_bytes} bytes of UTF-8")
