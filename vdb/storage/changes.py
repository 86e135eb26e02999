"""The log of changes: what each committed write means for what is derived from vectors, without the vectors.

A collection that keeps the log has the number `changes_from` in META: every write of that sequence and later ones which
put or removed points that have a vector, for whomever, has its entries, made in the same commit. What is derived (an
index on disk) can then be brought up to date from the sequence it was made at, instead of being made anew; the vectors
are in the store, under (owner, pid). Without the number the log is worth nothing: entries still there are remainders.

A write is one entry, or several where it changed points of several owners: key (sequence, part), parts from 0.
An *audience* is what a change is for: `t` what tenant t owns, `-t` what was granted to t, -0xFFFFFFFF what all may see.

Value (integers little-endian, checksum CRC-32):

    0   u32  checksum of all bytes that follow
    4   u8   layout, 1
    5   u8   flags: bit 0 all points are new and nobody's but their owner's; bit 1 there are expiries
    6   u16  0
    8   u32  owner of the points put; without any, of no meaning
    12  u32  number of points, n
    16  u32  number of audiences that points are put into
    20  u32  number of audiences that points leave
    24  i64 × n, with bit 1 only: expiries, epoch milliseconds, 0 never
    …   i64 per audience: those that points are put into, ascending, then those that points leave, ascending
    …   u32 per audience, in the same order: how many numbers it has below; 0xFFFFFFFF all points, and none below
    …   u32 × n: pids
    …   u32 × the sum of those: positions of the points put, audience by audience, then pids of the points that leave

A position is the place of a point among the pids. Within one change, points leave before points are put. A point that
was removed since is not in the store any more.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

from vdb.errors import CorruptData
from vdb.storage.catalog import iterate_prefix
from vdb.storage.codec import decode_u64, encode_u64
from vdb.storage.entries import is_known
from vdb.storage.env import Transaction
from vdb.storage.keyspace import META_CHANGES_FROM, Space, change_key, change_of

CHANGE_LAYOUT = 1
INSERTS_ONLY = 1
HAS_EXPIRIES = 2
ALL_POINTS = 0xFFFF_FFFF
"""In place of a number of positions."""

Numbers = Sequence[int] | NDArray[np.uint32]
"""Pids or positions; as read from the log, an array."""

_HEAD = struct.Struct("<IBBHIIII")
_BODY = struct.Struct("<BBHIIII")
_CHECKSUM = struct.Struct("<I")

_PREFIX = bytes((Space.CHANGE,))


class LoggedChange(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What one write changed for one owner's points.

    `pids` (n,) uint32 and `expires_at_ms` (n,) int64 are of the points put: new, with a new vector, or granted anew.
    `puts` names per audience the positions in `pids` of those put into it, None for all; `kills` per audience the pids
    that leave it. Read from the log, the arrays are read-only and belong to the change.
    """

    owner: int
    pids: NDArray[np.uint32]
    expires_at_ms: NDArray[np.int64]
    puts: Mapping[int, Numbers | None]
    kills: Mapping[int, Numbers]
    inserts_only: bool = False


def encode_change(change: LoggedChange) -> bytes:
    """The stored bytes of a change."""
    has_expiries = bool(change.expires_at_ms.any())
    flags = INSERTS_ONLY * change.inserts_only + HAS_EXPIRIES * has_expiries
    audiences = [*sorted(change.puts), *sorted(change.kills)]
    named: list[Numbers | None] = [change.puts[audience] for audience in sorted(change.puts)]
    named += [change.kills[audience] for audience in sorted(change.kills)]
    counts = [ALL_POINTS if numbers is None else len(numbers) for numbers in named]
    numbers = list(chain.from_iterable(run for run in named if run is not None))
    n_points, n_audiences = len(change.pids), len(audiences)
    body = b"".join(
        (
            _BODY.pack(CHANGE_LAYOUT, flags, 0, change.owner, n_points, len(change.puts), len(change.kills)),
            change.expires_at_ms.astype("<i8", copy=False).tobytes() if has_expiries else b"",
            struct.pack(f"<{n_audiences}q{n_audiences}I", *audiences, *counts),
            change.pids.astype("<u4", copy=False).tobytes(),
            struct.pack(f"<{len(numbers)}I", *numbers),
        )
    )
    return _CHECKSUM.pack(crc32(body)) + body


def decode_change(value: bytes) -> LoggedChange:
    """The change of stored bytes; raises CorruptData when the checksum or the layout is wrong."""
    if len(value) < _HEAD.size:
        raise CorruptData("a logged change is shorter than its head")
    checksum, layout, flags, nothing, owner, n_points, n_puts, n_kills = _HEAD.unpack_from(value)
    if crc32(memoryview(value)[4:]) != checksum or layout != CHANGE_LAYOUT or nothing:
        raise CorruptData("a logged change's checksum does not match its bytes")
    n_expiries = n_points if flags & HAS_EXPIRIES else 0
    counts_at = _HEAD.size + 8 * (n_expiries + n_puts + n_kills)
    pids_at = counts_at + 4 * (n_puts + n_kills)
    if pids_at + 4 * n_points > len(value):
        raise CorruptData("a logged change is shorter than it says")
    expires_at_ms = np.frombuffer(value, "<i8", n_expiries, _HEAD.size)
    audiences = np.frombuffer(value, "<i8", n_puts + n_kills, _HEAD.size + 8 * n_expiries)
    counts = np.frombuffer(value, "<u4", n_puts + n_kills, counts_at)
    pids = np.frombuffer(value, "<u4", n_points, pids_at)
    puts, kills = _named(value, pids_at + 4 * n_points, audiences, counts, n_puts, n_points)
    if not flags & HAS_EXPIRIES:
        expires_at_ms = np.zeros(n_points, np.int64)
    return LoggedChange(owner, pids, expires_at_ms, puts, kills, bool(flags & INSERTS_ONLY))


