"""One document of a request, checked as far as possible without the store: source or chunks, hashes, grants.

What is wrong in one document is said with a pointer into it, and stands in the way of no other.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from vdb.engine.batch import check_ids, epoch_ms_of
from vdb.engine.document_payloads import content_hash, own_payload, settings_hash
from vdb.engine.owners import grantee_ids
from vdb.engine.services import Services
from vdb.engine.vectors import matrix_of
from vdb.errors import DocumentTooLarge, InvalidArgument, InvalidId, TooLarge, UnreadableDocument
from vdb.protocol.document_requests import GivenChunk, PutDocument
from vdb.rag.chunk import Chunk, ChunkOptions
from vdb.rag.extract import PARSER_VERSION, media_type_of
from vdb.storage.catalog import CollectionDocument
from vdb.tenancy.access import check_sharing
from vdb.types import Caller

MAX_DOCUMENT_ID_BYTES = 240
"""Its chunks' ids have a mark and a number more."""
LARGEST_PLACE = (1 << 53) - 1
"""Of a given chunk: offsets and pages that every JSON reader can hold."""
TEXT = "text/plain"

_HASH = re.compile(r"[0-9a-f]{64}")
_HEAD_BYTES = 1024


@dataclass(slots=True)
class Given:
    """The chunks of a document that brings its own: their payloads and vectors; `rows[i]` is -1 where i has none."""

    chunks: list[Chunk]
    payloads: list[dict[str, Any]]
    vectors: NDArray[np.float32]
    rows: list[int]


@dataclass(slots=True)
class Draft:
    """A document that is to be stored as it is here. `source` and `given` both None: it is only asked for."""

    pointer: str
    id: bytes
    source: bytes | None
    given: Given | None
    media_type: str
    title: str | None
    payload: dict[str, Any]
    expires_at_ms: int
    grants: tuple[int, ...] | None
    content_hash: str
    settings_hashes: tuple[str, ...]
    """That of what is stored; for a document that is asked for also that of one with chunks of its own."""

    @property
    def name(self) -> str:
        """The document's id as text."""
        return self.id.decode()

    @property
    def is_question(self) -> bool:
        return self.source is None and self.given is None


