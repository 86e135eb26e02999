"""The sparse leg: BM25 of one tenant over what it may see, its own audience and everyone's.

Document frequencies, the number of points and their average length are those of the two audiences, and of nobody else:
what other tenants write changes no score, not even its last bit.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vdb.errors import CorruptData
from vdb.kernels import current
from vdb.rag.kept_postings import KeptPostings, TermPostings
from vdb.storage.env import Transaction
from vdb.storage.keyspace import EVERYONE_ID, postings_prefix
from vdb.storage.text_index import read_statistics
from vdb.storage.text_postings import read_blocks, term_hash

K1, B = 1.5, 0.75
"""What a collection has that names no others: those of bm25s."""

Kept = tuple[KeptPostings, TermPostings]
"""Who keeps postings, and what is kept of a tenant at a snapshot."""

_NO_PIDS = np.empty(0, np.uint32)


class TextQuery:
    """Terms with all their postings, as of one snapshot. Immutable: any thread may ask, and nothing is to be closed."""

    def __init__(
        self, postings: NDArray[np.uint64], starts: NDArray[np.int64], weights: NDArray[np.float64], flat: float,
        slope: float, n_terms: int, n_documents: int, bound: float,
    ) -> None:  # fmt: skip
        """As the kernels take them; `n_terms` are different terms that some point has, of `n_documents` with text.

        `bound` is the most that any point could score: a term counts at most 1, one that no point has too.
        """
        self._postings = postings
        self._starts = starts
        self._weights = weights
        self._flat = flat
        self._slope = slope
        self.n_terms = n_terms
        self.n_documents = n_documents
        self.bound = bound

    @property
    def n_postings(self) -> int:
        return len(self._postings)

    def top(self, k: int, allowed: NDArray[np.uint32] | None = None) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
        """The k best points, of those whose pids are in `allowed` (ascending) where it is given: (pids, scores).

        Best first, ties by the smaller pid; all of them have a term. Raises CorruptData for damaged postings.
        """
        k = min(k, self.n_postings)
        score, pid = np.empty(k), np.empty(k, np.uint32)
        n_found = current().rank_postings(
            self._postings, self._starts, self._weights, self._flat, self._slope,
            _NO_PIDS if allowed is None else allowed, allowed is not None, score, pid,
        )  # fmt: skip
        if n_found < 0:
            raise CorruptData("postings do not ascend")
        return pid[:n_found], score[:n_found]

    def scores(self, pids: NDArray[np.uint32]) -> NDArray[np.float64]:
        """The score of each of `pids` (n,), in any order; 0 where it has no term. Equal to that in `top`."""
        score = np.empty(len(pids))
        current().score_points(self._postings, self._starts, self._weights, self._flat, self._slope, pids, score)
        return score


def prepare(
    txn: Transaction, tenant_id: int, terms: Sequence[str], k1: float = K1, b: float = B, kept: Kept | None = None
) -> TextQuery:
    """Read what a query needs of a tenant's text index; a term that is asked twice counts twice.

    `kept`: what is known already of the tenant at this snapshot, and who keeps what is read now. Raises CorruptData for
    damaged blocks or statistics.
    """
    known = kept[1] if kept is not None else TermPostings((0, 0))
    if known.statistics is None:
        known.statistics = read_statistics(txn, tenant_id), read_statistics(txn, EVERYONE_ID)
    (n_own, own_length), (n_public, public_length) = known.statistics
    n_points = n_own + n_public
    mean_length = (own_length + public_length) / n_points if n_points else 1.0
    counts: dict[str, int] = {}
    for term in terms if n_points else ():
        counts[term] = counts.get(term, 0) + 1
    missing = [term for term in counts if term not in known.lists]
    lists = known.lists
    if missing:
        audiences = [audience for audience, n in ((tenant_id, n_own), (EVERYONE_ID, n_public)) if n]
        found = _read_lists(txn, audiences, missing)
        lists = {**{term: known.lists[term] for term in counts if term in known.lists}, **found}
        if kept is not None:
            for term in missing:
                kept[0].keep(known, term, found[term])
    parts: list[bytes] = []
    starts, weights = [0], []
    n_terms, bound = 0, 0.0
    for term, count in counts.items():
        mine = lists[term]
        frequency = sum(map(len, mine)) >> 3
        weight = count * rarity(n_points, frequency)
        bound += weight
        if not frequency:
            continue
        n_terms += 1
        for part in mine:
            if part:
                parts.append(part)
                starts.append(starts[-1] + (len(part) >> 3))
                weights.append(weight)
    return TextQuery(
        np.frombuffer(b"".join(parts), "<u8"),
        np.array(starts, np.int64),
        np.array(weights, np.float64),
        k1 * (1 - b),
        k1 * b / mean_length,
        n_terms,
        n_points,
        bound,
    )


def _read_lists(txn: Transaction, audiences: Sequence[int], terms: Sequence[str]) -> dict[str, tuple[bytes, ...]]:
    """Term → its encoded postings, of each of the audiences."""
    found = {}
    with txn.cursor() as cursor:
        for term in terms:
            name = term_hash(term)
            found[term] = tuple(b"".join(read_blocks(cursor, postings_prefix(of, name))) for of in audiences)
    return found


def rarity(n_points: int, frequency: int) -> float:
    """The weight of a term that `frequency` of `n_points` points have: positive, also of one that all of them have."""
    return math.log(1 + (max(n_points - frequency, 0) + 0.5) / (frequency + 0.5))
