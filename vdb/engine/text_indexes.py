"""Text indexes of collections: what is wanted of one, whether it answers, and what to do when it turns out damaged."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from vdb.engine.services import Services
from vdb.engine.shard import ShardGroup
from vdb.errors import CorruptData, InvalidArgument, TextIndexBuilding, TooLarge
from vdb.protocol import answers, requests
from vdb.protocol.requests import MAX_K1, MAX_WEIGHT
from vdb.protocol.strict_json import child_pointer
from vdb.rag.analysis import LANGUAGES, analyser_of
from vdb.storage.catalog import CollectionDocument, TextDocument
from vdb.storage.env import Transaction
from vdb.storage.text_changes import is_text_whole
from vdb.storage.text_index import TextIndex, read_text_index, wanted_index
from vdb.types import IndexState

MAX_TEXT_FIELDS = 16
RETRY_AFTER_S = 1.0


def checked_text(given: requests.TextIndex | None) -> TextDocument | None:
    """What is stored of a text index; raises InvalidArgument, TooLarge."""
    if given is None:
        return None
    if not given.fields:
        raise InvalidArgument.at("/text/fields", "a text index is of at least one field")
    if len(given.fields) > MAX_TEXT_FIELDS:
        raise TooLarge.at("/text/fields", f"up to {MAX_TEXT_FIELDS} fields")
    for field, weight in given.fields.items():
        pointer = child_pointer("/text/fields", field)
        if not 1 <= len(field) <= 512 or not _is_unicode(field):
            raise InvalidArgument.at(pointer, "a field's name has 1 to 512 characters")
        if not 1 <= weight <= MAX_WEIGHT:
            raise InvalidArgument.at(pointer, f"a weight is 1 to {MAX_WEIGHT}")
    if given.language not in LANGUAGES:
        raise InvalidArgument.at("/text/language", f"the language is one of {', '.join(LANGUAGES)}")
    if not (math.isfinite(given.k1) and 0 <= given.k1 <= MAX_K1):
        raise InvalidArgument.at("/text/k1", f"k1 is 0 to {MAX_K1:g}")
    if not 0 <= given.b <= 1:
        raise InvalidArgument.at("/text/b", "b is 0 to 1")
    return TextDocument(fields=dict(given.fields), language=given.language, k1=given.k1, b=given.b)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def wanted_text(collection: CollectionDocument) -> TextIndex | None:
    """The text index that a collection's document wants; None for none, and for a language that nobody knows."""
    text = collection.text
    if text is None or text.language not in LANGUAGES:
        return None
    return wanted_index(text.fields, text.language, analyser_of)


def text_answer(txn: Transaction, collection: CollectionDocument) -> answers.TextIndex | None:
    """A collection's text index as callers see it."""
    text = collection.text
    if text is None:
        return None
    state = IndexState.READY if is_text_whole(txn, wanted_text(collection)) else IndexState.BUILDING
    return answers.TextIndex(fields=text.fields, language=text.language, k1=text.k1, b=text.b, state=state)


def text_ready(txn: Transaction, collection: CollectionDocument) -> TextDocument:
    """What the collection's text index is of, once it answers.

    Raises InvalidArgument where the collection has none, TextIndexBuilding while it is built.
    """
    text = collection.text
    if text is None:
        raise InvalidArgument.at("/text", "the collection has no text index: see its member text")
    if not is_text_whole(txn, wanted_text(collection)):
        raise TextIndexBuilding("the text index is being built", retry_after_s=RETRY_AFTER_S)
    return text


@contextmanager
def reading_text(services: Services, collection: CollectionDocument) -> Iterator[None]:
    """What reads the text index runs in here: where it is damaged it is built anew, and TextIndexBuilding is raised."""
    try:
        yield
    except CorruptData as exc:
        services.damaged_texts.add(collection.id)
        raise TextIndexBuilding("the text index is damaged and built anew", retry_after_s=RETRY_AFTER_S) from exc


def drop_damaged_text(services: Services, collection: CollectionDocument) -> None:
    """Drop a text index that could not be read; it is then built anew."""

    def apply(group: ShardGroup) -> None:
        text = read_text_index(group.txn)
        if text is not None:
            group.index_changes.text.become(group.txn, replace(text, state=IndexState.DROPPING))

    shard = services.shards.acquire(collection)
    services.shards.submit(shard, apply).result()
    services.damaged_texts.discard(collection.id)
