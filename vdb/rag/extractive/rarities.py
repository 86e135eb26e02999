"""How rare the terms of a question are among all that a tenant may see: the weights that BM25 gives them."""

from collections.abc import Iterable

from vdb.rag.kept_postings import TermPostings
from vdb.rag.sparse import rarity
from vdb.storage.env import Transaction
from vdb.storage.keyspace import EVERYONE_ID, postings_prefix
from vdb.storage.text_index import read_statistics
from vdb.storage.text_postings import read_blocks, term_hash

__all__ = ["rarities"]

_POSTING_SHIFT = 3
"""A posting takes 8 bytes."""


def rarities(
    txn: Transaction, tenant_id: int, terms: Iterable[str], known: TermPostings | None = None
) -> dict[str, float]:
    """Rarity of each term among the points with text that the tenant or everyone may see; empty where there are none.

    `known`: what is known already of the tenant at this snapshot, as its search keeps it. Raises CorruptData for
    damaged blocks or statistics.
    """
    statistics, lists = (None, {}) if known is None else (known.statistics, known.lists)
    if statistics is None:
        statistics = read_statistics(txn, tenant_id), read_statistics(txn, EVERYONE_ID)
    counts = [(audience, n) for audience, (n, _) in zip((tenant_id, EVERYONE_ID), statistics, strict=True) if n]
    n_points = sum(n for _, n in counts)
    if not n_points:
        return {}
    found: dict[str, float] = {}
    missing: list[str] = []
    for term in terms:
        if (kept := lists.get(term)) is not None:
            found[term] = rarity(n_points, sum(map(len, kept)) >> _POSTING_SHIFT)
        elif term not in found:
            found[term] = 0.0
            missing.append(term)
    if missing:
        with txn.cursor() as cursor:
            for term in missing:
                name = term_hash(term)
                n_bytes = sum(
                    len(block)
                    for audience, _ in counts
                    for block in read_blocks(cursor, postings_prefix(audience, name))
                )
                found[term] = rarity(n_points, n_bytes >> _POSTING_SHIFT)
    return found
