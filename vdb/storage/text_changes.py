"""Changes of the text index, collected over the writes of one commit and stored at its end.

What is noted is a point's payload and grants before and after; texts are analysed when the commit is sure, and each
term's postings are read and written once. Building is exact: a point before the position is kept by its own writes, one
after it is left to the building, which commits its position with what it enters.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from vdb.errors import CorruptData, TooLarge
from vdb.protocol.paths import find
from vdb.storage.catalog import iterate_prefix
from vdb.storage.codec import decode_record
from vdb.storage.entries import is_known
from vdb.storage.env import Transaction
from vdb.storage.keyspace import Space, pair_of, postings_prefix, record_key
from vdb.storage.text_index import (
    Analysers,
    TextAnalyser,
    TextIndex,
    audiences_of,
    drop_entries,
    put_text_index,
    read_text_index,
)
from vdb.storage.text_postings import MAX_COUNT, move_postings, move_statistics
from vdb.types import IndexState

logger = logging.getLogger(__name__)

PORTION_BYTES = 4 << 20
"""Payloads whose postings are held in memory at once."""

MAX_SPREAD_BYTES = 16 << 20
"""Payloads of a request, times the grantees that they are entered for: a commit of more would take many seconds."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode

_Moves = dict[int, defaultdict[bytes, list[int]]]
"""Audience → hash of a term → postings."""

Side = tuple[bytes, tuple[int, ...]]
"""A point's payload and grants."""


class Note(NamedTuple):
    """A point went from `old` to `new`; None: it was, or is, not there."""

    owner: int
    pid: int
    old: Side | None
    new: Side | None


class PointTerms(NamedTuple):
    """Terms of a point by their hash, with their frequency, and its length."""

    frequencies: dict[bytes, int]
    length: int

    def postings(self, pid: int) -> dict[bytes, int]:
        """Hash → posting."""
        high = pid << 32 | self.length << 16
        return {term: high | frequency for term, frequency in self.frequencies.items()}


NO_TERMS = PointTerms({}, 0)


def terms_of_payload(payload: bytes, fields: dict[str, int], analyser: TextAnalyser) -> PointTerms:
    """What the index holds of a payload (its JSON bytes, b"" for {}); raises CorruptData for one that is damaged."""
    if not payload:
        return NO_TERMS
    try:
        document = _decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise CorruptData("a stored payload is not a JSON object") from exc
    frequencies: dict[bytes, int] = {}
    for field, weight in fields.items():
        for text in _texts(find(document, field)):
            found = analyser.frequencies(text)
            if not frequencies and weight == 1:
                frequencies = found
                continue
            for term, n in found.items():
                frequencies[term] = frequencies.get(term, 0) + weight * n
    length = sum(frequencies.values())
    if length > MAX_COUNT:
        return PointTerms({term: min(n, MAX_COUNT) for term, n in frequencies.items()}, MAX_COUNT)
    return PointTerms(frequencies, length)


def _texts(value: object) -> Iterable[str]:
    """A string, or the strings of a list; any other value has no text."""
    if isinstance(value, str):
        return (value,)
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else ()


