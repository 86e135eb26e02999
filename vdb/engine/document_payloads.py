"""What stands in the payload of a chunk: its text and place, what ties it to its document, the document's own payload.

Flat, so that filters and the text index reach all of it. The first chunk says what the document is; `hash` tells which
text and model a vector that the server made is of.
"""

from hashlib import blake2b, sha256
from typing import Any

import msgspec
from msgspec import Struct, UnsetType

from vdb.config import Limits
from vdb.engine.filters import check_fields
from vdb.engine.payloads import check_payload_size, payload_bytes
from vdb.errors import InvalidArgument
from vdb.protocol.strict_json import child_pointer, decode_payload
from vdb.rag.chunk import Chunk
from vdb.storage.catalog import CollectionDocument
from vdb.storage.codec import Record

RESERVED = frozenset(
    (
        *("document", "chunk", "start", "end", "heading", "page", "title", "hash"),
        *("n_chunks", "content_hash", "settings_hash", "media_type"),
    )
)
"""Members that only the server writes, beside the main text field."""

DEFAULT_FIELD = "text"


class Head(Struct, frozen=True):
    """What a first chunk says of its document. Zero chunks: it says nothing, something else has written it."""

    document: str = ""
    n_chunks: int = 0
    content_hash: str = ""
    settings_hash: str = ""


class _Hashed(Struct):
    hash: str = ""


NO_HEAD = Head()
_decode_head = msgspec.json.Decoder(Head).decode
_decode_hash = msgspec.json.Decoder(_Hashed).decode


def main_field(collection: CollectionDocument) -> str:
    """The payload field that a chunk's text goes to: the first of the text index, `text` where there is none."""
    return DEFAULT_FIELD if collection.text is None else next(iter(collection.text.fields))


def head_of(record: Record, document: str) -> Head:
    """What the first chunk of `document` says; NO_HEAD where it has been overwritten."""
    try:
        head = _decode_head(record.payload) if record.payload else NO_HEAD
    except msgspec.MsgspecError:
        return NO_HEAD
    return head if head.document == document and head.n_chunks > 0 else NO_HEAD


def hash_of(record: Record) -> str:
    """The `hash` of a chunk, "" where it has none: its vector is of unknown origin."""
    try:
        return _decode_hash(record.payload).hash if record.payload else ""
    except msgspec.MsgspecError:
        return ""


def text_hash(text: str, model: str, version: str) -> str:
    """What identifies the vector of a text: 32 hex digits."""
    digest = blake2b(f"{model}\0{version}\0".encode(), digest_size=16)
    digest.update(text.encode())
    return digest.hexdigest()


def content_hash(source: bytes) -> str:
    """SHA-256, 64 hex digits."""
    return sha256(source).hexdigest()


def settings_hash(*parts: Any) -> str:
    """One hash over all that decides about chunks beside the content; 32 hex digits."""
    return blake2b(msgspec.json.encode(parts, order="sorted"), digest_size=16).hexdigest()


def own_payload(raw: Any, collection: CollectionDocument, pointer: str) -> dict[str, Any]:
    """A document's or a chunk's own payload, decoded; raises InvalidArgument for a member that the server writes."""
    if isinstance(raw, UnsetType) or bytes(raw) == b"null":
        return {}
    payload = decode_payload(bytes(raw), pointer)
    taken = payload.keys() & (RESERVED | {main_field(collection)})
    if taken:
        name = min(taken)
        raise InvalidArgument.at(child_pointer(pointer, name), f"{name} is written by the server: take another name")
    return payload


def chunk_members(field: str, chunk: Chunk, document: str, number: int, title: str | None) -> dict[str, Any]:
    """The server's members of a chunk's payload, without those of the first chunk alone."""
    members: dict[str, Any] = {field: chunk.text, "document": document, "chunk": number}
    members |= {"start": chunk.start, "end": chunk.end} if chunk.end else {}
    if chunk.heading:
        members["heading"] = list(chunk.heading)
    if chunk.page is not None:
        members["page"] = chunk.page
    if title:
        members["title"] = title
    return members


def checked_payload(members: dict[str, Any], collection: CollectionDocument, limits: Limits, pointer: str) -> bytes:
    """The payload as it is stored; raises FieldTypeMismatch, PayloadTooLarge."""
    if collection.fields:
        check_fields(members, collection.fields, pointer)
    data = payload_bytes(members, pointer)
    check_payload_size(data, limits.max_payload_bytes, pointer)
    return data
