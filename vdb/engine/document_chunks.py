"""The chunks of a draft, ready to be stored: payloads, and which of them need a vector that is not there yet."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from vdb.engine.batch import Batch
from vdb.engine.document_drafts import Draft
from vdb.engine.document_payloads import checked_payload, chunk_members, hash_of, main_field, text_hash
from vdb.engine.document_write import NOTHING_STORED, Stored
from vdb.engine.services import Services
from vdb.errors import UnreadableDocument
from vdb.rag.chunk import Chunk, ChunkOptions
from vdb.rag.embed.base import Embedder
from vdb.storage.catalog import CollectionDocument
from vdb.storage.chunk_ids import chunk_id
from vdb.storage.codec import Record
from vdb.storage.env import Transaction
from vdb.storage.points import read_records, read_vector

Vectors = dict[int, bytes]
"""Number of a chunk → its vector, little-endian float32."""


@dataclass(slots=True)
class Work:
    """A document on its way into the store. `hashes` of the chunks whose vectors the server makes, "" for others."""

    draft: Draft
    texts: list[str]
    payloads: list[bytes]
    hashes: list[str]
    vectors: Vectors
    stored: Stored = NOTHING_STORED
    records: dict[int, Record] = field(default_factory=dict)
    shared: tuple[int, ...] = ()
    is_new: bool = True
    n_embedded: int = 0

    @property
    def missing(self) -> list[int]:
        """Numbers of the chunks whose vectors have to be made."""
        return [number for number, of_text in enumerate(self.hashes) if of_text and number not in self.vectors]

    @property
    def n_bytes(self) -> int:
        """What it adds to the store, about."""
        return sum(map(len, self.payloads)) + sum(map(len, self.vectors.values())) + 128 * len(self.payloads)


def work_of(
    services: Services, collection: CollectionDocument, draft: Draft, options: ChunkOptions, embedder: Embedder | None
) -> Work:
    """Read a document into chunks; raises UnreadableDocument, TooLarge and its kinds, FieldTypeMismatch."""
    title, media_type, own = draft.title, draft.media_type, draft.given
    if own is not None:
        chunks: Sequence[Chunk] = own.chunks
        vectors = {number: own.vectors[row].tobytes() for number, row in enumerate(own.rows) if row >= 0}
    else:
        if not media_type:
            raise UnreadableDocument("neither media_type nor the id says what kind of document this is")
        parsed = services.extractor.parse(draft.source or b"", media_type, options)
        chunks, vectors, title, media_type = parsed.chunks, {}, title or parsed.title, parsed.media_type
    hashes = [
        "" if embedder is None or number in vectors else text_hash(chunk.text, embedder.name, embedder.version)
        for number, chunk in enumerate(chunks)
    ]
    work = Work(draft, [chunk.text for chunk in chunks], [], hashes, vectors)
    limits, place, name = services.settings.limits, main_field(collection), draft.name
    for number, chunk in enumerate(chunks):
        members = chunk_members(place, chunk, name, number, title)
        if hashes[number]:
            members["hash"] = hashes[number]
        if number == 0:
            members |= {"n_chunks": len(chunks), "content_hash": draft.content_hash}
            members |= {"settings_hash": draft.settings_hashes[0]}
            members |= {"media_type": media_type} if media_type else {}
        members |= draft.payload
        pointer = f"{draft.pointer}/payload"
        if own is not None:
            members |= own.payloads[number]
            pointer = f"{draft.pointer}/chunks/{number}/payload"
        work.payloads.append(checked_payload(members, collection, limits, pointer))
    return work


def look(work: Work, txn: Transaction, owner: int | None, stored: Stored, now_ms: int) -> None:
    """Take notice of what is stored of the document: its grants, and the vectors of texts that are there already."""
    live = stored.first if stored.is_live(now_ms) else None
    kept = () if live is None else live.shared
    work.stored, work.is_new = stored, not stored.pids or (stored.first is not None and live is None)
    work.shared = kept if work.draft.grants is None else work.draft.grants
    work.records = {}
    if owner is None or not stored.pids:
        return
    records = read_records(txn, [(owner, pid) for pid in stored.pids.values()])
    work.records = {
        number: record
        for number, record in zip(stored.pids, records, strict=True)
        if record is not None and not record.is_expired(now_ms)
    }
    pids: dict[str, int] = {}
    for number, record in work.records.items():
        if record.has_vector and (of_text := hash_of(record)):
            pids[of_text] = stored.pids[number]
    for number in work.missing:
        pid = pids.get(work.hashes[number])
        vector = None if pid is None else read_vector(txn, owner, pid)
        if vector is not None:
            work.vectors[number] = vector


def batch_of(work: Work, dimension: int) -> tuple[Batch, list[tuple[int, ...] | None] | None]:
    """The points that have to be written, and their grants: chunks that are stored as they are to be are left alone."""
    numbers = [number for number in range(len(work.payloads)) if not _is_stored(work, number)]
    with_vector = [number for number in numbers if number in work.vectors]
    block = b"".join(work.vectors[number] for number in with_vector)
    vectors: NDArray[np.float32] = np.frombuffer(block, "<f4").reshape(len(with_vector), dimension)
    rows: list[int] | None = None
    if len(with_vector) != len(numbers):
        place = {number: row for row, number in enumerate(with_vector)}
        rows = [place.get(number, -1) for number in numbers]
    expires_at_ms, document, pointer = work.draft.expires_at_ms, work.draft.id, work.draft.pointer
    is_shared = bool(work.shared) or bool(work.records)
    batch = Batch(
        ids=[chunk_id(document, number) for number in numbers],
        payloads=[work.payloads[number] for number in numbers],
        vectors=vectors,
        rows=rows,
        expires_at_ms=[expires_at_ms] * len(numbers) if expires_at_ms else None,
        shared_with=[[]] * len(numbers) if is_shared else None,
        conditions=None,
        pointer=lambda i, field: f"{pointer}/chunks/{numbers[i]}/{field}",
    )
    return batch, [work.shared] * len(numbers) if is_shared else None


def _is_stored(work: Work, number: int) -> bool:
    record = work.records.get(number)
    if record is None or record.payload != work.payloads[number]:
        return False
    if (record.expires_at_ms, record.shared) != (work.draft.expires_at_ms, work.shared):
        return False
    vector = work.vectors.get(number)
    return record.has_vector == (vector is not None) and record.vector_checksum == crc32(vector or b"")
