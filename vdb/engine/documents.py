"""Documents that are stored: listed, read with their chunks, deleted.

There is a document where there is its first chunk, as far as listing goes; getting and deleting also find what is left
of one whose chunks were deleted one by one.
"""

import base64
from concurrent.futures import Future
from typing import Any

import msgspec
from msgspec import Raw

from vdb.engine.document_payloads import NO_HEAD, RESERVED, head_of, main_field
from vdb.engine.document_puts import check_names, is_unicode
from vdb.engine.document_write import DocumentRemoval, Removed, Stored, read_stored
from vdb.engine.fair import NO_TENANT
from vdb.engine.owners import check_own, is_visible, live_tenant_name, named_owner
from vdb.engine.services import Services
from vdb.engine.shard import Snapshot
from vdb.engine.tenants import moment_of
from vdb.errors import InvalidArgument, InvalidCursor, TooLarge
from vdb.protocol.document_answers import Document, DocumentChunk, DocumentPage, Documents, DocumentsDeleted
from vdb.protocol.document_requests import DeleteDocuments, GetDocuments, ListDocuments
from vdb.storage.catalog import CollectionDocument
from vdb.storage.chunk_ids import chunk_id, find_chunks, iterate_documents
from vdb.storage.codec import Record
from vdb.storage.points import read_record, read_records
from vdb.tenancy.access import check_tenant_exists
from vdb.types import Caller

MAX_LOOKED_AT = 100_000
"""Points that one page of a listing looks at: where few of them begin a document it ends before it is full."""
TOGETHER = 64
"""Documents whose removals wait for their commits together."""
_MAX_CURSOR_CHARS = 400

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def list_documents(services: Services, caller: Caller, path: tuple[str, ...], request: ListDocuments) -> DocumentPage:
    """One page of the tenant's own documents, in byte order of their ids."""
    collection = services.usable(caller, path[0])
    tenant_id = check_tenant_exists(caller)
    most = services.settings.limits.max_scroll_limit
    if not 1 <= request.limit <= most:
        raise InvalidArgument.at("/limit", f"limit is 1 to {most}")
    if not is_unicode(request.prefix or ""):
        raise InvalidArgument.at("/prefix", "the prefix is not valid Unicode")
    after = _position_of(request.cursor)
    found: list[Document] = []
    with services.shards.use(collection) as shard, shard.snapshot() as snapshot:
        answers = _Answers(services, collection, tenant_id, snapshot)
        last, cursor = after, None
        listed = iterate_documents(snapshot.txn, tenant_id, (request.prefix or "").encode(), after)
        for n_looked_at, (document, pid) in enumerate(listed):
            if len(found) == request.limit or n_looked_at == MAX_LOOKED_AT:
                cursor = base64.urlsafe_b64encode(last).decode()
                break
            last = document if pid is None else chunk_id(document, 0)
            first = None if pid is None else read_record(snapshot.txn, tenant_id, pid)
            if first is not None and not first.is_expired(snapshot.now_ms):
                found.append(answers.listed(document, first))
        return DocumentPage(documents=found, next_cursor=cursor, sequence=snapshot.sequence)


def get_documents(services: Services, caller: Caller, path: tuple[str, ...], request: GetDocuments) -> Documents:
    """Documents by id; those that do not exist, or that the tenant may not see, are left out alike."""
    collection = services.usable(caller, path[0])
    tenant_id = check_tenant_exists(caller)
    check_names(request.ids, services, "/ids")
    owner = named_owner(services, caller, request.owner)
    found = []
    with services.shard_for_read(collection, request) as shard, shard.snapshot() as snapshot:
        answers = _Answers(services, collection, tenant_id, snapshot)
        for document in request.ids:
            stored = read_stored(snapshot.txn, owner, document.encode())
            answer = answers.whole(document, owner or 0, stored, request.with_chunks)
            found += [] if answer is None else [answer]
        return Documents(documents=found, sequence=snapshot.sequence)


def delete_documents(
    services: Services, caller: Caller, path: tuple[str, ...], request: DeleteDocuments
) -> "Future[DocumentsDeleted]":
    """Delete by ids; each document by one write, ids that do not exist are no error."""
    collection = services.usable(caller, path[0])
    check_names(request.ids, services, "/ids")
    names = [document.encode() for document in request.ids]
    check_own(services, caller, collection, request.owner, [chunk_id(name, 0) for name in names])
    owner = check_tenant_exists(caller)

    def run() -> DocumentsDeleted:
        done: list[Removed] = []
        for i in range(0, len(names), TOGETHER):
            removals = [DocumentRemoval(owner, collection.dimension, name) for name in names[i : i + TOGETHER]]
            futures: list[Future[Removed]] = [_submitted(services, collection, removal) for removal in removals]
            done += [future.result() for future in futures]
        n_deleted, n_chunks = sum(removed.was_there for removed in done), sum(removed.n_chunks for removed in done)
        return DocumentsDeleted(sequence=max(r.sequence for r in done), deleted=n_deleted, n_chunks=n_chunks)

    return services.ingests.submit(caller.tenant_id or NO_TENANT, run)


