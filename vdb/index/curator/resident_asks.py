"""What is asked of an index on a device, one by one, and why it may not answer."""

from dataclasses import dataclass
from enum import StrEnum

from vdb.index.curator.index import Effort
from vdb.index.curator.state import Reading, State
from vdb.kernels.reference import Float32s


class Refusal(StrEnum):
    """Why an ask was not answered: the host answers it."""

    NOT_RESIDENT = "not resident"
    """Rows of it are not there; they were asked for, and a later search may find them."""
    NO_ROOM = "no room"
    """All that it searches is more than the device's memory for this index."""
    NO_VECTORS = "no vectors"
    """It is exact, and only codes are there."""
    TOO_DEEP = "too deep"
    """It wants more neighbours or candidates than kernels keep."""
    SHORT = "short"
    """Fewer neighbours than it wants were found where not everything was visited: a larger budget finds more."""
    OLDER = "older"
    """Its state is of another layout than what is there, or the index is gone."""


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """One search, as `CuratorIndex.search` takes it: `query` float32 (D,), finite, as it came.

    `is_exact`: every row of the readings is compared by its vector, whatever the effort.
    """

    state: State
    mine: Reading
    everyones: Reading
    query: Float32s
    k: int
    sequence: int
    now_ms: int
    effort: Effort
    is_exact: bool = False