class Drafts:
    """Makes drafts of one request's documents. `model` is what makes vectors for the collection: name and version."""

    def __init__(
        self,
        services: Services,
        caller: Caller,
        collection: CollectionDocument,
        options: ChunkOptions,
        model: tuple[str, str],
        main_field: str,
    ) -> None:
        self._services, self._caller, self._collection = services, caller, collection
        self._limits = services.settings.limits
        self._options, self._decides = options, (*model, main_field)

    def of(self, given: PutDocument, pointer: str) -> Draft:
        """The draft of one document; raises what is wrong with it, with pointers below `pointer`."""
        document = _id_of(given.id, pointer)
        source = self._source(given, pointer)
        chunks = None if isinstance(given.chunks, UnsetType) else self._given(given.chunks, f"{pointer}/chunks")
        payload = own_payload(given.payload, self._collection, f"{pointer}/payload")
        moment = given.expires_at
        return Draft(
            pointer,
            document,
            source,
            chunks,
            self._media_type(given, source),
            None if isinstance(given.title, UnsetType) else given.title,
            payload,
            0 if moment is None else epoch_ms_of(moment, f"{pointer}/expires_at"),
            self._grants(given.shared_with, f"{pointer}/shared_with"),
            self._content_hash(given, source, pointer),
            self._settings(given, payload, source is None and chunks is None),
        )

    def _source(self, given: PutDocument, pointer: str) -> bytes | None:
        forms = [name for name in ("text", "data", "chunks") if getattr(given, name) is not UNSET]
        if len(forms) > 1:
            raise InvalidArgument.at(f"{pointer}/{forms[1]}", f"{forms[0]} is given too: a document has one of them")
        if not forms and given.content_hash is UNSET:
            raise InvalidArgument.at(f"{pointer}/text", "give text, data, chunks, or content_hash alone")
        source: bytes | None = None
        if isinstance(given.text, str):
            source = given.text.encode()
        elif isinstance(given.data, str):
            try:
                source = base64.b64decode(given.data, validate=True)
            except (binascii.Error, ValueError) as exc:
                raise InvalidArgument.at(f"{pointer}/data", "not base64") from exc
        if source is not None and len(source) > self._limits.max_document_bytes:
            place = f"{pointer}/{forms[0]}"
            raise DocumentTooLarge.at(place, f"a document has up to {self._limits.max_document_bytes:,} bytes")
        return source

    def _media_type(self, given: PutDocument, source: bytes | None) -> str:
        """What the source is read as; "" where nothing tells, which is no fault yet: it may be there unchanged."""
        if isinstance(given.media_type, str):
            return given.media_type
        if source is None:
            return ""
        return TEXT if given.data is UNSET else media_type_of(given.id, source[:_HEAD_BYTES]) or ""

    def _content_hash(self, given: PutDocument, source: bytes | None, pointer: str) -> str:
        told = given.content_hash
        if isinstance(told, str) and not _HASH.fullmatch(told):
            raise InvalidArgument.at(f"{pointer}/content_hash", "a SHA-256 is 64 digits 0 to 9, a to f")
        if source is None:
            return told if isinstance(told, str) else content_hash(msgspec.json.encode(given.chunks))
        found = content_hash(source)
        if isinstance(told, str) and told != found:
            raise InvalidArgument.at(f"{pointer}/content_hash", "the hash is of other bytes than these")
        return found

    def _settings(self, given: PutDocument, payload: dict[str, Any], is_question: bool) -> tuple[str, ...]:
        """Hashes of what decides about the chunks beside the content, as told: what follows from it is left out."""
        told = (
            None if given.media_type is UNSET else given.media_type,
            None if given.title is UNSET else given.title,
            payload,
            *self._decides,
        )
        of_source = settings_hash("source", PARSER_VERSION, self._options.size, self._options.overlap, *told)
        of_chunks = settings_hash("chunks", *told)
        if is_question:
            return of_source, of_chunks
        return (of_source,) if given.chunks is UNSET else (of_chunks,)

    def _grants(self, names: list[str] | UnsetType, pointer: str) -> tuple[int, ...] | None:
        if isinstance(names, UnsetType):
            return None
        if len(names) > self._limits.max_grantees_per_point:
            raise TooLarge.at(pointer, f"up to {self._limits.max_grantees_per_point} grantees per document")
        check_sharing(self._collection, self._caller, ())  # first: who may not grant learns nothing about the names
        ids = grantee_ids(self._services, self._collection, self._caller.tenant_id, names, pointer)
        check_sharing(self._collection, self._caller, ids)
        return ids

    def _given(self, chunks: Sequence[GivenChunk], pointer: str) -> Given:
        if not chunks:
            raise UnreadableDocument.at(pointer, "the document has no chunks")
        if len(chunks) > self._limits.max_chunks_per_document:
            most = self._limits.max_chunks_per_document
            raise DocumentTooLarge.at(pointer, f"a document has up to {most:,} chunks")
        with_vector = [i for i, chunk in enumerate(chunks) if chunk.vector is not None]
        rows = [-1] * len(chunks)
        for row, i in enumerate(with_vector):
            rows[i] = row
        vectors = matrix_of(
            [chunks[i].vector for i in with_vector],
            self._collection.dimension,
            lambda i: f"{pointer}/{with_vector[i]}/vector",
        )
        read = [_chunk(chunk, f"{pointer}/{i}") for i, chunk in enumerate(chunks)]
        if sum(len(chunk.text) for chunk in read) > self._limits.max_document_bytes:
            raise DocumentTooLarge.at(pointer, f"a document has up to {self._limits.max_document_bytes:,} bytes")
        payloads = [
            own_payload(chunk.payload, self._collection, f"{pointer}/{i}/payload") for i, chunk in enumerate(chunks)
        ]
        return Given(read, payloads, vectors, rows)


def _id_of(document: str, pointer: str) -> bytes:
    encoded = check_ids([document], lambda _: f"{pointer}/id")[0]
    if len(encoded) > MAX_DOCUMENT_ID_BYTES:
        raise InvalidId.at(f"{pointer}/id", f"the id of a document is 1 to {MAX_DOCUMENT_ID_BYTES} bytes of UTF-8")
    return encoded


def _chunk(given: GivenChunk, pointer: str) -> Chunk:
    """A given chunk, its place checked; 0 to 0 where it has none."""
    if not given.text.strip():
        raise UnreadableDocument.at(f"{pointer}/text", "the chunk has no text")
    start, end = (_place(given, name, pointer, 0) for name in ("start", "end"))
    if (start is None) != (end is None) or (start is not None and end is not None and start >= end):
        raise InvalidArgument.at(f"{pointer}/end", "start and end go together, and end is greater")
    heading = () if isinstance(given.heading, UnsetType) else tuple(given.heading)
    return Chunk(given.text, start or 0, end or 0, heading, _place(given, "page", pointer, 1))


def _place(given: GivenChunk, name: str, pointer: str, least: int) -> int | None:
    value = getattr(given, name)
    if value is UNSET:
        return None
    if not least <= value <= LARGEST_PLACE:
        raise InvalidArgument.at(f"{pointer}/{name}", f"{name} is {least} to {LARGEST_PLACE}")
    return int(value)