class TextChanges:
    """What one commit changes in the text index. Used by one thread; `flush` is its last act."""

    def __init__(self, index: TextIndex | None, analysers: Analysers | None) -> None:
        """`index` is what is stored; where it is of another version of the analyser, it is dropped at the end."""
        self.index = index
        self.analysers = analysers
        self._analyser = _analyser_of(index, analysers)
        self._noted: list[Note] = []
        self._spread_bytes = 0
        self._first = 0
        """Notes before it were of an index that was dropped since."""

    @property
    def is_kept(self) -> bool:
        """Whether there is an index that takes changes."""
        return self._analyser is not None

    def note(self, owner: int, pid: int, old: Side | None, new: Side | None) -> None:
        """A point's payload and grants went from `old` to `new`; None: it was, or is, not there."""
        if self._is_entered(owner, pid) and old != new:
            if new is not None and new[1]:
                self._count_spread(owner, old, new)
            self._noted.append(Note(owner, pid, old, new))

    def _count_spread(self, owner: int, old: Side | None, new: Side) -> None:
        """Raise TooLarge where a request enters more text for grantees than others can wait for."""
        is_same = old is not None and old[0] == new[0]
        if old is not None and is_same and set(new[1]) <= set(old[1]):
            return  # what is taken back is never refused
        before = audiences_of(owner, old[1]) if old is not None and is_same else (owner,)
        self._spread_bytes += len(new[0]) * len(set(audiences_of(owner, new[1])).difference(before))
        if self._spread_bytes > MAX_SPREAD_BYTES:
            raise TooLarge(
                f"texts of a request times those they are granted to are at most {MAX_SPREAD_BYTES} bytes: send fewer "
                "points at once, or share them with everyone"
            )

    def note_new(self, owner: int, first_pid: int, payloads: Iterable[bytes]) -> None:
        """New points of an owner, without grants, have the pids from `first_pid` on."""
        if not self.is_kept:
            return
        for pid, payload in enumerate(payloads, first_pid):
            if payload and self._is_entered(owner, pid):
                self._noted.append(Note(owner, pid, None, (payload, ())))

    def _is_entered(self, owner: int, pid: int) -> bool:
        index = self.index
        if self._analyser is None or index is None:
            return False
        return index.state is IndexState.READY or (owner << 32 | pid) <= index.position

    def fill(self, owner: int, pid: int, record: bytes) -> None:
        """The building has come to a point. What a damaged record held nobody knows."""
        try:
            found = decode_record(record)
        except CorruptData as exc:
            logger.error("a point is not in the text index", exc_info=exc, extra={"owner": owner, "pid": pid})
            return
        self._noted.append(Note(owner, pid, None, (found.payload, found.shared)))

    def become(self, txn: Transaction, index: TextIndex) -> None:
        """From now on the index is in another state, or another one."""
        if self.index is None or index.state is IndexState.DROPPING or not index.is_of(self.index):
            self._first = len(self._noted)
        self.index = index
        self._analyser = _analyser_of(index, self.analysers)
        put_text_index(txn, index)

    def vanish(self) -> None:
        """The index is gone."""
        self.index = self._analyser = None
        self._first = len(self._noted)

    def mark(self) -> Any:
        """What `restore` needs to forget what is noted after this moment: another request begins."""
        self._spread_bytes = 0
        return len(self._noted), self._first, self.index, self._analyser

    def restore(self, mark: Any) -> None:
        n_noted, self._first, self.index, self._analyser = mark
        del self._noted[n_noted:]

    def flush(self, txn: Transaction) -> None:
        """Store what was noted. An index that turns out to be damaged, or outdated, is dropped, to be built anew."""
        index, analyser = self.index, self._analyser
        if index is None or index.state is IndexState.DROPPING:
            return
        if analyser is None:
            put_text_index(txn, replace(index, state=IndexState.DROPPING))
            return
        try:
            for portion in self._portions():
                _Portion(index.fields, analyser).store(txn, portion)
        except CorruptData as exc:
            logger.error("the text index is damaged", exc_info=exc)
            put_text_index(txn, replace(index, state=IndexState.DROPPING))

    def _portions(self) -> Iterator[list[Note]]:
        """The notes in order, cut where a point comes again and before they are too many."""
        portion: list[Note] = []
        pids: set[int] = set()
        n_bytes = 0
        for place in range(self._first, len(self._noted)):
            note = self._noted[place]
            if note.pid in pids or n_bytes > PORTION_BYTES:
                yield portion
                portion, pids, n_bytes = [], set(), 0
            portion.append(note)
            pids.add(note.pid)
            n_bytes += sum(len(side[0]) * (1 + len(side[1])) for side in (note.old, note.new) if side is not None)
        if portion:
            yield portion


def _analyser_of(index: TextIndex | None, analysers: Analysers | None) -> TextAnalyser | None:
    """The analyser that the index was made with, None where there is none any more."""
    if index is None or index.state is IndexState.DROPPING or analysers is None:
        return None
    try:
        analyser = analysers(index.language)
    except KeyError:
        return None
    return analyser if analyser.version == index.version else None


