"""Filters to sets of pids: what the payload indexes of a collection know of a filter, in one snapshot.

A set may be more than the matches, never less: where a part has no index, or values that are not listed, the records
decide. Every part is bounded from both sides (the points that surely match, and those that may), so that `not` holds.
The sets span all tenants. They choose whom to look at; nothing of them, no count either, is for an answer.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pyroaring import BitMap

from vdb.engine.filters.ast import And, Condition, Filter, Kind, Node, Not, Op, Scalar
from vdb.storage.env import Transaction
from vdb.storage.field_values import (
    ELEMENT,
    MAX_STRING_BYTES,
    Tag,
    encode_instant,
    encode_number,
    encode_string,
    escaped,
)
from vdb.storage.payload_index import IndexDocument, read_pids, read_range
from vdb.types import FieldType, IndexState

MAX_ENTRIES = 10_000
"""A range of more entries is left to the records: half a microsecond each."""

_TAGS = {Kind.NUMBER: Tag.NUMBER, Kind.STRING: Tag.STRING, Kind.BOOLEAN: Tag.BOOLEAN, Kind.DATETIME: Tag.INSTANT}
_ABOVE = b"\xff"


@dataclass(frozen=True, slots=True, eq=False)
class RowSet:
    """Pids of the points that match; with `is_exact` False some of them may not. Shared: never changed."""

    pids: BitMap
    is_exact: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Bounds:
    """The points that surely match and those that may, None for any; the same object where the two are one."""

    sure: BitMap
    possible: BitMap | None

    @property
    def is_exact(self) -> bool:
        return self.sure is self.possible


_EMPTY = BitMap()
_UNKNOWN = _Bounds(_EMPTY, None)


def row_set(txn: Transaction, filter: Filter, indexes: Iterable[IndexDocument]) -> RowSet | None:
    """What the indexes that are ready know of `filter`; None where they bound it in no way. Raises CorruptData."""
    ready = {index.field: index for index in indexes if index.state == IndexState.READY}
    found = _Reader(txn, ready).bounds(filter.root) if ready else _UNKNOWN
    if found.possible is None:
        return None
    return RowSet(found.possible, found.is_exact or len(found.sure) == len(found.possible))


@dataclass(slots=True)
class _Reader:
    txn: Transaction
    indexes: dict[str, IndexDocument]
    _everything: BitMap | None = field(default=None)

    def bounds(self, node: Node) -> _Bounds:
        if isinstance(node, Condition):
            index = self.indexes.get(node.field)
            return _UNKNOWN if index is None else self._condition(index, node)
        if isinstance(node, Not):
            return self._not(self.bounds(node.part))
        if isinstance(node, And):
            return _all(self._together(node.parts))
        return _any(list(map(self.bounds, node.parts)))

    def _together(self, parts: tuple[Node, ...]) -> list[_Bounds]:
        """Bounds of parts that all hold. A field's lower and upper limit are one range: alone each may be too long."""
        limits: dict[tuple[str, Kind], dict[bool, Condition]] = {}
        for part in parts:
            if isinstance(part, Condition) and part.op in _LIMITS and part.field in self.indexes:
                limits.setdefault((part.field, part.operands[0].kind), {}).setdefault(part.op in _LOWER, part)
        ranges = [(pair[True], pair[False]) for pair in limits.values() if len(pair) == 2]
        merged = {id(part) for pair in ranges for part in pair}
        found = [self._range(self.indexes[low.field], low, high) for low, high in ranges]
        return found + [self.bounds(part) for part in parts if id(part) not in merged]

    def _range(self, index: IndexDocument, low: Condition, high: Condition) -> _Bounds:
        (first, first_is_whole), (end, end_is_whole) = _encoded(low.operands[0]), _encoded(high.operands[0])
        if not (first_is_whole and end_is_whole and _is_entered(index, low.operands[0])):
            return _all([self._condition(index, low), self._condition(index, high)])
        begin = first if low.op is Op.GTE else first + _ABOVE * 3
        stop = end + _ABOVE * 3 if high.op is Op.LTE else end
        read = self._between(index, _TAGS[low.operands[0].kind], begin, stop) if begin < stop else _EMPTY
        return _UNKNOWN if read is None else self._with_unlisted(index, _exactly(read))

    def _with_unlisted(self, index: IndexDocument, found: _Bounds) -> _Bounds:
        """Bounds that allow the points whose value is not listed."""
        unlisted = self._read(index, Tag.UNLISTED)
        if not unlisted or found.possible is None:
            return found
        return _Bounds(found.sure, found.possible | unlisted)

    def everything(self) -> BitMap:
        """The pids of all points: each has the field of any index, or has it not."""
        if self._everything is None:
            index = next(iter(self.indexes.values()))
            self._everything = self._read(index, Tag.PRESENT) | self._read(index, Tag.ABSENT)
        return self._everything

    def _not(self, inner: _Bounds) -> _Bounds:
        everything = self.everything()
        if inner.is_exact:
            return _exactly(everything - inner.sure)
        sure = _EMPTY if inner.possible is None else everything - inner.possible
        return _Bounds(sure, everything - inner.sure if inner.sure else None)

    def _read(self, index: IndexDocument, tag: int, value: bytes = b"") -> BitMap:
        return read_pids(self.txn, index, bytes((tag,)) + value)

    def _condition(self, index: IndexDocument, condition: Condition) -> _Bounds:
        op, operands = condition.op, condition.operands
        if op in (Op.EXISTS, Op.IS_NULL):
            return self._flag(index, op, bool(operands[0].value))
        if not all(_is_entered(index, scalar) for scalar in operands):
            return _UNKNOWN
        if op in _RANGES:
            found = _RANGES[op](self, index, operands[0])
        elif op is Op.CONTAINS:
            found = self._one_of(index, operands, ELEMENT)
        else:
            found = self._one_of(index, operands, 0)
        if found.possible is not None:
            found = self._with_unlisted(index, found)
        return self._not(found) if op in (Op.NE, Op.NIN) else found

    def _flag(self, index: IndexDocument, op: Op, is_wanted: bool) -> _Bounds:
        if op is Op.EXISTS:
            return _exactly(self._read(index, Tag.PRESENT if is_wanted else Tag.ABSENT))
        null = _exactly(self._read(index, Tag.NULL))
        return null if is_wanted else self._not(null)

    def _one_of(self, index: IndexDocument, operands: tuple[Scalar, ...], of_list: int) -> _Bounds:
        sure: list[BitMap] = []
        unsure: list[BitMap] = []
        for scalar in operands:
            value, is_whole = _encoded(scalar)
            (sure if is_whole else unsure).append(self._read(index, _TAGS[scalar.kind] + of_list, value))
        found = _exactly(_union(sure))
        return found if not unsure else _Bounds(found.sure, _union([found.sure, *unsure]))

    def _between(self, index: IndexDocument, tag: int, first: bytes, end: bytes) -> BitMap | None:
        head = bytes((tag,))
        return read_range(self.txn, index, head + first, head + end if end else bytes((tag + 1,)), MAX_ENTRIES)

    def _side(self, index: IndexDocument, scalar: Scalar, *, is_above: bool, with_equal: bool) -> _Bounds:
        """The values on one side of an operand, its own with it or not."""
        tag = _TAGS[scalar.kind]
        value, is_whole = _encoded(scalar)
        beyond = value + _ABOVE * 3  # behind every bitmap of the value, before the next value
        takes_own = with_equal and is_whole
        if is_above:
            found = self._between(index, tag, value if takes_own else beyond, b"")
        else:
            found = self._between(index, tag, b"", beyond if takes_own else value)
        if found is None:
            return _UNKNOWN
        return _exactly(found) if is_whole else _Bounds(found, found | self._read(index, tag, value))

    def _prefix(self, index: IndexDocument, scalar: Scalar) -> _Bounds:
        text = str(scalar.value).encode()
        if len(text) > MAX_STRING_BYTES:
            return _Bounds(_EMPTY, self._read(index, Tag.STRING, _encoded(scalar)[0]))
        first = escaped(text)
        found = self._between(index, Tag.STRING, first, first + _ABOVE * 3)
        return _UNKNOWN if found is None else _exactly(found)

    def above(self, index: IndexDocument, scalar: Scalar) -> _Bounds:
        return self._side(index, scalar, is_above=True, with_equal=False)

    def from_on(self, index: IndexDocument, scalar: Scalar) -> _Bounds:
        return self._side(index, scalar, is_above=True, with_equal=True)

    def below(self, index: IndexDocument, scalar: Scalar) -> _Bounds:
        return self._side(index, scalar, is_above=False, with_equal=False)

    def up_to(self, index: IndexDocument, scalar: Scalar) -> _Bounds:
        return self._side(index, scalar, is_above=False, with_equal=True)


