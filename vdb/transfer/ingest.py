"""An ingest: files to documents, those put that the server does not have as they are, several requests in flight.

There is no state beside the documents themselves: every run asks by hash what is there, and sends the rest. So a run
that is killed goes on when it is started again, and one over an unchanged folder reads, hashes and asks.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from time import monotonic
from typing import Any, TypeVar

from msgspec import UNSET

from vdb.client import Collection
from vdb.client.sync import Operations
from vdb.errors import CollectionNotFound, InvalidArgument, RateLimited, TransportError, Unavailable
from vdb.protocol.document_answers import PutResult
from vdb.transfer.ingest_files import Item, Reader, Skipped, Source, Unread, find_files
from vdb.transfer.progress import Progress
from vdb.transfer.send import PATIENCE_S, may_pass

T = TypeVar("T")

BATCH_DOCUMENTS = 128
BATCH_BYTES = 4 << 20
"""A request ends with so many documents, or about so many bytes."""
N_IN_FLIGHT = 4
TEXT_FIELDS = {"text": 1, "title": 2}
"""What the text index of a collection made here has: the chunks' text, and their title with twice the weight."""
_DELETED_TOGETHER = 256
_PAUSE_S = 0.25


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """What to ingest where. `fields` (payload, expires_at, …) are put with every document.

    `embedding`, `dimension` and `language` are of a collection that is made; `embedding` None: vectors come from
    nobody. `chunk_size` and `chunk_overlap` in words, None for the server's.
    """

    collection: str
    paths: Sequence[str]
    tenant: str | None = None
    patterns: Sequence[str] = ()
    id_prefix: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    chunk_size: int | None = None
    chunk_overlap: int | None = None
    create: bool = False
    embedding: tuple[str, str] | None = ("lexical", "1")
    dimension: int = 384
    language: str = "english"
    batch: int = BATCH_DOCUMENTS
    n_in_flight: int = N_IN_FLIGHT
    delete_missing: bool = False
    dry_run: bool = False
    patience_s: float = PATIENCE_S


@dataclass(slots=True)
class IngestReport:
    """What became of the documents. In a dry run `missing` are those that would be put, `deleted` would be."""

    collection: str
    n_files: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    missing: int = 0
    failed: int = 0
    skipped: int = 0
    deleted: int = 0
    n_chunks: int = 0
    n_embedded: int = 0
    took_s: float = 0.0
    documents_per_s: float = 0.0


@dataclass(slots=True)
class Batch:
    """Sources on their way, and what became of each."""

    sources: list[Source] = field(default_factory=list)
    n_bytes: int = 0
    n_files: int = 0


def ingest(
    client: Operations,
    options: IngestOptions,
    progress: Progress,
    refused: Callable[[str, str], object] = lambda where, reason: None,
) -> IngestReport:
    """Bring a collection in step with files; `refused` is told where each document is that cannot be put, and why.

    Raises InvalidArgument for paths that lead nowhere, CollectionNotFound, and what the server answers to a request as
    a whole; what was put until then stays.
    """
    return _Ingest(client, options, progress, refused).run()


