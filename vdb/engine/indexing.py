"""What a server says of all its indexes."""

from collections.abc import Callable
from dataclasses import dataclass

from vdb.engine.recall_checks import RecallChecker
from vdb.engine.tuner import LEAST_TUNED
from vdb.storage.codec import Usage
from vdb.types import Tier

TierOf = Callable[[int, Usage, Tier | None], Tier]
"""Where the index of a collection (its id) that holds so much is to lie, memory, hybrid or disk; and where it does."""


def by_default(collection_id: int, usage: Usage, present: Tier | None) -> Tier:
    return Tier.HYBRID


@dataclass(frozen=True, slots=True)
class Indexing:
    """How a server's indexes are made: from how many vectors on (0: never), whether one must give up now, whether
    queries are recorded, who checks the recall of some searches (None: nobody), from how many vectors on encodings
    and efforts are measured unasked, and where a collection's index is to lie."""

    from_points: int
    is_cancelled: Callable[[int], bool]
    is_recording: bool = True
    recall_checker: RecallChecker | None = None
    least_tuned: int = LEAST_TUNED
    tier_of: TierOf = by_default
