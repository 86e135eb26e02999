"""What a server says of all its indexes."""

from collections.abc import Callable
from dataclasses import dataclass

from vdb.engine.recall_checks import RecallChecker
from vdb.engine.tuner import LEAST_TUNED


@dataclass(frozen=True, slots=True)
class Indexing:
    """How a server's indexes are made: from how many vectors on (0: never), whether one must give up now, whether
    queries are recorded, who checks the recall of some searches (None: nobody), and from how many vectors on encodings
    and efforts are measured unasked."""

    from_points: int
    is_cancelled: Callable[[int], bool]
    is_recording: bool = True
    recall_checker: RecallChecker | None = None
    least_tuned: int = LEAST_TUNED
