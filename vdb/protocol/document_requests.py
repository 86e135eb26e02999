"""Request shapes of documents: texts cut into chunks, each stored as a point. Conventions: `vdb.protocol.requests`."""

from datetime import datetime

from msgspec import UNSET, Raw, UnsetType

from vdb.protocol.requests import ListPage, Request, Vector


class GivenChunk(Request):
    """A chunk that the application has cut itself, with its place in the source, and its vector if it has one."""

    text: str
    vector: Vector | None = None
    start: int | UnsetType = UNSET
    end: int | UnsetType = UNSET
    heading: list[str] | UnsetType = UNSET
    page: int | UnsetType = UNSET
    payload: Raw | UnsetType = UNSET


class PutDocument(Request):
    """One document: its `text`, the bytes of its file (`data`, base64), or its `chunks`.

    `content_hash` is the SHA-256 of text (UTF-8) or data, 64 hex digits; alone it asks whether the document is there
    as it would be stored. `payload` goes to every chunk. Replaces `expires_at`; `shared_with` not given keeps the
    grants.
    """

    id: str
    text: str | UnsetType = UNSET
    data: str | UnsetType = UNSET
    chunks: list[GivenChunk] | UnsetType = UNSET
    content_hash: str | UnsetType = UNSET
    media_type: str | UnsetType = UNSET
    title: str | UnsetType = UNSET
    payload: Raw | UnsetType = UNSET
    expires_at: datetime | None = None
    shared_with: list[str] | UnsetType = UNSET


class Chunking(Request):
    """How documents are cut: chunks of at most `size` words, of which `overlap` repeat the end of the one before."""

    size: int = 200
    overlap: int = 0


class PutDocuments(Request):
    """Insert or replace documents, each of them all or nothing. `owner` other than the caller's tenant is refused."""

    documents: list[PutDocument]
    chunking: Chunking | UnsetType = UNSET
    owner: str | UnsetType = UNSET


class ListDocuments(ListPage):
    """Page of the tenant's own documents, those whose ids begin with `prefix`, from the query string."""

    prefix: str | None = None


class GetDocuments(Request):
    """Documents by id, in the order asked; those that do not exist or may not be seen are left out."""

    ids: list[str]
    owner: str | UnsetType = UNSET
    with_chunks: bool = False
    min_sequence: int = 0
    timeout_s: float = 10.0


class DeleteDocuments(Request):
    """Delete documents with their chunks; ids that do not exist are no error."""

    ids: list[str]
    owner: str | UnsetType = UNSET
