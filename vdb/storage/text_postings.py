"""Postings of a text index: which points hold a term, how often, and how long they are.

Postings of an audience and a term ascend by pid and lie in blocks. A posting is one u64, so that its order is theirs:

    pid u32 << 32  |  length u16 << 16  |  frequency u16

Frequency and length count terms times the weight of their field, at most 65,535. A block has up to 248 postings, and
stands under a pid that none of its own exceeds and all later ones do. The last block stands under FFFFFFFF, and is
there wherever there are any: so appending reads one key and writes one, for all terms of a commit at once.
"""

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from vdb.errors import CorruptData
from vdb.storage.env import Transaction
from vdb.storage.keyspace import text_statistics_key
from vdb.storage.text_index import decode_statistics, encode_statistics

POSTING_BYTES = 8
BLOCK_POSTINGS = 248
"""So that LMDB keeps two blocks in a page; longer values have pages of their own."""
BLOCK_BYTES = BLOCK_POSTINGS * POSTING_BYTES
MAX_COUNT = 0xFFFF
LAST_BLOCK = b"\xff\xff\xff\xff"

Moves = Mapping[bytes, list[int]]
"""Prefix of an audience's postings of a term → postings."""


def term_hash(term: str) -> bytes:
    """What stands for a term in keys, 8 bytes; that two of a million terms share one has odds of 1 to 40 million."""
    return hashlib.blake2b(term.encode(errors="surrogatepass"), digest_size=8).digest()


def read_blocks(cursor: Any, prefix: bytes) -> list[bytes]:
    """The blocks of an audience's postings of a term, in order; raises CorruptData where one cannot be one."""
    blocks: list[bytes] = []
    if cursor.set_range(prefix):
        for key, value in cursor.iternext():
            if not key.startswith(prefix):
                break
            if not value or len(value) % POSTING_BYTES:
                raise CorruptData("a block of postings is not one")
            blocks.append(value)
    return blocks


def move_postings(txn: Transaction, added: Moves, removed: Moves) -> None:
    """Add and remove postings; raises CorruptData where what is there does not agree.

    A posting that is removed is there, of one that is added the pid is not.
    """
    keys = sorted(added.keys() - removed.keys())
    with txn.cursor() as cursor:
        last_blocks = dict(cursor.getmulti([key + LAST_BLOCK for key in keys]))
        puts: list[tuple[bytes, bytes]] = []
        inner: list[bytes] = []
        for key in keys:
            new = added[key]
            if len(new) > 1:
                new.sort()
            block = last_blocks.get(key + LAST_BLOCK, b"")
            if block and int.from_bytes(block[-4:], "little") >= new[0] >> 32:
                inner.append(key)
                continue
            if len(block) % POSTING_BYTES:
                raise CorruptData("a block of postings is not one")
            block += new[0].to_bytes(8, "little") if len(new) == 1 else _bytes_of(array("Q", new))
            if len(block) > BLOCK_BYTES:
                _cut(puts, key, block)
            else:
                puts.append((key + LAST_BLOCK, block))
        cursor.putmulti(puts)
    for key in sorted((*inner, *removed)):
        _Edit(txn, key).run(added.get(key, []), removed.get(key, []))


def _cut(puts: list[tuple[bytes, bytes]], prefix: bytes, postings: bytes) -> None:
    """Full blocks, and the rest as the last one."""
    first = 0
    while len(postings) - first > BLOCK_BYTES:
        block = postings[first : first + BLOCK_BYTES]
        puts.append((prefix + block[:-5:-1], block))
        first += BLOCK_BYTES
    puts.append((prefix + LAST_BLOCK, postings[first:]))


