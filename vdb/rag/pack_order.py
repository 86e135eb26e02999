"""The order of passages in a context: best first, as in their documents, the best at both ends, or canonical."""

from collections.abc import Sequence

from vdb.protocol.answer_requests import Order
from vdb.rag.passage import Passage

__all__ = ["ordered"]


def ordered(passages: Sequence[Passage], order: Order) -> list[int]:
    """Places of passages, which are given best first, in an order.

    `document`: documents by their best passage, passages as they stand in them. `edges`: the best first, the second
    best last, and so on inwards (Liu et al., "Lost in the Middle", 2023). `prefix`: by document, chunk and id alone, so
    that contexts that share their first passages begin alike whatever was asked.
    """
    places = list(range(len(passages)))
    if order == "edges":
        return places[::2] + places[1::2][::-1]
    if order == "prefix":
        return sorted(places, key=lambda at: _canonical(passages[at]))
    if order == "document":
        best: dict[str, int] = {}
        for at in places:
            best.setdefault(_document(passages[at]), at)
        return sorted(places, key=lambda at: (best[_document(passages[at])], _canonical(passages[at])))
    return places


def _document(passage: Passage) -> str:
    """What tells documents apart; a point that belongs to none is its own."""
    return f"{passage.owner}/{passage.document}" if passage.document else f"{passage.owner}//{passage.id}"


def _canonical(passage: Passage) -> tuple[str, str, int, int, str]:
    chunk = -1 if passage.chunk is None else passage.chunk
    return passage.document, passage.owner, chunk, passage.start or 0, passage.id
