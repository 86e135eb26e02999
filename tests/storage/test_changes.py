"""The log of changes: what is written is read back, damage is noticed, and it is dropped in small steps."""

import struct
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.storage.changes import plain
from vdb.config import MIB
from vdb.errors import CorruptData
from vdb.storage.changes import (
    LoggedChange,
    count_changes,
    decode_change,
    drop_changes,
    encode_change,
    iterate_changes,
    read_changes_from,
    stop_changes,
    write_change,
    write_changes_from,
)
from vdb.storage.env import Environment, Transaction
from vdb.storage.keyspace import EVERYONE_ID, META_CHANGES_FROM, Space, change_key, change_of

U32 = st.integers(0, 2**32 - 1)
AUDIENCES = st.integers(-EVERYONE_ID, EVERYONE_ID)


@st.composite
def changes(draw: st.DrawFn) -> LoggedChange:
    pids = draw(st.lists(U32, max_size=12))
    times = st.one_of(st.just(0), st.integers(-(2**63), 2**63 - 1))
    expiries = draw(st.lists(times, min_size=len(pids), max_size=len(pids)))
    positions = st.lists(st.integers(0, len(pids) - 1), max_size=12) if pids else st.just([])
    return LoggedChange(
        owner=draw(U32),
        pids=np.array(pids, np.uint32),
        expires_at_ms=np.array(expiries, np.int64),
        puts=draw(st.dictionaries(AUDIENCES, st.one_of(st.none(), positions), max_size=6)),
        kills=draw(st.dictionaries(AUDIENCES, st.lists(U32, max_size=6), max_size=6)),
        inserts_only=draw(st.booleans()),
    )


def killing(*pids: int) -> LoggedChange:
    return LoggedChange(1, np.empty(0, np.uint32), np.empty(0, np.int64), {}, {1: list(pids)})


@pytest.fixture
def txn(tmp_path: Path) -> Iterator[Transaction]:
    env = Environment(tmp_path, map_bytes=MIB, max_map_bytes=MIB, create=True)
    with env.write() as txn:
        yield txn
    env.close()


@given(changes())
def test_a_change_reads_back(change: LoggedChange) -> None:
    found = decode_change(encode_change(change))
    assert (found.owner, plain(found)) == (change.owner, plain(change))
    assert (str(found.pids.dtype), str(found.expires_at_ms.dtype)) == ("uint32", "int64")


@given(changes())
def test_a_change_that_was_read_is_written_as_it_was(change: LoggedChange) -> None:
    value = encode_change(change)
    assert encode_change(decode_change(value)) == value


@given(changes(), st.data())
def test_a_change_with_one_bit_changed_is_corrupt(change: LoggedChange, data: st.DataObject) -> None:
    value = bytearray(encode_change(change))
    bit = data.draw(st.integers(0, 8 * len(value) - 1))
    value[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptData):
        decode_change(bytes(value))


@given(changes(), st.data())
def test_a_change_cut_short_or_with_more_behind_it_is_corrupt(change: LoggedChange, data: st.DataObject) -> None:
    value = encode_change(change)
    n_bytes = data.draw(st.integers(0, len(value) - 1))
    for damaged in (value[:n_bytes], value + b"\0"):
        with pytest.raises(CorruptData):
            decode_change(damaged)


@given(changes(), st.data())
def test_numbers_that_lie_are_corrupt_or_another_change_though_the_checksum_is_right(
    change: LoggedChange, data: st.DataObject
) -> None:
    """No number is trusted: nothing is read beyond the value, and no memory is taken for what is not there."""
    body = bytearray(encode_change(change)[4:])
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.sampled_from([0, 1, 2, 0x7F, 0x80, 0xFF]))
    try:
        found = decode_change(struct.pack("<I", crc32(body)) + body)
    except CorruptData:
        return
    assert len(found.pids) == len(found.expires_at_ms) <= len(body)
    assert all(max(map(int, run), default=-1) < len(found.pids) for run in found.puts.values() if run is not None)


def test_what_is_read_is_aligned_and_read_only() -> None:
    change = LoggedChange(1, np.arange(3, dtype=np.uint32), np.ones(3, np.int64), {1: None, -2: [1]}, {-3: [7]})
    found = decode_change(encode_change(change))
    positions, pids = found.puts[-2], found.kills[-3]
    for array in (found.pids, found.expires_at_ms, positions, pids):
        assert isinstance(array, np.ndarray) and array.flags.aligned and not array.flags.writeable


