"""What an accelerator has done since the start. Written by its own thread, and by searches that it refused."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Declined", "Figures"]


class Declined(StrEnum):
    """Why the CPU answers what an accelerator was asked; what a copy of an index says is `resident.Refusal`'s."""

    NO_DEVICE = "no device"
    LOST = "device lost"
    FAILED = "device failed"
    MEMORY = "out of device memory"
    BUSY = "device busy"
    STOPPING = "shutting down"
    NOT_INDEXED = "not by an index"
    ON_DISK = "tier disk"
    IN_ROUNDS = "filter in rounds"
    WORDS = "words only"
    NO_VECTORS = "vectors not resident"


@dataclass(slots=True)
class Figures:
    """Counts: queries that the device answered, and by why the CPU did instead; batches, the queries in them and the
    requests that they had a part of.

    `n_waits`: batches that waited for more. `n_abandoned`: queries that nobody waited for any more when their turn
    came. One that races another may not be counted.
    """

    n_searched: int = 0
    n_batches: int = 0
    n_batched: int = 0
    n_requests: int = 0
    n_waits: int = 0
    n_abandoned: int = 0
    n_out_of_memory: int = 0
    n_failures: int = 0
    declined: Counter[str] = field(default_factory=Counter)
