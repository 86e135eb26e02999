"""How rare the terms of a question are among all that a tenant may see: the weights that BM25 gives them."""

from collections.abc import Iterable

from vdb.rag.sparse import rarity
from vdb.storage.env import Transaction
from vdb.storage.keyspace import EVERYONE_ID, postings_prefix
from vdb.storage.text_index import read_statistics
from vdb.storage.text_postings import read_blocks, term_hash

__all__ = ["rarities"]

_POSTING_SHIFT = 3
"""A posting takes 8 bytes."""


def rarities(txn: Transaction, tenant_id: int, terms: Iterable[str]) -> dict[str, float]:
    """Rarity of each term among the points with text that the tenant or everyone may see; empty where there are none.

    Raises CorruptData for damaged blocks or statistics.
    """
    audiences = [
        (audience, n_points) for audience in (tenant_id, EVERYONE_ID) if (n_points := read_statistics(txn, audience)[0])
    ]
    n_points = sum(n for _, n in audiences)
    if not n_points:
        return {}
    found: dict[str, float] = {}
    with txn.cursor() as cursor:
        for term in dict.fromkeys(terms):
            name = term_hash(term)
            n_bytes = sum(
                len(block)
                for audience, _ in audiences
                for block in read_blocks(cursor, postings_prefix(audience, name))
            )
            found[term] = rarity(n_points, n_bytes >> _POSTING_SHIFT)
    return found
