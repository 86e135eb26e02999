"""The text index against the records it follows from, while these are walked once.

Every audience has a sum over its postings, of hashes that this process alone gives; that of the postings which its
points have must be the same. So a fault names the audience, not the term, and memory is a few numbers per audience. An
index that is being built has the points up to its position; one that is dropped, or of another version of the analyser,
says nothing yet, and is looked at for its form only.
"""

from collections import defaultdict
from collections.abc import Iterator

from vdb.errors import CorruptData
from vdb.storage.catalog import iterate_prefix
from vdb.storage.codec import Record, decode_document
from vdb.storage.env import Transaction
from vdb.storage.keyspace import TEXT_INDEX_KEY, Space, postings_prefix
from vdb.storage.text_changes import terms_of_payload
from vdb.storage.text_index import Analysers, TextAnalyser, TextIndex, audiences_of, decode_statistics
from vdb.storage.text_postings import BLOCK_BYTES, LAST_BLOCK, POSTING_BYTES
from vdb.types import IndexState

_KEY_BYTES = {Space.TEXT_STATISTICS: 5, Space.POSTINGS: 17}
_PREFIX_BYTES = 13


class _Sum:
    """What an audience has: a sum over its postings, its points, their lengths."""

    __slots__ = ("length", "n_points", "postings")

    def __init__(self) -> None:
        self.postings = self.n_points = self.length = 0

    @property
    def statistics(self) -> tuple[int, int]:
        return self.n_points, self.length


class TextCheck:
    """`see` every point, then ask for the faults. `analysers` None: only the form is looked at."""

    def __init__(self, txn: Transaction, analysers: Analysers | None) -> None:
        self._txn = txn
        self._value = txn.get(TEXT_INDEX_KEY)
        self._index = _document_of(self._value)
        self._analyser = _analyser_of(self._index, analysers)
        self._expected: defaultdict[int, _Sum] = defaultdict(_Sum)
        self.are_all_seen = True
        """False once a point could not be read: nobody knows what it had."""

    def see(self, owner: int, pid: int, record: Record) -> None:
        """Count what a point has; raises CorruptData for a payload that is not well formed."""
        index = self._index
        if self._analyser is None or index is None:
            return
        if index.state is IndexState.BUILDING and (owner << 32 | pid) > index.position:
            return
        terms = terms_of_payload(record.payload, index.fields, self._analyser)
        if not terms.length:
            return
        postings = terms.postings(pid)
        for audience in audiences_of(owner, record.shared):
            found, prefix = self._expected[audience], postings_prefix(audience)
            found.postings += sum(hash((prefix + term, posting)) for term, posting in postings.items())
            found.n_points += 1
            found.length += terms.length

    def faults(self) -> Iterator[str]:
        """What is wrong with the index."""
        if self._value is not None and self._index is None:
            yield "the document of the text index is damaged"
        stored: defaultdict[int, _Sum] = defaultdict(_Sum)
        is_formed = True
        for fault in self._walk(stored):
            is_formed = False
            yield fault
        if self._analyser is None or not self.are_all_seen or not is_formed:
            return
        for audience in sorted(self._expected.keys() | stored.keys()):
            expected, found = self._expected[audience], stored[audience]
            if expected.statistics != found.statistics:
                yield f"the text index of audience {audience} counts {found.statistics}, not {expected.statistics}"
            if expected.postings != found.postings:
                yield f"the text index of audience {audience} has other postings than its points"

    def _walk(self, stored: defaultdict[int, _Sum]) -> Iterator[str]:
        """Sum up what is stored; what has not the form that it should have."""
        for key, value in iterate_prefix(self._txn, bytes((Space.TEXT_STATISTICS,))):
            if self._value is None:
                yield f"entry {key.hex()} is of no text index"
            elif len(key) == _KEY_BYTES[Space.TEXT_STATISTICS]:  # other keys are of no known space
                try:
                    found = stored[int.from_bytes(key[1:], "big")]
                    found.n_points, found.length = decode_statistics(value)
                except CorruptData as exc:
                    yield f"entry {key.hex()}: {exc.detail}"
        before = b""
        for key, value in iterate_prefix(self._txn, bytes((Space.POSTINGS,))):
            if len(key) != _KEY_BYTES[Space.POSTINGS]:
                continue
            if self._value is None:
                yield f"entry {key.hex()} is of no text index"
                continue
            prefix = key[:_PREFIX_BYTES]
            follows = before[:_PREFIX_BYTES] == prefix
            if not follows and before and not before.endswith(LAST_BLOCK):
                yield f"entry {before.hex()} of the text index is not followed by its term's last block"
            lower = int.from_bytes(before[_PREFIX_BYTES:], "big") if follows else -1
            if not _is_block(value, lower, int.from_bytes(key[_PREFIX_BYTES:], "big")):
                yield f"entry {key.hex()} of the text index is not a block of postings"
            else:
                found = stored[int.from_bytes(key[1:5], "big")]
                found.postings += sum(hash((prefix, posting)) for posting in _postings(value))
            before = key
        if before and not before.endswith(LAST_BLOCK):
            yield f"entry {before.hex()} of the text index is not followed by its term's last block"


def _document_of(value: bytes | None) -> TextIndex | None:
    if value is None:
        return None
    try:
        return decode_document(value, TextIndex)
    except CorruptData:
        return None


def _analyser_of(index: TextIndex | None, analysers: Analysers | None) -> TextAnalyser | None:
    """The analyser to compare with, None where there is nothing to be compared."""
    if index is None or analysers is None or index.state is IndexState.DROPPING:
        return None
    try:
        analyser = analysers(index.language)
    except KeyError:
        return None
    return analyser if analyser.version == index.version else None


def _postings(block: bytes) -> list[int]:
    return [int.from_bytes(block[at : at + POSTING_BYTES], "little") for at in range(0, len(block), POSTING_BYTES)]


def _is_block(block: bytes, lower: int, upper: int) -> bool:
    """Whether a block's postings are, and ascend between the pids that it and the block before it stand under."""
    if not block or len(block) % POSTING_BYTES or len(block) > BLOCK_BYTES:
        return False
    for posting in _postings(block):
        if not lower < posting >> 32 <= upper or not posting & 0xFFFF or not posting >> 16 & 0xFFFF:
            return False
        lower = posting >> 32
    return True