def _named(
    value: bytes, at: int, audiences: NDArray[np.int64], counts: NDArray[np.uint32], n_puts: int, n_points: int
) -> tuple[dict[int, NDArray[np.uint32] | None], dict[int, NDArray[np.uint32]]]:
    """(positions of each audience put into, None for all; pids of each audience left); the numbers begin at `at`."""
    is_all = counts == ALL_POINTS
    ends = np.cumsum(np.where(is_all, 0, counts), dtype=np.int64)
    n_numbers, n_positions = (int(ends[n - 1]) if n else 0 for n in (len(ends), n_puts))
    if at + 4 * n_numbers != len(value) or is_all[n_puts:].any():
        raise CorruptData("a logged change is not as long as it says")
    numbers = np.frombuffer(value, "<u4", n_numbers, at)
    if n_positions and numbers[:n_positions].max() >= n_points:
        raise CorruptData("a logged change puts a point that it does not have")
    if any((of[1:] <= of[:-1]).any() for of in (audiences[:n_puts], audiences[n_puts:])):
        raise CorruptData("a logged change names its audiences out of order")
    runs = [numbers[end - n : end] for n, end in zip(np.where(is_all, 0, counts).tolist(), ends.tolist(), strict=True)]
    named = zip(audiences[:n_puts].tolist(), is_all[:n_puts].tolist(), runs[:n_puts], strict=True)
    puts = {audience: None if has_all else run for audience, has_all, run in named}
    return puts, dict(zip(audiences[n_puts:].tolist(), runs[n_puts:], strict=True))


def write_change(txn: Transaction, sequence: int, change: LoggedChange, part: int = 0) -> None:
    """Log a change of the write `sequence`; `part` counts the changes of one write from 0."""
    txn.put(change_key(sequence, part), encode_change(change))


def iterate_changes(txn: Transaction, after_sequence: int) -> Iterator[tuple[int, LoggedChange]]:
    """(sequence, change) of the writes after a sequence, in order; a write may have several. Raises CorruptData.

    They are all there are only where `read_changes_from` is at most `after_sequence` + 1.
    """
    for key, value in iterate_prefix(txn, _PREFIX, change_key(after_sequence, 0xFFFF_FFFF)[1:]):
        if not is_known(key):
            raise CorruptData(f"key {key.hex()} is not of a logged change")
        yield change_of(key)[0], decode_change(value)


def drop_changes(txn: Transaction, until_sequence: int, n_max: int) -> int:
    """Remove up to `n_max` entries of writes up to `until_sequence`, oldest first; how many there were.

    Where the log is kept, it is complete from after the last one removed on.
    """
    n_dropped, last = 0, 0
    with txn.cursor() as cursor:
        is_there = cursor.set_range(_PREFIX)
        while is_there and n_dropped < n_max and cursor.key().startswith(_PREFIX):
            if is_known(cursor.key()):  # a key that is none of ours goes as well
                sequence, _ = change_of(cursor.key())
                if sequence > until_sequence:
                    break
                last = sequence
            n_dropped += 1
            is_there = cursor.delete()
    changes_from = read_changes_from(txn)
    if changes_from is not None and n_dropped and last >= changes_from:
        write_changes_from(txn, last + 1)
    return n_dropped


def fault_of_change(key: bytes, value: bytes, sequence: int, next_pid: int) -> str:
    """What is wrong with an entry of a collection that has come to `sequence` and `next_pid`; empty if nothing is."""
    if not is_known(key):
        return f"key {key.hex()} is not of a logged change"
    if change_of(key)[0] > sequence:
        return f"its log has a change of sequence {change_of(key)[0]}, which was never given out"
    try:
        change = decode_change(value)
    except CorruptData as exc:
        return f"sequence {change_of(key)[0]}: {exc.detail}"
    last = max(map(_last, (change.pids, *change.kills.values())), default=-1)
    return "" if last < next_pid else f"its log has a change of pid {last}, which was never given out"


def _last(pids: Numbers) -> int:
    return int(np.max(pids)) if len(pids) else -1


def count_changes(txn: Transaction) -> int:
    """How many entries the log has, remainders of an older one among them; walks over all of them."""
    return sum(1 for _ in iterate_prefix(txn, _PREFIX))


def read_changes_from(txn: Transaction) -> int | None:
    """The sequence from which on the log is complete; None where none is kept. Raises CorruptData."""
    value = txn.get(META_CHANGES_FROM)
    return None if value is None else decode_u64(value)


def write_changes_from(txn: Transaction, sequence: int) -> None:
    """The log is complete from this sequence on; the writer of each later write logs it too."""
    txn.put(META_CHANGES_FROM, encode_u64(sequence))


def stop_changes(txn: Transaction) -> None:
    """Keep no log from now on; `drop_changes` removes the entries, in steps."""
    txn.delete(META_CHANGES_FROM)