_RANGES: dict[Op, Callable[[_Reader, IndexDocument, Scalar], _Bounds]] = {
    Op.GT: _Reader.above,
    Op.GTE: _Reader.from_on,
    Op.LT: _Reader.below,
    Op.LTE: _Reader.up_to,
    Op.PREFIX: _Reader._prefix,
}

_LOWER = frozenset((Op.GT, Op.GTE))
_LIMITS = _LOWER | {Op.LT, Op.LTE}


def _is_entered(index: IndexDocument, scalar: Scalar) -> bool:
    """Whether the index has entries of the operand's kind: strings of a datetime field stand as instants."""
    return (scalar.kind is Kind.DATETIME) == (index.type is FieldType.DATETIME) and scalar.kind in _TAGS


def _encoded(scalar: Scalar) -> tuple[bytes, bool]:
    """The bytes of an operand in an entry, and whether they are of no other value."""
    value = scalar.value
    if isinstance(value, str):
        return encode_string(value)
    if isinstance(value, bool):
        return bytes((value,)), True
    if scalar.kind is Kind.DATETIME:
        return encode_instant(int(value)), True
    return encode_number(value), True


def _exactly(pids: BitMap) -> _Bounds:
    return _Bounds(pids, pids)


def _union(sets: list[BitMap]) -> BitMap:
    return sets[0] if len(sets) == 1 else BitMap.union(*sets) if sets else _EMPTY


def _all(parts: list[_Bounds]) -> _Bounds:
    bounding = [part.possible for part in parts if part.possible is not None]
    if not bounding:
        return _Bounds(_intersection([part.sure for part in parts]), None)
    possible = _intersection(bounding)
    if all(part.is_exact for part in parts):
        return _exactly(possible)
    return _Bounds(_intersection([part.sure for part in parts]), possible)


def _any(parts: list[_Bounds]) -> _Bounds:
    sure = _union([part.sure for part in parts])
    if all(part.is_exact for part in parts):
        return _exactly(sure)
    possible = [part.possible for part in parts if part.possible is not None]
    return _Bounds(sure, _union(possible) if len(possible) == len(parts) else None)


def _intersection(sets: list[BitMap]) -> BitMap:
    return sets[0] if len(sets) == 1 else BitMap.intersection(*sets)