def test_keys_are_in_the_order_of_writes_and_of_their_parts() -> None:
    places = [(1, 0), (1, 1), (2, 0), (255, 0), (256, 0), (2**64 - 1, 2**32 - 1)]
    keys = [change_key(*place) for place in places]
    assert keys == sorted(keys) and [change_of(key) for key in keys] == places


def test_changes_after_a_sequence_are_read_in_order(txn: Transaction) -> None:
    for sequence, part in ((3, 0), (1, 0), (2, 1), (2, 0)):
        write_change(txn, sequence, killing(sequence, part), part)
    found = [(sequence, plain(change)[3][1]) for sequence, change in iterate_changes(txn, 0)]
    assert found == [(1, [1, 0]), (2, [2, 0]), (2, [2, 1]), (3, [3, 0])]
    assert [[sequence for sequence, _ in iterate_changes(txn, after)] for after in (1, 2, 3, 2**64 - 1)] == [
        [2, 2, 3], [3], [], [],
    ]  # fmt: skip
    assert count_changes(txn) == 4


def test_changes_are_dropped_oldest_first_in_steps(txn: Transaction) -> None:
    write_changes_from(txn, 1)
    for sequence in range(1, 8):
        write_change(txn, sequence, killing(sequence))
    steps = []
    while n := drop_changes(txn, 5, 2):
        steps.append((n, read_changes_from(txn)))
    assert steps == [(2, 3), (2, 5), (1, 6)], "the log says from where on it is complete"
    assert [sequence for sequence, _ in iterate_changes(txn, 0)] == [6, 7]
    assert (drop_changes(txn, 2**64 - 1, 100), count_changes(txn), read_changes_from(txn)) == (2, 0, 8)


def test_a_write_whose_changes_are_dropped_in_part_is_no_longer_in_the_log(txn: Transaction) -> None:
    write_changes_from(txn, 4)
    for part in range(3):
        write_change(txn, 4, killing(part), part)
    assert (drop_changes(txn, 4, 2), read_changes_from(txn), count_changes(txn)) == (2, 5, 1)


def test_a_log_that_is_stopped_is_dropped_and_stays_stopped(txn: Transaction) -> None:
    write_changes_from(txn, 1)
    write_change(txn, 1, killing(1))
    stop_changes(txn)
    assert (read_changes_from(txn), count_changes(txn)) == (None, 1)
    assert (drop_changes(txn, 9, 9), read_changes_from(txn), count_changes(txn)) == (1, None, 0)


def test_remainders_of_a_log_before_this_one_do_not_move_where_it_begins(txn: Transaction) -> None:
    write_change(txn, 3, killing(1))
    write_changes_from(txn, 9)
    assert (drop_changes(txn, 9, 9), read_changes_from(txn)) == (1, 9)


def test_dropping_leaves_what_is_no_change_alone(txn: Transaction) -> None:
    others = [bytes((Space.CHANGE - 1,)) + b"\xff" * 12, bytes((Space.CHANGE + 1,))]
    for key in others:
        txn.put(key, b"x")
    write_change(txn, 1, killing(1))
    assert drop_changes(txn, 2**64 - 1, 10) == 1
    assert [key for key, _ in txn.cursor()] == others


@pytest.mark.parametrize("key", [change_key(1)[:-1], change_key(1) + b"x"])
def test_a_key_that_is_no_changes_is_corrupt_and_can_be_dropped(txn: Transaction, key: bytes) -> None:
    txn.put(key, encode_change(killing(1)))
    with pytest.raises(CorruptData, match="is not of a logged change"):
        list(iterate_changes(txn, 0))
    assert (drop_changes(txn, 9, 9), count_changes(txn)) == (1, 0)


def test_a_damaged_entry_or_beginning_is_corrupt(txn: Transaction) -> None:
    txn.put(change_key(1), encode_change(killing(1))[:-1])
    with pytest.raises(CorruptData):
        list(iterate_changes(txn, 0))
    txn.put(META_CHANGES_FROM, b"short")
    with pytest.raises(CorruptData):
        read_changes_from(txn)
