"""Answer shapes of search by text: legs, fusion, text indexes. Conventions: `vdb.protocol.answers`."""

from msgspec import UNSET, Struct, UnsetType

from vdb.types import IndexState


class Leg(Struct, kw_only=True, omit_defaults=True):
    """What a leg made of a hit: its rank there, from 1, absent below the leg's depth; and its score.

    The score of the dense leg is minus the distance, absent where the point has no vector; of the sparse leg BM25.
    """

    rank: int | UnsetType = UNSET
    score: float | UnsetType = UNSET


class Legs(Struct, kw_only=True, omit_defaults=True):
    """The legs of a search by text."""

    dense: Leg | UnsetType = UNSET
    sparse: Leg | UnsetType = UNSET


class FusionChoice(Struct, kw_only=True):
    """How a collection's legs are fused where a search does not say."""

    kind: str
    weight: float
    rrf_k: float


class FusionLearned(Struct, kw_only=True):
    """What judged queries taught: the fusion, whether it is kept now, and the metric of each way on them.

    `learned` is measured on queries that it was not learned from (folds), like the others.
    """

    fusion: FusionChoice
    kept: bool
    n_queries: int
    metric: str
    dense: float
    sparse: float
    default: float
    learned: float


class TextIndex(Struct, kw_only=True):
    """A collection's text index; it is searched once it is `ready`."""

    fields: dict[str, int]
    language: str
    k1: float
    b: float
    state: IndexState
