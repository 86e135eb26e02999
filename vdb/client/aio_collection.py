"""Points of one collection: the methods, written once for asyncio; `collection.py` is generated from this file.

Every method builds a call, hands it to the transport and returns what the call makes of the answer. Errors are those of
`vdb.errors`, the same in process, over HTTP and here.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from time import monotonic
from typing import Any, Literal, Protocol, TypeVar, Unpack

from numpy.typing import ArrayLike

from vdb.client import answer_calls, calls, document_calls, point_calls, template_calls
from vdb.client.aio_answer_stream import AsyncAnswerStream, AsyncIncoming
from vdb.client.answer_calls import AnswerOptions
from vdb.client.point_calls import Hits
from vdb.client.progress import progress_bar
from vdb.client.upload import Upload, in_upload
from vdb.client.wire import Call
from vdb.errors import InternalError, TransportTimeout, VdbError
from vdb.protocol.answer_answers import CitedAnswer
from vdb.protocol.answers import Deleted, Done, FusionLearned, Job, Point
from vdb.protocol.calibrating import AnswersCalibrated
from vdb.protocol.document_answers import Document, DocumentsDeleted, DocumentsPut
from vdb.protocol.template_answers import Template, TemplateVersions

T = TypeVar("T")

Filter = Mapping[str, Any] | None
Scope = Literal["own", "visible"]
Text = str | None

_FIRST_POLL_S, _LAST_POLL_S = 0.02, 0.5


class AsyncTransport(Protocol):
    """What carries calls out: HTTP, or an engine in this process."""

    async def execute(self, sent: Call[T], tenant: str | None) -> T: ...

    async def open_stream(self, sent: Call[Any], tenant: str | None) -> AsyncIncoming: ...

    async def close(self) -> None: ...

    async def sleep(self, seconds: float) -> None: ...


async def wait_for_job(transport: AsyncTransport, job_id: str, tenant: str | None, timeout_s: float) -> Job:
    """The finished job; raises InternalError if it failed, TransportTimeout if it is not done after `timeout_s`."""
    deadline, poll_s = monotonic() + timeout_s, _FIRST_POLL_S
    while True:
        job = await transport.execute(calls.get_job(job_id), tenant)
        if job.state == "failed":
            raise InternalError(f"job {job_id} failed: {job.error}")
        if job.state == "done":
            return job
        if monotonic() + poll_s > deadline:
            raise TransportTimeout(f"job {job_id} is still {job.state} after {timeout_s} s")
        await transport.sleep(poll_s)
        poll_s = min(2 * poll_s, _LAST_POLL_S)


class AsyncCollection:
    """The points of one collection, for one tenant. As safe to share as the client it comes from; nothing to close.

    `tenant` None means the tenant of the key. Reads take `min_sequence`: they wait up to `timeout_s` until that write
    is visible, then raise SequenceTimeout.
    """

    def __init__(self, transport: AsyncTransport, name: str, tenant: str | None) -> None:
        self._transport, self._name, self._tenant = transport, name, tenant

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r}, tenant={self._tenant!r})"

    @property
    def name(self) -> str:
        return self._name

    @property
    def tenant(self) -> str | None:
        return self._tenant

    async def upsert(
        self,
        ids: Sequence[str],
        vectors: ArrayLike | Sequence[Any] | None = None,
        payloads: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        expires_at: datetime | Sequence[datetime | None] | None = None,
        shared_with: Sequence[str] | Sequence[Sequence[str] | None] | None = None,
        if_version: int | Sequence[int | None] | None = None,
        if_absent: bool | Sequence[bool | None] | None = None,
        owner: str | None = None,
        ack: str = "durable",
        chunk_size: int = 1000,
        progress: bool = False,
    ) -> int:
        """Insert or replace points; returns the collection's sequence after the last one.

        `vectors` is (n, d), None, or a list with None for points without one. Columns take one value for all points or
        one per point. Each chunk of `chunk_size` points is all or none; the upload as a whole is not. Conditional
        writes (`if_version`, `if_absent`) are never sent twice. `progress` shows a bar if tqdm is installed. `ack`
        "queued" does not wait for the commit and returns 0: a crash of the server may lose what it answered.
        """
        conditions = {"if_version": if_version, "if_absent": if_absent}
        upload = Upload(
            self._name, ids, vectors, payloads, owner, ack, expires_at=expires_at, shared_with=shared_with, **conditions
        )
        sequence = 0
        with progress_bar(upload.n_points, progress) as bar:
            for chunk in upload.chunks(chunk_size):
                try:
                    sequence = await self._run(chunk.call)
                except VdbError as exc:
                    raise in_upload(exc, chunk.start) from exc.__cause__
                bar.update(chunk.stop - chunk.start)
        return sequence

    async def search(
        self,
        vector: ArrayLike | None = None,
        limit: int = 10,
        *,
        text: str | Sequence[str] | None = None,
        mode: str | None = None,
        fusion: Mapping[str, Any] | None = None,
        reranker: Mapping[str, Any] | None = None,
        group: str | Mapping[str, Any] | None = None,
        combine: str | None = None,
        weights: Sequence[float] | None = None,
        filter: Filter = None,
        max_distance: float | None = None,
        with_payload: bool = True,
        with_vector: bool = False,
        explain: bool = False,
        exact: bool = False,
        recall: float | None = None,
        budget: int | None = None,
        rerank: int | None = None,
        backend: str | None = None,
        min_sequence: int = 0,
        timeout_s: float = 10.0,
    ) -> Hits:
        """The `limit` nearest points of a vector (d,), nearest first; of a matrix (q, d), one `Hits` per row.

        `recall` (0.5 to below 1; None: 0.99, on tier `disk` 0.95) is the share of the true neighbours to be found.
        `budget` (rows scored) and `rerank` (rows compared by their full vectors, `limit` and more) set its effort by
        hand. `exact` compares with every vector and takes none of the three. `backend` is auto, cpu or gpu.

        By `text` (a list of texts for a matrix) the best come first, by `score`: `mode` dense, sparse or hybrid, not
        given the widest that is possible. `fusion` (kind, weight, rrf_k, depth), `reranker` (by, depth, diversity,
        model, query), `group` (a field, or field and size), `combine` (rrf, max, sum: several queries, one list, with
        `weights`) are as in the HTTP API.
        """
        params: dict[str, Any] = {"recall": recall, "budget": budget, "rerank": rerank, "backend": backend}
        params["exact"] = None if exact is False else exact
        fields: dict[str, Any] = {"limit": limit, "with_payload": with_payload, "with_vector": with_vector}
        fields |= {"explain": explain, "min_sequence": min_sequence, "timeout_s": timeout_s}
        named = {"field": group} if isinstance(group, str) else group
        ranked: dict[str, Any] = {"text": text, "mode": mode, "fusion": fusion, "reranker": reranker, "group": named}
        ranked |= {"combine": combine, "weights": weights}
        return await self._run(point_calls.search(self._name, vector, filter, max_distance, params, fields, ranked))

    async def answer(self, question: str, *, wait_s: float = 300.0, **options: Unpack[AnswerOptions]) -> CitedAnswer:
        """Answer a question, sentence by sentence, each with the points that it cites; see docs/answers.md.

        `options`: `limit`, `vector` (d,), `mode`, `fusion`, `reranker`, `filter`, `params` as in the HTTP API's search;
        `context`, `threshold`, `template`, `cache` ("off", "refresh" or a mapping), `backend`, `max_tokens`,
        `temperature`, `seed`, `with_texts`, `explain`, `min_sequence`, `timeout_s`. It may take `wait_s` seconds.
        """
        return await self._run(answer_calls.answer(self._name, question, wait_s, options))

    def answer_stream(self, question: str, **options: Unpack[AnswerOptions]) -> AsyncAnswerStream:
        """The events of an answer as they come; nothing is sent until it is entered or read. Close it, or use `with`.

        It is sent again only until its first event. Leaving it before its end stops the answer.
        """
        return AsyncAnswerStream(self._transport, answer_calls.stream(self._name, question, options), self._tenant)

    async def learn_fusion(
        self,
        queries: Sequence[Mapping[str, Any]],
        *,
        metric: str = "ndcg",
        at: int = 10,
        field: str | None = None,
        dry_run: bool = False,
        min_sequence: int = 0,
        timeout_s: float = 10.0,
    ) -> FusionLearned:
        """Learn from judged queries how the legs of a hybrid search are fused, and keep it if it wins; for admins.

        A query is `text`, `relevant` (ids of points, or with `field` values of it, each with a grade) and maybe a
        `vector` (d,), which all have or none, and the `tenant` that asks, where it is not the client's. What is learned
        holds for every tenant of the collection.
        """
        fields: dict[str, Any] = {"metric": metric, "at": at, "dry_run": dry_run}
        fields |= {"min_sequence": min_sequence, "timeout_s": timeout_s}
        return await self._run(point_calls.learn_fusion(self._name, queries, field, fields))

    async def calibrate_answers(
        self,
        questions: Sequence[Mapping[str, Any]],
        *,
        max_lost: float = 0.05,
        dry_run: bool = False,
        min_sequence: int = 0,
        timeout_s: float = 10.0,
    ) -> AnswersCalibrated:
        """Choose the support below which answers are "not found", and keep it; for admins.

        A question is `text`, `answerable` (whether its tenant's points hold an answer), and maybe a `vector` (d,) and
        the `tenant` that asks. Of answerable ones at most `max_lost` are to be refused; it holds for every tenant.
        """
        fields: dict[str, Any] = {"max_lost": max_lost, "dry_run": dry_run}
        fields |= {"min_sequence": min_sequence, "timeout_s": timeout_s}
        return await self._run(point_calls.calibrate_answers(self._name, questions, fields))

    async def templates(self) -> list[TemplateVersions]:
        """The prompt templates of the collection and the versions that are kept; for admins."""
        return await self._run(template_calls.templates(self._name))

    async def template(self, name: str, version: int | None = None) -> Template:
        """A template, its newest version unless another is named; `default` is the built-in one."""
        return await self._run(template_calls.template(self._name, name, version))

    async def put_template(
        self, name: str, *, system: Text = None, passage: Text = None, question: Text = None, not_found: Text = None
    ) -> Template:
        """Put a template whole, as a new version; texts that are not given are those of the built-in one."""
        return await self._run(template_calls.put_template(self._name, name, system, passage, question, not_found))

    async def delete_template(self, name: str) -> Done:
        """Delete a template and all its versions; raises Conflict while the collection's `answering` names it."""
        return await self._run(template_calls.delete_template(self._name, name))

    async def get(
        self,
        ids: Sequence[str],
        *,
        owner: str | None = None,
        with_payload: bool = True,
        with_vector: bool = False,
        min_sequence: int = 0,
        timeout_s: float = 10.0,
    ) -> list[Point]:
        """Points by id in the order asked; those that do not exist or may not be seen are left out."""
        fields: dict[str, Any] = {"with_payload": with_payload, "with_vector": with_vector}
        fields |= {"min_sequence": min_sequence, "timeout_s": timeout_s}
        return await self._run(point_calls.get(self._name, ids, owner, fields))

    async def delete(
        self,
        ids: Sequence[str] | None = None,
        *,
        filter: Filter = None,
        scope: Scope = "own",
        owner: str | None = None,
        if_version: int | None = None,
        wait: bool = True,
        timeout_s: float = 600.0,
    ) -> Deleted | Job:
        """Delete by ids, at once, or by filter: a job, finished on return if `wait`, for at most `timeout_s`."""
        done = await self._run(point_calls.delete(self._name, ids, filter, scope, owner, if_version))
        if isinstance(done, Job) and wait:
            return await wait_for_job(self._transport, done.id, self._tenant, timeout_s)
        return done

    async def scroll(
        self,
        filter: Filter = None,
        *,
        scope: Scope = "own",
        page_size: int = 256,
        with_payload: bool = True,
        with_vector: bool = False,
        min_sequence: int = 0,
        timeout_s: float = 10.0,
    ) -> AsyncIterator[Point]:
        """All matching points in insertion order, read page by page as the iterator goes."""
        cursor: str | None = None
        while True:
            points, cursor = await self.scroll_page(
                filter,
                cursor=cursor,
                scope=scope,
                page_size=page_size,
                with_payload=with_payload,
                with_vector=with_vector,
                min_sequence=min_sequence,
                timeout_s=timeout_s,
            )
            for point in points:
                yield point
            if cursor is None:
                return

    async def scroll_page(
        self,
        filter: Filter = None,
        *,
        cursor: str | None = None,
        scope: Scope = "own",
        page_size: int = 256,
        with_payload: bool = True,
        with_vector: bool = False,
        min_sequence: int = 0,
        timeout_s: float = 10.0,
    ) -> tuple[list[Point], str | None]:
        """One page of `scroll` from `cursor` on, and the cursor of the next page, None at the end: to go on later."""
        fields: dict[str, Any] = {"limit": page_size, "scope": scope, "with_payload": with_payload}
        fields |= {"with_vector": with_vector, "min_sequence": min_sequence, "timeout_s": timeout_s}
        return await self._run(point_calls.scroll_page(self._name, filter, cursor, fields))

    async def count(
        self, filter: Filter = None, *, scope: Scope = "own", min_sequence: int = 0, timeout_s: float = 10.0
    ) -> int:
        """How many points match."""
        fields = {"scope": scope, "min_sequence": min_sequence, "timeout_s": timeout_s}
        return await self._run(point_calls.count(self._name, filter, fields))

    async def update_payload(
        self,
        ids: Sequence[str],
        payloads: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        mode: Literal["merge", "replace"] = "merge",
        *,
        if_version: int | Sequence[int | None] | None = None,
        owner: str | None = None,
    ) -> int:
        """Merge (RFC 7396) or replace payloads, all or none; one for all ids or one each. Returns the sequence."""
        return await self._run(point_calls.update_payload(self._name, ids, payloads, mode, if_version, owner))

    async def grant(self, ids: Sequence[str], to: Sequence[str], *, owner: str | None = None) -> int:
        """Let tenants see points (`["*"]`: every tenant of the collection). Idempotent. Returns the sequence."""
        return await self._run(point_calls.share(self._name, "grant", ids, to, owner))

    async def revoke(self, ids: Sequence[str], to: Sequence[str], *, owner: str | None = None) -> int:
        """Take grants back. Idempotent. Returns the sequence."""
        return await self._run(point_calls.share(self._name, "revoke", ids, to, owner))

    async def put_documents(
        self,
        documents: Sequence[Mapping[str, Any]],
        *,
        chunk_size: int | None = None,
        chunk_overlap: int | None = None,
        owner: str | None = None,
        progress: bool = False,
    ) -> DocumentsPut:
        """Insert or replace documents, each all or nothing; `documents` of the answer says what became of each.

        A document has `id`, and `text`, `data` (bytes of a file) or `chunks` ({"text": …, "vector": …, …}); it may have
        `media_type`, `title`, `payload`, `expires_at`, `shared_with`, `content_hash`. Those that are stored as they are
        stay untouched. `chunk_size` and `chunk_overlap` count words (None: the server's). Sent in pieces of 16 MiB.
        """
        put = DocumentsPut(sequence=0, documents=[])
        sizes = {"size": chunk_size, "overlap": chunk_overlap}
        with progress_bar(len(documents), progress) as bar:
            for piece in document_calls.pieces(self._name, documents, sizes, owner):
                try:
                    found = await self._run(piece.call)
                except VdbError as exc:
                    raise document_calls.in_pieces(exc, piece.start) from exc.__cause__
                put.sequence = max(put.sequence, found.sequence)
                put.documents += document_calls.moved(found, piece.start).documents
                bar.update(len(found.documents))
        return put

    async def documents(self, prefix: str | None = None, *, page_size: int = 256) -> AsyncIterator[Document]:
        """The tenant's own documents in the order of their ids, those that begin with `prefix`, page by page."""
        cursor: str | None = None
        while True:
            found, cursor = await self._run(document_calls.list_page(self._name, prefix, cursor, page_size))
            for document in found:
                yield document
            if cursor is None:
                return

    async def get_documents(
        self,
        ids: Sequence[str],
        *,
        with_chunks: bool = False,
        owner: str | None = None,
        min_sequence: int = 0,
        timeout_s: float = 10.0,
    ) -> list[Document]:
        """Documents by id in the order asked; those that do not exist or may not be seen are left out."""
        fields: dict[str, Any] = {"with_chunks": with_chunks, "min_sequence": min_sequence, "timeout_s": timeout_s}
        return await self._run(document_calls.get(self._name, ids, owner, fields))

    async def delete_documents(self, ids: Sequence[str], *, owner: str | None = None) -> DocumentsDeleted:
        """Delete documents with their chunks, each in one commit; ids that do not exist are no error."""
        return await self._run(document_calls.delete(self._name, ids, owner))

    async def _run(self, sent: Call[T]) -> T:
        return await self._transport.execute(sent, self._tenant)
