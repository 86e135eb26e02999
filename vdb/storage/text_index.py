"""The text index of one collection inside a transaction: what it is of, its statistics, and how it comes and goes.

It has a document, one pair of numbers per audience, and postings (`text_postings`). A point stands under everyone alone
where it is shared with everyone, else under its owner and each tenant that it is granted to; so what a tenant may see
is its own audience and everyone's, which have no point in common. Points without a term are not in it.
"""

import logging
import struct
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from vdb.errors import CorruptData
from vdb.storage.codec import decode_document, encode_document
from vdb.storage.env import Transaction
from vdb.storage.keyspace import EVERYONE_ID, TEXT_INDEX_KEY, Space, text_statistics_key
from vdb.types import IndexState

logger = logging.getLogger(__name__)

_STATISTICS = struct.Struct("<QQ")


class TextAnalyser(Protocol):
    """What turns texts into terms; `version` changes with what it makes of a text."""

    version: str

    def frequencies(self, text: str) -> dict[bytes, int]:
        """Hash of a term (`text_postings.term_hash`) → how often the text has it."""


Analysers = Callable[[str], TextAnalyser]
"""The analyser of a language; raises KeyError for one that there is none of."""


class TextIndex(Struct, kw_only=True, frozen=True):
    """The stored document: fields with their weights, the language and the version of its analyser.

    `position`, owner * 2^32 + pid, is where building goes on: points up to it are in the index, later ones are not.
    """

    fields: dict[str, int]
    language: str
    version: str
    state: IndexState
    position: int = 0

    def is_of(self, other: "TextIndex") -> bool:
        """Whether both hold the same of every point."""
        return (self.fields, self.language, self.version) == (other.fields, other.language, other.version)


DAMAGED = TextIndex(fields={}, language="", version="", state=IndexState.DROPPING)
"""In place of a document that cannot be read: nobody knows what it was of."""


def wanted_index(fields: dict[str, int], language: str, analysers: Analysers) -> TextIndex:
    """A text index at the beginning of its building; raises KeyError for a language without an analyser."""
    return TextIndex(
        fields=fields, language=language, version=analysers(language).version, state=IndexState.BUILDING, position=0
    )


def read_text_index(txn: Transaction) -> TextIndex | None:
    """The collection's text index, also one that is built or dropped just now; None where there is none."""
    value = txn.get(TEXT_INDEX_KEY)
    if value is None:
        return None
    try:
        return decode_document(value, TextIndex)
    except CorruptData as exc:
        logger.error("the document of a text index is damaged", exc_info=exc)
        return DAMAGED


def put_text_index(txn: Transaction, index: TextIndex) -> None:
    txn.put(TEXT_INDEX_KEY, encode_document(index))


def audiences_of(owner: int, shared: tuple[int, ...]) -> tuple[int, ...]:
    """Whom a point's postings stand under."""
    return (EVERYONE_ID,) if EVERYONE_ID in shared else (owner, *shared)


def encode_statistics(n_points: int, length: int) -> bytes:
    return _STATISTICS.pack(n_points, length)


def decode_statistics(value: bytes | None) -> tuple[int, int]:
    """(number of points, sum of their lengths), zeros where nothing is stored; raises CorruptData."""
    if value is None:
        return 0, 0
    try:
        n_points, length = _STATISTICS.unpack(value)
    except struct.error as exc:
        raise CorruptData(f"statistics of a text index are not {_STATISTICS.size} bytes long") from exc
    return n_points, length


def read_statistics(txn: Transaction, audience: int) -> tuple[int, int]:
    """(number of points, sum of their lengths) of an audience; raises CorruptData."""
    return decode_statistics(txn.get(text_statistics_key(audience)))


def drop_entries(txn: Transaction, n_most: int) -> int:
    """Remove up to `n_most` keys of the text index, and then its document; how many there were."""
    keys: list[bytes] = []
    with txn.cursor() as cursor:
        if cursor.set_range(bytes((Space.TEXT_STATISTICS,))):
            for key in cursor.iternext(values=False):
                if key[0] > Space.POSTINGS or len(keys) == n_most:
                    break
                keys.append(key)
    for key in keys:
        txn.delete(key)
    if len(keys) < n_most:
        txn.delete(TEXT_INDEX_KEY)
    return len(keys)
