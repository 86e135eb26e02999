"""Row sets against the compiled filter: an exact one is the matches, any other holds them all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.config import MIB
from vdb.engine.filters import compile_filter, parse_filter, rowset
from vdb.engine.filters.rowset import RowSet, row_set
from vdb.storage.env import Environment, Transaction
from vdb.storage.index_changes import IndexChanges
from vdb.storage.payload_index import make_indexes, read_indexes
from vdb.types import FieldType

TYPES = {
    "n": FieldType.NUMBER,
    "i": FieldType.INTEGER,
    "s": FieldType.STRING,
    "b": FieldType.BOOLEAN,
    "t": FieldType.DATETIME,
    "l": FieldType.LIST,
    "a.b": FieldType.STRING,
    "free": FieldType.NUMBER,
}
INDEXED = {field: type for field, type in TYPES.items() if field != "free"}

Points = dict[int, bytes]


@contextmanager
def transaction() -> Iterator[Transaction]:
    with TemporaryDirectory() as folder:
        env = Environment(Path(folder), create=True, map_bytes=4 * MIB, max_map_bytes=4 * MIB)
        try:
            with env.write() as txn:
                make_indexes(txn, INDEXED)
                yield txn
        finally:
            env.close()


def write(txn: Transaction, stored: Points, *writes: tuple[int, dict[str, Any] | None]) -> None:
    """One commit: each pid has this payload from now on, None removes it."""
    changes = IndexChanges(read_indexes(txn))
    for pid, payload in writes:
        new = None if payload is None else msgspec.json.encode(payload)
        old = stored.get(pid)
        changes.note(1, pid, None if old is None else (old, ()), None if new is None else (new, ()))
        if new is None:
            stored.pop(pid, None)
        else:
            stored[pid] = new
    changes.flush(txn)


def found(txn: Transaction, condition: dict[str, Any]) -> RowSet | None:
    return row_set(txn, parse_filter(condition, TYPES), read_indexes(txn))


def matching(stored: Points, condition: dict[str, Any]) -> set[int]:
    matches = compile_filter(parse_filter(condition, TYPES))
    return {pid for pid, payload in stored.items() if matches(msgspec.json.decode(payload))}


LONG = "x" * 199
numbers = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([0, -0.0, 1, 1.0, 2**53, 2**53 + 1, -(2**53) - 1, 2.0**53, 2**62 + 1, 1e300, -1e-300, 0.5]),
    st.floats(allow_nan=False, allow_infinity=False),
)
integers = st.one_of(st.integers(-3, 3), st.sampled_from([2**53, 2**53 + 1, -(2**63), 2**63 - 1, 2**63 - 512]))
strings = st.one_of(
    st.sampled_from(["", "a", "ab", "a\0", "a\0b", "a\x01", "b", "é", "\uffff", "\U00010000", LONG, LONG + "é"]),
    st.sampled_from([LONG + "y", LONG + "ya", LONG + "yb", LONG + "z", LONG + "ya" * 50]),
    st.text(max_size=3),
)
instants = st.one_of(
    st.sampled_from(["2024-05-01T12:00:00Z", "2024-05-01T14:00:00+02:00", "2024-05-01T12:00:00.000000001Z"]),
    st.sampled_from(["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z"]),
)
elements = st.one_of(integers, strings, st.booleans(), st.none(), st.just([1]), st.just({"a": 1}))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "n": numbers,
    "i": integers,
    "s": strings,
    "b": st.booleans(),
    "t": instants,
    "l": st.one_of(st.lists(elements, max_size=4), st.just(list(range(300)))),
    "free": numbers,
}
payloads = st.fixed_dictionaries(
    {}, optional={field: st.one_of(st.none(), values) for field, values in VALUES.items()} | {"a": st.just({"b": "a"})}
)
pids = st.sampled_from([0, 1, 2, 3, 65_535, 65_536, 200_000, 2**32 - 2])
commits = st.lists(st.lists(st.tuples(pids, st.one_of(st.none(), payloads)), max_size=6), min_size=1, max_size=4)

flags = st.builds(lambda field, op, flag: {"field": field, op: flag}, st.sampled_from(list(TYPES)),
                  st.sampled_from(["exists", "is_null"]), st.booleans())  # fmt: skip


def comparing(field: str, ops: list[str], operands: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    one = st.builds(lambda op, operand: {"field": field, op: operand}, st.sampled_from(ops), operands)
    if ops == ["contains"]:
        return one
    several = st.builds(
        lambda op, listed: {"field": field, op: listed}, st.sampled_from(["in", "nin"]), st.lists(operands, max_size=3)
    )
    return st.one_of(one, several)


ORDERED = ["eq", "ne", "gt", "gte", "lt", "lte"]
conditions = st.one_of(
    flags,
    comparing("n", ORDERED, numbers),
    comparing("i", ORDERED, integers),
    comparing("s", [*ORDERED, "prefix"], strings),
    comparing("a.b", [*ORDERED, "prefix"], strings),
    comparing("b", ["eq", "ne"], st.booleans()),
    comparing("t", ORDERED, instants),
    comparing("l", ["contains"], st.one_of(integers, strings, st.booleans())),
    comparing("free", ORDERED, numbers),
)
filters = st.recursive(
    conditions,
    lambda inner: st.one_of(
        st.builds(lambda parts: {"and": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: {"or": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"not": part}, inner),
    ),
    max_leaves=6,
)


@given(commits, st.lists(filters, min_size=1, max_size=8))
def test_a_row_set_holds_every_match_and_an_exact_one_nothing_else(
    written: list[list[tuple[int, Any]]], asked: list[dict[str, Any]]
) -> None:
    stored: Points = {}
    with transaction() as txn:
        for writes in written:
            write(txn, stored, *writes)
            for condition in asked:
                rows, expected = found(txn, condition), matching(stored, condition)
                if rows is None:
                    continue
                assert expected <= set(rows.pids), condition
                assert not rows.is_exact or set(rows.pids) == expected, condition


@pytest.mark.parametrize(
    "condition",
    [
        {"field": "s", "eq": "b"},
        {"field": "s", "ne": "b"},
        {"field": "s", "in": ["a", "c"]},
        {"field": "s", "prefix": "a"},
        {"field": "i", "gt": 1, "lte": 3},
        {"field": "l", "contains": "x"},
        {"field": "t", "lt": "2024-05-01T00:00:00Z"},
        {"field": "b", "eq": True},
        {"field": "s", "exists": False},
        {"field": "i", "is_null": True},
        {"not": {"or": [{"field": "s", "eq": "a"}, {"field": "i", "gte": 2}]}},
    ],
)
def test_what_is_indexed_whole_is_exact(condition: dict[str, Any]) -> None:
    stored: Points = {}
    with transaction() as txn:
        for pid, letter in enumerate("abcab"):
            write(
                txn,
                stored,
                (pid, {"s": letter, "i": pid, "l": ["x", pid], "b": pid > 2, "t": f"202{pid}-01-01T00:00:00Z"}),
            )
        write(txn, stored, (70_000, {"i": None}), (70_001, {}))
        rows = found(txn, condition)
        assert rows is not None and rows.is_exact
        assert set(rows.pids) == matching(stored, condition)


def test_without_an_index_there_is_no_row_set_but_an_and_with_one_is_bounded() -> None:
    stored: Points = {}
    free, indexed = {"field": "free", "eq": 1}, {"field": "i", "eq": 1}
    with transaction() as txn:
        write(txn, stored, (1, {"i": 1, "free": 1}), (2, {"i": 1, "free": 2}), (3, {"i": 2, "free": 1}))
        assert found(txn, free) is None and found(txn, {"or": [free, indexed]}) is None
        assert found(txn, {"not": free}) is None
        rows = found(txn, {"and": [free, indexed]})
        assert rows is not None and not rows.is_exact and set(rows.pids) == {1, 2}
        assert found(txn, {"not": {"and": [free, indexed]}}) is None
        bounded = found(txn, {"not": {"or": [free, indexed]}})
        assert bounded is not None and not bounded.is_exact and set(bounded.pids) == {3}


def test_strings_beyond_200_bytes_share_an_entry_and_are_verified() -> None:
    stored: Points = {}
    long = "x" * 200
    with transaction() as txn:
        write(txn, stored, (1, {"s": long}), (2, {"s": long + "a"}), (3, {"s": long + "b"}), (4, {"s": "y"}))
        rows = found(txn, {"field": "s", "eq": long + "a"})
        assert rows is not None and not rows.is_exact and set(rows.pids) == {2, 3}
        exact = found(txn, {"field": "s", "gt": long})
        assert exact is not None and exact.is_exact and set(exact.pids) == {2, 3, 4}


def test_a_list_of_too_many_elements_is_not_entered_but_found() -> None:
    stored: Points = {}
    with transaction() as txn:
        write(txn, stored, (1, {"l": list(range(1000))}), (2, {"l": [7]}), (3, {"l": [8]}))
        rows = found(txn, {"field": "l", "contains": 7})
        assert rows is not None and not rows.is_exact and set(rows.pids) == {1, 2}


def test_a_range_of_too_many_values_is_left_to_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rowset, "MAX_ENTRIES", 10)
    stored: Points = {}
    with transaction() as txn:
        write(txn, stored, *((pid, {"i": pid}) for pid in range(30)))
        assert found(txn, {"field": "i", "gte": 5}) is None
        few = found(txn, {"field": "i", "gte": 25})
        assert few is not None and set(few.pids) == set(range(25, 30))


def test_a_range_between_two_limits_is_read_once_however_much_lies_beyond_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rowset, "MAX_ENTRIES", 10)
    stored: Points = {}
    with transaction() as txn:
        write(txn, stored, *((pid, {"i": pid}) for pid in range(60)))
        for low, at_low in (("gte", 0), ("gt", 1)):
            for high, at_high in (("lt", 0), ("lte", 1)):
                rows = found(txn, {"field": "i", low: 30, high: 35})
                assert rows is not None and rows.is_exact and set(rows.pids) == set(range(30 + at_low, 35 + at_high))
        apart = found(txn, {"and": [{"field": "i", "lt": 35}, {"field": "i", "gte": 30}, {"field": "i", "ne": 31}]})
        assert apart is not None and set(apart.pids) == {30, 32, 33, 34}
        nothing = found(txn, {"field": "i", "gt": 35, "lt": 30})
        assert nothing is not None and nothing.is_exact and not nothing.pids
        assert found(txn, {"field": "i", "gt": 5, "lt": 50}) is None


def test_nothing_is_left_of_points_that_are_gone() -> None:
    stored: Points = {}
    with transaction() as txn:
        write(txn, stored, *((pid, {"i": pid, "s": "a"}) for pid in range(100)))
        write(txn, stored, *((pid, None) for pid in range(100)))
        entries = [key for key, _ in txn.cursor() if key[:3] != b"\x78\x00\x00"]
        assert entries == []
