"""Answer shapes of documents. Conventions: `vdb.protocol.answers`."""

from datetime import datetime
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from vdb.protocol.answers import Answer

Status = Literal["created", "updated", "unchanged", "missing", "failed"]


class Fault(Struct, kw_only=True):
    """What is wrong in one document: where in the request, and what."""

    pointer: str
    detail: str


class Refusal(Struct, kw_only=True):
    """Why a document was not stored; `code` is one of the errors'."""

    code: str
    detail: str
    errors: list[Fault]


class PutResult(Answer):
    """What became of one document. `n_chunks` it has now; the server made vectors anew of `n_embedded` of them.

    `missing`: only its hash was given, and what is stored, if anything, differs. `failed`: nothing of it was changed.
    """

    id: str
    status: Status
    n_chunks: int
    n_embedded: int
    error: Refusal | UnsetType = UNSET


class DocumentsPut(Answer):
    """One result for each document, in the order of the request; `sequence` of the last write among them.

    Where nothing was written it is the sequence at which that was found.
    """

    sequence: int
    documents: list[PutResult]


class DocumentChunk(Answer):
    """One chunk: its point's id, its number, its text and place. `payload` is the point's, without what stands here."""

    id: str
    chunk: int
    version: int
    text: str
    start: int | UnsetType = UNSET
    end: int | UnsetType = UNSET
    heading: list[str] | UnsetType = UNSET
    page: int | UnsetType = UNSET
    payload: Any = UNSET


class Document(Answer):
    """A stored document, as its first chunk tells; `version` is that chunk's.

    `n_stored`: chunks that are there now; less than `n_chunks` where points were deleted one by one. Hashes are null
    where the first chunk was written by something else. Whom it is shared with is shown to its owner only.
    """

    id: str
    owner: str
    version: int
    n_chunks: int
    n_stored: int
    content_hash: str | None
    settings_hash: str | None
    title: str | UnsetType = UNSET
    media_type: str | UnsetType = UNSET
    expires_at: datetime | None = None
    shared_with: list[str] | UnsetType = UNSET
    payload: Any = UNSET
    chunks: list[DocumentChunk] | UnsetType = UNSET


class Documents(Answer):
    """Documents in the order asked."""

    documents: list[Document]
    sequence: int


class DocumentPage(Struct, kw_only=True):
    """A page of documents, in byte order of their ids; one may be empty before the last."""

    documents: list[Document]
    next_cursor: str | None
    sequence: int


class DocumentsDeleted(Answer):
    """How many of the documents were there, and how many chunks were removed."""

    sequence: int
    deleted: int
    n_chunks: int
