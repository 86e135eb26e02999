"""Prompt templates of collections, in the catalog: every version that is kept stands under its own number."""

from collections.abc import Iterator

from msgspec import Struct

from vdb.storage.catalog import iterate_prefix
from vdb.storage.codec import decode_document, encode_document
from vdb.storage.env import Transaction
from vdb.storage.keyspace import LAST_NUMBER, template_key, templates_prefix
from vdb.types import NAME


class TemplateDocument(Struct, kw_only=True, frozen=True):
    """One version of a template; `vdb.rag.prompt` says what its texts may hold."""

    collection_id: int
    name: str
    version: int
    system: str
    passage: str
    question: str
    not_found: str
    created_at_ms: int

    def is_same_text(self, other: "TemplateDocument") -> bool:
        return self.texts == other.texts

    @property
    def texts(self) -> tuple[str, str, str, str]:
        return self.system, self.passage, self.question, self.not_found


def key_of_template(document: TemplateDocument) -> bytes:
    """The key that a document says it has; empty for numbers that no key holds."""
    numbers = (document.collection_id, document.version)
    is_sound = bool(NAME.match(document.name)) and all(0 < number <= LAST_NUMBER for number in numbers)
    return template_key(document.collection_id, document.name, document.version) if is_sound else b""


def put_template(txn: Transaction, document: TemplateDocument) -> None:
    txn.put(key_of_template(document), encode_document(document))


def remove_template(txn: Transaction, collection_id: int, name: str, version: int) -> None:
    txn.delete(template_key(collection_id, name, version))


def remove_templates(txn: Transaction, collection_id: int) -> None:
    """All of a collection."""
    for key in [key for key, _ in iterate_prefix(txn, templates_prefix(collection_id))]:
        txn.delete(key)


def read_template(txn: Transaction, collection_id: int, name: str, version: int) -> TemplateDocument | None:
    """One version; raises CorruptData."""
    value = txn.get(template_key(collection_id, name, version))
    return None if value is None else decode_document(value, TemplateDocument)


def versions_of(txn: Transaction, collection_id: int, name: str) -> list[int]:
    """The versions of a template that are kept, ascending."""
    prefix = templates_prefix(collection_id, name)
    return [int.from_bytes(key[len(prefix) :], "big") for key, _ in iterate_prefix(txn, prefix)]


def iterate_templates(txn: Transaction, collection_id: int) -> Iterator[tuple[str, int]]:
    """(name, version) of all that a collection has, by name and version."""
    prefix = templates_prefix(collection_id)
    for key, _ in iterate_prefix(txn, prefix):
        yield key[len(prefix) : -5].decode(), int.from_bytes(key[-4:], "big")
