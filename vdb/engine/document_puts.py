"""Put documents: read into chunks, compared with what is stored, embedded where need be, written.

Each document is one write, so one commit has all of it or nothing, and commits serve many documents. It is refused
alone: what is wrong with it stands in its result. What is wrong with the server or the caller ends the whole request,
which can be sent again: documents that were stored are unchanged then.

Runs on threads of its own, `Services.ingests`, which tenants share fairly: reading and embedding hold no reader.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from traceback import format_tb
from typing import Any

import numpy as np
from msgspec import UnsetType

from vdb.engine.document_chunks import Work, batch_of, look, work_of
from vdb.engine.document_drafts import Draft, Drafts
from vdb.engine.document_payloads import main_field
from vdb.engine.document_write import ChangedMeanwhile, DocumentWrite, Stored, read_stored
from vdb.engine.fair import NO_TENANT
from vdb.engine.models import embedder_of
from vdb.engine.owners import GRANT_BYTES, check_own
from vdb.engine.point_write import PointWrite
from vdb.engine.services import Services
from vdb.engine.shard import epoch_ms
from vdb.engine.tenants import ensure_tenant
from vdb.errors import (
    Conflict,
    DuplicateId,
    EmptyBatch,
    InternalError,
    InvalidArgument,
    InvalidId,
    ModelUnavailable,
    Problem,
    ShuttingDown,
    TooLarge,
    VdbError,
    VersionConflict,
)
from vdb.protocol.document_answers import DocumentsPut, Fault, PutResult, Refusal, Status
from vdb.protocol.document_requests import PutDocuments
from vdb.rag.chunk import ChunkOptions, check_options
from vdb.storage.catalog import CollectionDocument
from vdb.storage.chunk_ids import chunk_id
from vdb.storage.points import read_records
from vdb.tenancy.access import check_sharing
from vdb.types import EVERYONE, EVERYONE_ID, Caller

logger = logging.getLogger(__name__)

TOGETHER = 64
TOGETHER_BYTES = 4 << 20
"""Documents that are read, embedded and written together, at most so many and about so many bytes."""
N_ATTEMPTS = 8
"""How often a document is tried that others keep changing."""
N_FAILED_CALLS = 2
"""After so many calls of a model in a row that failed, it is not asked for the other documents beside them."""

OF_ONE_DOCUMENT = (InvalidArgument, TooLarge, Conflict, ModelUnavailable)
"""Errors that are a document's own result; others are of the whole request."""
OF_A_TEXT = (ModelUnavailable, InvalidArgument)
"""What a model may say because of one text among many."""


def put_documents(
    services: Services, caller: Caller, path: tuple[str, ...], request: PutDocuments
) -> "Future[DocumentsPut]":
    """Raises what is wrong with the request as a whole; its future has a result for each document."""
    collection = services.usable(caller, path[0])
    check_names([document.id for document in request.documents], services, "/documents")
    options = _options_of(request)
    first_ids = [chunk_id(document.id.encode(), 0) for document in request.documents]
    check_own(services, caller, collection, request.owner, first_ids)
    for names in (document.shared_with for document in request.documents):
        if not isinstance(names, UnsetType):  # before anything is written: it is the caller who may not
            check_sharing(collection, caller, (EVERYONE_ID,) if EVERYONE in names else ())
    put = _Put(services, caller, collection, request, options)
    return services.ingests.submit(caller.tenant_id or NO_TENANT, put.run)


def check_names(names: Sequence[str], services: Services, pointer: str) -> None:
    """Raise EmptyBatch, TooLarge, InvalidId or DuplicateId for the documents that a request names."""
    most = services.settings.limits.max_documents_per_request
    if not names:
        raise EmptyBatch.at(pointer, "no documents were given")
    if len(names) > most:
        raise TooLarge.at(pointer, f"a request takes up to {most} documents")
    seen: set[str] = set()
    for i, name in enumerate(names):
        place = f"{pointer}/{i}/id" if pointer == "/documents" else f"{pointer}/{i}"
        if name in seen:
            raise DuplicateId.at(place, "the document is in the request twice")
        if not is_unicode(name):
            raise InvalidId.at(place, "the id is not valid Unicode")
        seen.add(name)


