"""A candidate of a search by text, its record read and found fit to be answered."""

from dataclasses import dataclass

from vdb.storage.codec import Record


@dataclass(slots=True)
class Scored:
    """`score` orders it, higher is better; `distance` nan where there is none, `sparse` BM25; ranks from 1, 0 for none.

    Ranks are those in the legs' own lists.
    """

    pid: int
    owner: int
    record: Record
    score: float
    distance: float
    sparse: float
    dense_rank: int
    sparse_rank: int