def _submitted(services: Services, collection: CollectionDocument, removal: DocumentRemoval) -> "Future[Removed]":
    shard = services.shards.acquire(collection)
    options: dict[str, Any] = {"frees_space": True, "tenant": removal.owner, "n_points": 1}
    future: Future[Removed] = services.shards.submit(shard, removal.apply, **options)
    return future


def _position_of(cursor: str | None) -> bytes:
    """The point id that a listing goes on after. A tenant lists its own ids only, so it needs no signature."""
    if cursor is None:
        return b""
    try:
        position = base64.b64decode(cursor, altchars=b"-_", validate=True)
    except ValueError as exc:
        raise InvalidCursor.at("/cursor", "not a cursor of this listing") from exc
    if not position or len(cursor) > _MAX_CURSOR_CHARS:
        raise InvalidCursor.at("/cursor", "not a cursor of this listing")
    return position


class _Answers:
    """Documents as one tenant sees them at one moment; raises TooLarge beyond the cap on an answer's bytes."""

    def __init__(self, services: Services, collection: CollectionDocument, tenant_id: int, snapshot: Snapshot) -> None:
        self._services, self._tenant_id, self._snapshot = services, tenant_id, snapshot
        self._field = main_field(collection)
        self._max_bytes = services.settings.limits.max_answer_bytes
        self._n_bytes = 0

    def listed(self, document: bytes, first: Record) -> Document:
        """A document of the tenant's own, by its first chunk."""
        n_stored = len(find_chunks(self._snapshot.txn, self._tenant_id, document))
        return self._head(document.decode(), self._tenant_id, first, n_stored)

    def whole(self, document: str, owner: int, stored: Stored, with_chunks: bool) -> Document | None:
        """A document of `owner`'s, with the chunks that the tenant may see; None where it sees none."""
        places = [(owner, pid) for pid in stored.pids.values()]
        records = read_records(self._snapshot.txn, places)
        seen = {
            number: record
            for number, record in zip(stored.pids, records, strict=True)
            if record is not None and is_visible(record, owner, self._tenant_id, self._snapshot.now_ms)
        }
        if not seen:
            return None
        answer = self._head(document, owner, next(iter(seen.values())), len(seen))
        if with_chunks:
            answer.chunks = [self._chunk(number, record) for number, record in seen.items()]
        return answer

    def _head(self, document: str, owner: int, first: Record, n_stored: int) -> Document:
        self._count(first)
        head = head_of(first, document)
        members = _members(first)
        answer = Document(
            id=document,
            owner=self._services.tenant_name(owner),
            version=first.version,
            n_chunks=head.n_chunks or n_stored,
            n_stored=n_stored,
            content_hash=head.content_hash if head is not NO_HEAD else None,
            settings_hash=head.settings_hash if head is not NO_HEAD else None,
            payload=self._own(members),
        )
        for name in ("title", "media_type"):
            if isinstance(members.get(name), str):
                setattr(answer, name, members[name])
        if first.expires_at_ms:
            answer.expires_at = moment_of(first.expires_at_ms)
        if owner == self._tenant_id:
            names = (live_tenant_name(self._services, grantee) for grantee in first.shared)
            answer.shared_with = sorted(name for name in names if name is not None)
        return answer

    def _chunk(self, number: int, record: Record) -> DocumentChunk:
        self._count(record)
        members = _members(record)
        text = members.get(self._field)
        answer = DocumentChunk(
            id=record.id.decode(),
            chunk=number,
            version=record.version,
            text=text if isinstance(text, str) else "",
            payload=self._own(members),
        )
        for name in ("start", "end", "page"):
            if type(members.get(name)) is int:
                setattr(answer, name, members[name])
        heading = members.get("heading")
        if isinstance(heading, list) and all(isinstance(part, str) for part in heading):
            answer.heading = heading
        return answer

    def _own(self, members: dict[str, Any]) -> Any:
        """The payload without what the answer says itself."""
        own = {name: value for name, value in members.items() if name not in RESERVED and name != self._field}
        return Raw(msgspec.json.encode(own))

    def _count(self, record: Record) -> None:
        self._n_bytes += len(record.payload) + 512
        if self._n_bytes > self._max_bytes:
            raise TooLarge(f"the answer would be larger than {self._max_bytes} bytes: ask for less at once")


def _members(record: Record) -> dict[str, Any]:
    return _decode(record.payload) if record.payload else {}