class _Portion:
    """Postings and statistics that some notes move; each point comes once."""

    def __init__(self, fields: dict[str, int], analyser: TextAnalyser) -> None:
        self._fields = fields
        self._analyser = analyser
        self._added: _Moves = {}
        self._removed: _Moves = {}
        self._statistics: dict[int, tuple[int, int]] = {}

    def store(self, txn: Transaction, notes: list[Note]) -> None:
        """Raises CorruptData where what is stored does not agree."""
        for note in notes:
            self._move(note)
        move_postings(txn, _by_prefix(self._added), _by_prefix(self._removed))
        move_statistics(txn, {audience: more for audience, more in self._statistics.items() if more != (0, 0)})

    def _move(self, note: Note) -> None:
        old, new = note.old, note.new
        before = self._terms(old)
        after = before if old is not None and new is not None and old[0] == new[0] else self._terms(new)
        those_before = audiences_of(note.owner, old[1]) if old is not None else ()
        those_after = audiences_of(note.owner, new[1]) if new is not None else ()
        for audience in those_before:
            _note(self._removed, audience, note.pid, before, after if audience in those_after else NO_TERMS)
            self._count(audience, before, -1)
        for audience in those_after:
            _note(self._added, audience, note.pid, after, before if audience in those_before else NO_TERMS)
            self._count(audience, after, 1)

    def _terms(self, side: Side | None) -> PointTerms:
        if side is None:
            return NO_TERMS
        try:
            return terms_of_payload(side[0], self._fields, self._analyser)
        except CorruptData as exc:
            logger.error("a payload is not in the text index", exc_info=exc)
            return NO_TERMS

    def _count(self, audience: int, terms: PointTerms, sign: int) -> None:
        if terms.length:
            n_points, length = self._statistics.get(audience, (0, 0))
            self._statistics[audience] = n_points + sign, length + sign * terms.length


def _note(moves: _Moves, audience: int, pid: int, terms: PointTerms, kept: PointTerms) -> None:
    """Note the postings of a point's terms, but for those that `kept` has too."""
    mine = moves.get(audience)
    if mine is None:
        mine = moves[audience] = defaultdict(list)
    high = pid << 32 | terms.length << 16
    if terms.length != kept.length:  # every posting says the length
        for term, n in terms.frequencies.items():
            mine[term].append(high | n)
        return
    for term, n in terms.frequencies.items():
        if kept.frequencies.get(term) != n:
            mine[term].append(high | n)


def _by_prefix(moves: _Moves) -> dict[bytes, list[int]]:
    found: dict[bytes, list[int]] = {}
    for audience, of_terms in moves.items():
        prefix = postings_prefix(audience)
        for term, postings in of_terms.items():
            found[prefix + term] = postings
    return found


def text_step(txn: Transaction, changes: TextChanges, wanted: TextIndex | None, n_most: int) -> tuple[int, bool]:
    """Bring the text index a step nearer to what is wanted: (points or keys done, whether nothing is left to do).

    Each step is a commit of its own, or part of one.
    """
    index = changes.index
    if index is None:
        if wanted is not None:
            changes.become(txn, wanted)
        return 0, wanted is None
    if index.state is IndexState.DROPPING:
        n_done = drop_entries(txn, n_most)
        if n_done < n_most:
            changes.vanish()
        return n_done, False
    if wanted is None or not index.is_of(wanted):
        changes.become(txn, replace(index, state=IndexState.DROPPING))
        return 0, False
    return (_fill(txn, changes, index, n_most), False) if index.state is IndexState.BUILDING else (0, True)


def _fill(txn: Transaction, changes: TextChanges, index: TextIndex, n_most: int) -> int:
    """Enter the next points."""
    position = index.position
    after = record_key(position >> 32, position & 0xFFFF_FFFF)[1:]
    n_seen = 0
    for key, value in iterate_prefix(txn, bytes((Space.RECORD,)), after):
        if n_seen == n_most:
            break
        n_seen += 1
        if is_known(key):
            owner, pid = pair_of(key)
            position = owner << 32 | pid
            changes.fill(owner, pid, value)
    is_done = n_seen < n_most
    state = IndexState.READY if is_done else IndexState.BUILDING
    changes.become(txn, replace(index, state=state, position=0 if is_done else position))
    return n_seen


def make_text_index(txn: Transaction, wanted: TextIndex) -> None:
    """The text index of a collection without points: nothing is to be built."""
    put_text_index(txn, replace(wanted, state=IndexState.READY))


def is_text_whole(txn: Transaction, wanted: TextIndex | None) -> bool:
    """Whether the text index is what is wanted, and ready."""
    index = read_text_index(txn)
    if index is None or wanted is None:
        return index is None and wanted is None
    return index.state is IndexState.READY and index.is_of(wanted)