def is_unicode(text: str) -> bool:
    """False if `text` holds a lone surrogate, which no JSON document can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _options_of(request: PutDocuments) -> ChunkOptions:
    if isinstance(request.chunking, UnsetType):
        return ChunkOptions()
    options = ChunkOptions(request.chunking.size, request.chunking.overlap)
    try:
        check_options(options)
    except InvalidArgument as exc:
        problems = tuple(Problem(f"/chunking{fault.pointer}", fault.detail) for fault in exc.problems)
        raise InvalidArgument(exc.detail, problems=problems) from exc
    return options


class _Put:
    """One request on its thread."""

    def __init__(
        self,
        services: Services,
        caller: Caller,
        collection: CollectionDocument,
        request: PutDocuments,
        options: ChunkOptions,
    ) -> None:
        self._services, self._caller, self._collection = services, caller, collection
        self._documents, self._options = request.documents, options
        self._embedder = embedder_of(services, collection)
        model = ("", "") if self._embedder is None else (self._embedder.name, self._embedder.version)
        self._drafts = Drafts(services, caller, collection, options, model, main_field(collection))
        self._results: dict[str, PutResult] = {}
        self._owner = caller.tenant_id
        self._sequence = self._seen_at = 0

    def run(self) -> DocumentsPut:
        for drafts in self._batches():
            if self._services.is_stopping.is_set():
                raise ShuttingDown("the server is shutting down", retry_after_s=1.0)
            self._put(drafts)
        return DocumentsPut(
            sequence=self._sequence or self._seen_at,
            documents=[self._results[document.id] for document in self._documents],
        )

    def _batches(self) -> Iterator[list[Draft]]:
        """Drafts to be handled together; documents that are none have their results."""
        drafts: list[Draft] = []
        n_bytes = 0
        for i, document in enumerate(self._documents):
            pointer = f"/documents/{i}"
            found: Draft | None = self._tried(document.id, pointer, partial(self._drafts.of, document, pointer))
            if found is None:
                continue
            drafts.append(found)
            n_bytes += len(found.source or b"") + (0 if found.given is None else found.given.vectors.nbytes)
            if len(drafts) == TOGETHER or n_bytes > TOGETHER_BYTES:
                yield drafts
                drafts, n_bytes = [], 0
        yield drafts

    def _tried(self, name: str, pointer: str, work: Callable[[], Any]) -> Any:
        """What `work` returns; None where it failed for this document alone, which has its result then."""
        try:
            return work()
        except OF_ONE_DOCUMENT as exc:
            self._fail(name, pointer, exc)
        except UnicodeEncodeError:  # in process: JSON brings none
            self._fail(name, pointer, InvalidArgument.at(pointer, "a string in it is not valid Unicode"))
        except VdbError:
            raise
        except Exception as exc:  # a bug that one document has met must not keep the others out
            where = "".join(format_tb(exc.__traceback__))  # without its message, which may hold text of the document
            logger.error("a document could not be read: %s\n%s", type(exc).__name__, where)
            self._fail(name, pointer, InternalError("the document could not be read; see the server's log"))
        return None

    def _fail(self, name: str, pointer: str, error: VdbError) -> None:
        faults = [Fault(pointer=fault.pointer, detail=fault.detail) for fault in error.problems]
        refusal = Refusal(
            code=error.code, detail=error.detail, errors=faults or [Fault(pointer=pointer, detail=error.detail)]
        )
        self._results[name] = PutResult(id=name, status="failed", n_chunks=0, n_embedded=0, error=refusal)

    def _put(self, drafts: list[Draft]) -> None:
        works = []
        for draft in self._changed(drafts):
            read = partial(work_of, self._services, self._collection, draft, self._options, self._embedder)
            work: Work | None = self._tried(draft.name, draft.pointer, read)
            works += [] if work is None else [work]
        for _ in range(N_ATTEMPTS):
            if not works:
                return
            works = self._write(works)
        for work in works:
            error = VersionConflict("others keep changing the document: put it again")
            self._fail(work.draft.name, work.draft.pointer, error)

    def _changed(self, drafts: list[Draft]) -> list[Draft]:
        """Those that are not stored as they are; the others, and those that are only asked for, have their results."""
        changed = []
        with self._services.shards.use(self._collection) as shard, shard.snapshot() as snapshot:
            self._seen_at = snapshot.sequence
            for draft in drafts:
                stored = read_stored(snapshot.txn, self._owner, draft.id)
                if self._is_stored(draft, stored, snapshot.txn, snapshot.now_ms):
                    self._settle(draft, "unchanged", stored.head.n_chunks)
                elif draft.is_question:
                    self._settle(draft, "missing", len(stored.pids) if stored.is_live(snapshot.now_ms) else 0)
                else:
                    changed.append(draft)
        return changed

    def _is_stored(self, draft: Draft, stored: Stored, txn: Any, now_ms: int) -> bool:
        first = stored.first
        if first is None or not stored.is_live(now_ms) or not stored.is_whole:
            return False
        if stored.head.content_hash != draft.content_hash or stored.head.settings_hash not in draft.settings_hashes:
            return False
        if first.expires_at_ms != draft.expires_at_ms:
            return False
        if draft.grants is None:
            return True
        records = read_records(txn, [(self._owner or 0, pid) for pid in stored.pids.values()])
        return all(record is not None and record.shared == draft.grants for record in records)

    def _settle(self, draft: Draft, status: Status, n_chunks: int, n_embedded: int = 0) -> None:
        self._results[draft.name] = PutResult(id=draft.name, status=status, n_chunks=n_chunks, n_embedded=n_embedded)

    def _write(self, works: list[Work]) -> list[Work]:
        """Write documents; those that were changed by others meanwhile are returned."""
        with self._services.shards.use(self._collection) as shard, shard.env.read() as txn:
            now_ms = epoch_ms()
            for work in works:
                look(work, txn, self._owner, read_stored(txn, self._owner, work.draft.id), now_ms)
        works = self._embed(works)
        if not works:
            return []
        self._owner = owner = ensure_tenant(self._services, self._caller)  # last: a refused write makes no tenant
        writes = [self._write_of(work, owner) for work in works]  # all, before the first is queued: they share commits
        pending: list[tuple[Work, Future[Any]]] = []
        for work, write in zip(works, writes, strict=True):
            submit = partial(self._submit, work, write)
            queued: Future[Any] | None = self._tried(work.draft.name, work.draft.pointer, submit)
            pending += [] if queued is None else [(work, queued)]
        again = []
        for work, future in pending:
            try:
                self._sequence = max(self._sequence, future.result().sequence)
            except ChangedMeanwhile:
                again.append(work)
            except OF_ONE_DOCUMENT as exc:
                self._fail(work.draft.name, work.draft.pointer, exc)
            else:
                status: Status = "created" if work.is_new else "updated"
                self._settle(work.draft, status, len(work.payloads), work.n_embedded)
        return again

    def _write_of(self, work: Work, owner: int) -> DocumentWrite:
        batch, grants = batch_of(work, self._collection.dimension)
        points = PointWrite(self._services, owner, batch, grants)
        return DocumentWrite(points, work.draft.id, len(work.payloads), work.stored)

    def _submit(self, work: Work, write: DocumentWrite) -> "Future[Any]":
        batch = write.points.batch
        shard = self._services.shards.acquire(self._collection)
        future: Future[Any] = self._services.shards.submit(
            shard,
            write.apply,
            batch.n_bytes + GRANT_BYTES * len(work.shared) * len(batch.ids),
            adds_rows=len(batch.vectors) > 0,
            tenant=write.points.owner,
            n_points=len(batch.ids),
        )
        return future

    def _embed(self, works: list[Work]) -> list[Work]:
        """Make the vectors that are missing: of all documents by one call, of each alone where that fails."""
        wanting = [work for work in works if work.missing]
        if not wanting:
            return works
        error: VdbError
        try:
            self._embed_together(wanting)
            return works
        except OF_A_TEXT as exc:
            error = exc
        failed: list[Work] = wanting if len(wanting) == 1 else []
        n_in_a_row = 0
        for work in wanting if len(wanting) > 1 else ():
            try:
                if n_in_a_row < N_FAILED_CALLS:
                    self._embed_together([work])
                    n_in_a_row = 0
                    continue
            except OF_A_TEXT as exc:
                n_in_a_row, error = n_in_a_row + isinstance(exc, ModelUnavailable), exc
            failed.append(work)
        for work in failed:
            self._fail(work.draft.name, work.draft.pointer, error)
        return [work for work in works if work not in failed]

    def _embed_together(self, works: list[Work]) -> None:
        assert self._embedder is not None, "only what is to be embedded lacks vectors"
        places = [(work, number) for work in works for number in work.missing]
        texts = [work.texts[number] for work, number in places]
        vectors = self._embedder.embed_documents(texts, self._collection.dimension)
        rows = np.ascontiguousarray(vectors, "<f4")
        for row, (work, number) in enumerate(places):
            work.vectors[number] = rows[row].tobytes()
            work.n_embedded += 1
