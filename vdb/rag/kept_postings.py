"""Postings of terms that were asked for of late, kept in memory until something is written to their collection.

One cache for the server, capped by bytes; what was searched longest ago goes first. It is kept apart for each tenant
that asks, also what is everyone's: how long a search takes tells nobody what others asked for.
"""

import threading
from collections import OrderedDict

from vdb.storage.catalog import TextDocument

KEPT_BYTES = 32 << 20
LARGEST_BYTES = 1 << 20
"""Postings of a term that are more are read anew each time: reading is little beside ranking them."""
TERM_BYTES = 400
"""What a term costs beside its postings."""

Place = tuple[int, int]
"""Collection, tenant."""
Version = tuple[int, int]
"""LMDB's number of the transaction that was committed last, and the collection's sequence. The first alone changes
with whatever is written; the second guards against a commit that failed half-way, whose number is given again."""


class TermPostings:
    """What a tenant may see of a text index at one version. Belongs to the `KeptPostings` that gave it.

    `text`, once it was looked at: what the text index was found to be, and whole. `statistics`, once they were read:
    (number of points, sum of their lengths) of its own audience and of everyone's. `grantees`, likewise: who of these
    two has grants. `lists`: term → encoded postings, of the audiences that have points. All is read without a lock.
    """

    __slots__ = ("grantees", "lists", "n_bytes", "statistics", "text", "version")

    def __init__(self, version: Version) -> None:
        self.version = version
        self.text: TextDocument | None = None
        self.grantees: tuple[int, ...] | None = None
        self.statistics: tuple[tuple[int, int], tuple[int, int]] | None = None
        self.lists: dict[str, tuple[bytes, ...]] = {}
        self.n_bytes = 0


class KeptPostings:
    """Thread-safe; nothing to close."""

    def __init__(self, max_bytes: int = KEPT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[Place, TermPostings] = OrderedDict()
        self.n_bytes = 0

    def of(self, place: Place, version: Version) -> TermPostings:
        """What is known at this version; empty where that is nothing. Of an older version nothing will be kept."""
        with self._lock:
            known = self._kept.get(place)
            if known is not None and known.version >= version:
                self._kept.move_to_end(place)
                return known if known.version == version else TermPostings(version)
            if known is not None:
                self.n_bytes -= known.n_bytes
                known.n_bytes = 0
            made = self._kept[place] = TermPostings(version)
            self._kept.move_to_end(place)
            self._charge(made, TERM_BYTES)
            return made

    def keep(self, known: TermPostings, term: str, lists: tuple[bytes, ...]) -> None:
        """Keep the postings of a term; not where they are too many, or `known` is forgotten meanwhile."""
        n_bytes = sum(map(len, lists))
        if n_bytes > LARGEST_BYTES:
            return
        with self._lock:
            if known.n_bytes and term not in known.lists:
                known.lists[term] = lists
                self._charge(known, n_bytes + TERM_BYTES + len(term))

    def _charge(self, known: TermPostings, n_bytes: int) -> None:
        known.n_bytes += n_bytes
        self.n_bytes += n_bytes
        while self.n_bytes > self._max_bytes and self._kept:
            _, gone = self._kept.popitem(last=False)
            self.n_bytes -= gone.n_bytes
            gone.n_bytes = 0
