"""A collection's environment with a text index, written by the functions that the engine writes with, and its oracle.

The oracle keeps plain dictionaries: what stands in the store must be what they give when everything is counted anew.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vdb.rag.analysis import analyser_of
from vdb.rag.sparse import TextQuery, prepare
from vdb.storage.catalog import iterate_prefix
from vdb.storage.codec import Record
from vdb.storage.create import create_environment
from vdb.storage.env import Environment, Transaction
from vdb.storage.index_changes import IndexChanges
from vdb.storage.keyspace import Space
from vdb.storage.points import put_point, remove_point
from vdb.storage.text_changes import TextChanges, terms_of_payload
from vdb.storage.text_index import audiences_of, decode_statistics, read_text_index, wanted_index
from vdb.storage.text_postings import term_hash

FIELDS = {"text": 1, "title": 3}
Stored = tuple[dict[int, tuple[int, int]], dict[tuple[int, bytes], dict[int, tuple[int, int]]]]
"""Statistics by audience; (audience, term's hash) → pid → (frequency, length)."""


class TextWorld:
    """Points of many owners, by pid, and the store that holds them."""

    def __init__(self, path: Path, language: str = "none", fields: dict[str, int] | None = None) -> None:
        self.fields = fields or FIELDS
        self.analyser = analyser_of(language)
        text = wanted_index(self.fields, language, analyser_of)
        create_environment(path, map_bytes=1 << 24, max_map_bytes=1 << 30, collection_id=1, text=text)
        self.env = Environment(path, map_bytes=1 << 24, max_map_bytes=1 << 30)
        self.points: dict[int, tuple[int, Record]] = {}

    @contextmanager
    def commit(self) -> Iterator[tuple[Transaction, IndexChanges]]:
        with self.env.write() as txn:
            changes = IndexChanges((), TextChanges(read_text_index(txn), analyser_of))
            yield txn, changes
            changes.flush(txn)

    def put(
        self, txn: Transaction, changes: IndexChanges, pid: int, owner: int, payload: dict[str, object],
        shared: Sequence[int] = (),
    ) -> None:  # fmt: skip
        """Insert or replace a point."""
        old = self.points.get(pid)
        record = Record(b"%d" % pid, 1, 1, 0, tuple(sorted(shared)), json.dumps(payload).encode(), False, 0)
        put_point(txn, changes, owner, pid, old[1] if old else None, record, None)
        self.points[pid] = owner, record

    def remove(self, txn: Transaction, changes: IndexChanges, pid: int) -> None:
        owner, record = self.points.pop(pid)
        remove_point(txn, changes, owner, pid, record)

    def insert(self, texts: Sequence[str], owner: int = 1, shared: Sequence[int] = ()) -> None:
        """New points with these texts, in one commit."""
        first = max(self.points, default=-1) + 1
        with self.commit() as (txn, changes):
            for pid, text in enumerate(texts, first):
                self.put(txn, changes, pid, owner, {"text": text}, shared)

    def query(self, tenant: int, text: str) -> TextQuery:
        with self.env.read() as txn:
            return prepare(txn, tenant, self.analyser.terms(text))

    def expected(self) -> Stored:
        """What the store must hold, counted from the points."""
        statistics: dict[int, tuple[int, int]] = {}
        postings: dict[tuple[int, bytes], dict[int, tuple[int, int]]] = {}
        for pid, (owner, record) in self.points.items():
            terms = terms_of_payload(record.payload, self.fields, self.analyser)
            for audience in audiences_of(owner, record.shared) if terms.length else ():
                n_points, length = statistics.get(audience, (0, 0))
                statistics[audience] = n_points + 1, length + terms.length
                for term, frequency in terms.frequencies.items():
                    postings.setdefault((audience, term), {})[pid] = frequency, terms.length
        return statistics, postings

    def stored(self) -> Stored:
        """What it holds; asserts that blocks ascend, lie where they should, and are of a right size."""
        statistics: dict[int, tuple[int, int]] = {}
        postings: dict[tuple[int, bytes], dict[int, tuple[int, int]]] = {}
        with self.env.read() as txn:
            for key, value in iterate_prefix(txn, bytes((Space.TEXT_STATISTICS,))):
                statistics[int.from_bytes(key[1:], "big")] = decode_statistics(value)
            place, last = b"", -1
            for key, value in iterate_prefix(txn, bytes((Space.POSTINGS,))):
                if key[:13] != place:
                    assert not place or last == 0xFFFF_FFFF, "the last block of a term stands under the last pid"
                    place, last = key[:13], -1
                upper = int.from_bytes(key[13:], "big")
                assert value and len(value) % 8 == 0 and len(value) <= 1_984
                mine = postings.setdefault((int.from_bytes(key[1:5], "big"), key[5:13]), {})
                for at in range(0, len(value), 8):
                    frequency, length, pid = (int.from_bytes(value[at + i : at + j], "little") for i, j in _PARTS)
                    assert last < pid <= upper
                    last = pid
                    mine[pid] = frequency, length
                last = upper
            assert not place or last == 0xFFFF_FFFF
        return statistics, postings


_PARTS = ((0, 2), (2, 4), (4, 8))


def plain_terms(texts: Sequence[str]) -> Counter[bytes]:
    """Hashes of words as the analyser of no language has them."""
    return Counter(term_hash(term) for text in texts for term in analyser_of("none").terms(text))
