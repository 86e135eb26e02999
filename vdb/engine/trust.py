"""Whether a stored vector may be searched: damage on the disk must not become a wrong answer."""

import logging
from zlib import crc32

from vdb.errors import CorruptData
from vdb.storage.codec import Record, decode_record

logger = logging.getLogger(__name__)


def trusted_expiry(value: bytes, vector: bytes, pid: int) -> int | None:
    """A point's expiry by its record; None where the vector cannot be searched because it is damaged.

    A damaged record is searched all the same: the search that would answer with it fails, the others do not.
    """
    try:
        record = decode_record(value)
    except CorruptData:
        return 0
    return record.expires_at_ms if is_sound(record, vector, pid) else None


def trusted_record(value: bytes, vector: bytes, pid: int) -> Record | None:
    """A point's record; None where it or the vector is damaged."""
    try:
        record = decode_record(value)
    except CorruptData as exc:
        logger.error("a point is left out of the index: its record is damaged", exc_info=exc, extra={"pid": pid})
        return None
    return record if is_sound(record, vector, pid) else None


def is_sound(record: Record, vector: bytes, pid: int) -> bool:
    """Whether a vector is the one that its record tells of; logged where it is not."""
    if crc32(vector) == record.vector_checksum:
        return True
    logger.error("a vector is left out of searches: its checksum does not match its bytes", extra={"pid": pid})
    return False