class _Edit:
    """Changes anywhere in the postings of one audience and term, block by block."""

    def __init__(self, txn: Transaction, prefix: bytes) -> None:
        self._txn = txn
        self._prefix = prefix

    def run(self, added: list[int], removed: list[int]) -> None:
        moves = [(posting, False) for posting in removed] + [(posting, True) for posting in added]
        moves.sort(key=_by_pid_removed_first)
        first = 0
        with self._txn.cursor() as cursor:
            while first < len(moves):
                key, postings = self._block(cursor, moves[first][0] >> 32)
                upper = int.from_bytes(key[-4:], "big")
                end = first
                while end < len(moves) and moves[end][0] >> 32 <= upper:
                    _move(postings, *moves[end])
                    end += 1
                self._store(cursor, key, postings)
                first = end

    def _block(self, cursor: Any, pid: int) -> tuple[bytes, "array[int]"]:
        """Key and postings of the block that has the pid, or into which it would go."""
        if cursor.set_range(self._prefix + pid.to_bytes(4, "big")):
            key, value = cursor.item()
            if key.startswith(self._prefix):
                return key, _array_of(value)
        return self._prefix + LAST_BLOCK, array("Q")

    def _store(self, cursor: Any, key: bytes, postings: "array[int]") -> None:
        if len(postings) > BLOCK_POSTINGS:
            self._split(key, postings)
        elif postings:
            self._put_or_merge(cursor, key, postings)
        elif key.endswith(LAST_BLOCK):
            self._move_last(cursor, key)
        else:
            self._txn.delete(key)

    def _split(self, key: bytes, postings: "array[int]") -> None:
        """Into blocks of one size, of which the last keeps the key."""
        n_blocks = -(-len(postings) // BLOCK_POSTINGS)
        size = -(-len(postings) // n_blocks)
        for first in range(0, len(postings), size):
            block = postings[first : first + size]
            is_last = first + size >= len(postings)
            upper = key[-4:] if is_last else (block[-1] >> 32).to_bytes(4, "big")
            self._txn.put(self._prefix + upper, _bytes_of(block))

    def _put_or_merge(self, cursor: Any, key: bytes, postings: "array[int]") -> None:
        """Put a block, into the next one where both are small."""
        if len(postings) * 4 < BLOCK_POSTINGS and cursor.set_key(key) and cursor.next():
            next_key, value = cursor.item()
            if next_key.startswith(self._prefix) and 4 * (len(value) // 8 + len(postings)) <= 3 * BLOCK_POSTINGS:
                self._txn.put(next_key, _bytes_of(postings) + value)
                self._txn.delete(key)
                return
        self._txn.put(key, _bytes_of(postings))

    def _move_last(self, cursor: Any, key: bytes) -> None:
        """The last block is empty: the one before it takes its place."""
        if cursor.set_key(key) and cursor.prev():
            before, value = cursor.item()
            if before.startswith(self._prefix):
                self._txn.put(key, value)
                self._txn.delete(before)
                return
        self._txn.delete(key)


def _by_pid_removed_first(move: tuple[int, bool]) -> tuple[int, bool]:
    posting, is_added = move
    return posting >> 32, is_added


def _move(postings: "array[int]", posting: int, is_added: bool) -> None:
    place = bisect_left(postings, posting >> 32 << 32)
    is_there = place < len(postings) and postings[place] >> 32 == posting >> 32
    if is_added:
        if is_there:
            raise CorruptData("a posting is there that should not be")
        postings.insert(place, posting)
    elif is_there and postings[place] == posting:
        del postings[place]
    else:
        raise CorruptData("a posting is not there")


def _array_of(block: bytes) -> "array[int]":
    if len(block) % POSTING_BYTES:
        raise CorruptData("a block of postings is not one")
    return array("Q", block)


def _bytes_of(postings: "array[int]") -> bytes:
    return postings.tobytes()


def move_statistics(txn: Transaction, changes: Mapping[int, tuple[int, int]]) -> None:
    """Add to the statistics of audiences; raises CorruptData where less than nothing would be left."""
    for audience, (n_more, length_more) in sorted(changes.items()):
        key = text_statistics_key(audience)
        n_points, length = decode_statistics(txn.get(key))
        n_points, length = n_points + n_more, length + length_more
        if n_points < 0 or length < n_points or (length > 0) != (n_points > 0):
            raise CorruptData("statistics of a text index are less than what is there")
        if n_points:
            txn.put(key, encode_statistics(n_points, length))
        else:
            txn.delete(key)
