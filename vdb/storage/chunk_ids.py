"""Ids of chunks: chunk n of document `d` is the point `d#n` of the document's owner, n from 0 without leading zeros.

So a document is a prefix of its owner's ids, and needs no record of its own. Ids such as `d#7x`, `d#07` or `d#7#0` are
not chunks of `d`; the last is one of the document `d#7`.
"""

from collections.abc import Iterator

from vdb.storage.codec import decode_u32
from vdb.storage.env import Transaction
from vdb.storage.keyspace import point_id_prefix

MAX_NUMBER_DIGITS = 9
_MARK = b"#"
_FIRST = b"#0"
_DIGITS = b"0123456789"


def chunk_id(document: bytes, number: int) -> bytes:
    """The id of a document's chunk."""
    return b"%b#%d" % (document, number)


def chunk_number(digits: bytes) -> int | None:
    """The number that stands behind the mark; None where it is no chunk's."""
    is_number = digits.isdigit() and len(digits) <= MAX_NUMBER_DIGITS and (digits[:1] != b"0" or digits == b"0")
    return int(digits) if is_number else None


def find_chunks(txn: Transaction, owner: int, document: bytes) -> dict[int, int]:
    """number → pid of every chunk of a document that is stored, ascending; empty where there is no such document."""
    prefix = point_id_prefix(owner) + document + _MARK
    start = len(prefix)
    found: dict[int, int] = {}
    with txn.cursor() as cursor:
        is_there = cursor.set_range(prefix)
        while is_there:
            key = cursor.key()
            if not key.startswith(prefix):
                break
            number = chunk_number(key[start:])
            if number is not None:
                found[number] = decode_u32(cursor.value())
                is_there = cursor.next()
            else:
                beyond = _beyond(key, start)
                is_there = beyond is not None and cursor.set_range(beyond)
    return dict(sorted(found.items()))


def _beyond(key: bytes, start: int) -> bytes | None:
    """The least key behind `key`, which is no chunk's, that may be one: not one look for each id that begins alike.

    `start`: where the number begins. None where there is none.
    """
    end = start
    while end < len(key) and key[end : end + 1] in _DIGITS and end - start < MAX_NUMBER_DIGITS:
        end += 1
    if key[end : end + 1] < b"0":  # such as d#7#0: next may come d#70
        return key[:end] + b"0"
    while end > start and key[end - 1 : end] == b"9":
        end -= 1
    return key[: end - 1] + bytes((key[end - 1] + 1,)) if end > start else None


def iterate_documents(
    txn: Transaction, owner: int, prefix: bytes = b"", after: bytes = b""
) -> Iterator[tuple[bytes, int | None]]:
    """(id, pid) of every point of the owner that begins a document, by its first chunk, in byte order of point ids.

    Documents whose ids begin with `prefix`, from behind the point id `after` on. What is no first chunk is told too,
    with its point id and pid None: so the caller can stop looking.
    """
    ids = point_id_prefix(owner)
    start = len(ids)
    first = ids + max(prefix, after)
    with txn.cursor() as cursor:
        if not cursor.set_range(first):
            return
        for key, value in cursor.iternext():
            point_id = key[start:]
            if not key.startswith(ids + prefix):
                return
            if after and point_id == after:
                continue
            if point_id.endswith(_FIRST) and len(point_id) - len(_FIRST) >= max(1, len(prefix)):
                yield point_id[: -len(_FIRST)], decode_u32(value)
            else:
                yield point_id, None