class _Ingest:
    """One run. Used by one thread; the requests are sent by others."""

    def __init__(
        self, client: Operations, options: IngestOptions, progress: Progress, refused: Callable[[str, str], object]
    ) -> None:
        self._client, self._options, self._progress, self._refused = client, options, progress, refused
        self._files = list(find_files(options.paths, options.patterns))
        self._report = IngestReport(options.collection)
        self._pending: deque[tuple[Batch, Future[list[PutResult]]]] = deque()
        self._known: dict[str, str] = {}
        self._is_complete = True
        self._n_done = 0
        self._stopped = Event()

    def run(self) -> IngestReport:
        began = monotonic()
        self._find_collection()
        limits = self._client.limits()
        self._reader = Reader(self._options.fields, self._options.id_prefix, limits["max_document_bytes"])
        try:
            with ThreadPoolExecutor(self._options.n_in_flight, "vdb-ingest") as threads:
                try:
                    for batch in self._batches():
                        self._send(threads, batch)
                    while self._pending:
                        self._settle()
                except BaseException:
                    self._stopped.set()
                    threads.shutdown(cancel_futures=True)
                    raise
            if self._options.delete_missing:
                self._delete_missing()
        finally:
            self._progress.finish()
        report = self._report
        report.took_s = round(monotonic() - began, 3)
        n_documents = report.created + report.updated + report.unchanged + report.missing
        report.documents_per_s = round(n_documents / max(report.took_s, 1e-3), 1)
        return report

    def _find_collection(self) -> None:
        options = self._options
        try:
            self._client.get_collection(options.collection)
        except CollectionNotFound:
            if not options.create or options.dry_run:
                raise CollectionNotFound(
                    f"collection {options.collection!r} does not exist: --create makes it"
                ) from None
            name, version = options.embedding or ("", "")
            self._client.create_collection(
                options.collection,
                options.dimension,
                embedding={"model": name, "version": version} if name else None,
                text={"fields": TEXT_FIELDS, "language": options.language},
            )

    def _batches(self) -> Iterator[Batch]:
        batch = Batch()
        for file in self._files:
            if isinstance(file, Unread):
                self._refuse(file)
                continue
            batch.n_files += 1
            for item in self._reader.read(file):
                if not self._takes(item):
                    continue
                assert isinstance(item, Source), "what is no source is not taken"
                batch.sources.append(item)
                batch.n_bytes += len(item.content)
                if len(batch.sources) >= self._options.batch or batch.n_bytes >= BATCH_BYTES:
                    yield batch
                    batch = Batch()
        yield batch

    def _takes(self, item: Item) -> bool:
        """Whether an item is a document to be put; what is not is counted."""
        if isinstance(item, Skipped):
            self._report.skipped += 1
            return False
        if isinstance(item, Unread):
            self._refuse(item)
            return False
        other = self._known.setdefault(item.id, item.where)
        if other != item.where:
            self._refuse(Unread(item.where, f"the id {item.id!r} is that of {other} already", item.id))
            return False
        return True

    def _refuse(self, item: Unread) -> None:
        self._report.failed += 1
        if item.id is None:
            self._is_complete = False
        else:
            self._known.setdefault(item.id, item.where)
        self._refused(item.where, item.reason)

    def _send(self, threads: ThreadPoolExecutor, batch: Batch) -> None:
        while len(self._pending) > self._options.n_in_flight:
            self._settle()
        if batch.sources or batch.n_files:
            self._pending.append((batch, threads.submit(self._put, batch)))

    def _put(self, batch: Batch) -> list[PutResult]:
        """Ask which of the documents are there, and put the others. On a thread of its own."""
        if not batch.sources:
            return []
        asked = [{"id": s.id, "content_hash": s.content_hash, **s.fields} for s in batch.sources]
        results = self._patiently(lambda: self._put_documents(asked))
        lacking = [i for i, result in enumerate(results) if result.status == "missing"]
        if self._options.dry_run or not lacking:
            return results
        documents = []
        for source in (batch.sources[i] for i in lacking):
            form = "text" if isinstance(source.content, str) else "data"
            documents.append({"id": source.id, form: source.content, **source.fields})
        for i, result in zip(lacking, self._patiently(lambda: self._put_documents(documents)), strict=True):
            results[i] = result
        return results

    def _put_documents(self, documents: list[dict[str, Any]]) -> list[PutResult]:
        size, overlap = self._options.chunk_size, self._options.chunk_overlap
        return self._documents().put_documents(documents, chunk_size=size, chunk_overlap=overlap).documents

    def _documents(self) -> Collection:
        return self._client.collection(self._options.collection, tenant=self._options.tenant)

    def _patiently(self, act: Callable[[], T]) -> T:
        """Do it again while the server is busy or restarts, at most `patience_s`: all that is done here may be."""
        give_up = monotonic() + self._options.patience_s
        while True:
            try:
                return act()
            except RateLimited as exc:
                if self._stopped.wait(max(exc.retry_after_s or 0.0, _PAUSE_S)):
                    raise
            except (Unavailable, TransportError) as exc:
                pause_s = max(exc.retry_after_s or 0.0, _PAUSE_S)
                if not may_pass(exc) or monotonic() + pause_s > give_up or self._stopped.wait(pause_s):
                    raise

    def _settle(self) -> None:
        """Wait for the oldest batch, and count what became of it."""
        batch, future = self._pending.popleft()
        report = self._report
        for source, result in zip(batch.sources, future.result(), strict=True):
            if result.status == "failed":
                report.failed += 1
                error = result.error
                reason = "refused" if error is UNSET else f"{error.detail} ({error.code})"
                self._refused(source.where, reason)
            else:
                setattr(report, result.status, getattr(report, result.status) + 1)
                report.n_chunks += result.n_chunks if result.status != "missing" else 0
                report.n_embedded += result.n_embedded
        report.n_files += batch.n_files
        self._n_done += len(batch.sources)
        share = report.n_files / len(self._files) if len(self._files) > 1 else None
        self._progress.update(self._n_done, share, report.failed)

    def _delete_missing(self) -> None:
        """Delete the tenant's documents whose ids have the prefix and whose files are gone."""
        if not self._is_complete:
            raise InvalidArgument("nothing was deleted: some of what is there could not be read, see above")
        if not self._known:
            raise InvalidArgument("nothing was deleted: there is no document at all, which is rarely meant")
        listed = self._documents().documents(self._options.id_prefix or None, page_size=1000)
        gone = [document.id for document in listed if document.id not in self._known]
        for i in range(0, len(gone), _DELETED_TOGETHER):
            ids = gone[i : i + _DELETED_TOGETHER]
            if self._options.dry_run:
                self._report.deleted += len(ids)
            else:
                self._report.deleted += self._patiently(lambda ids=ids: self._documents().delete_documents(ids)).deleted  # type: ignore[misc]
