"""An answer on its way into a cache."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vdb.cache.leases import Key
from vdb.cache.lookups import Asked
from vdb.cache.memory import Resident
from vdb.cache.policy import Policy
from vdb.protocol.cache_requests import Verdict
from vdb.storage.cache_codec import CacheEntry


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be stored, checked as far as it can be before the commit."""

    entry: CacheEntry
    vector: NDArray[np.float32] | None
    answer: bytes
    asked: Asked | None
    policy: Policy
    verdict: Verdict | None
    checked: Resident
    lease: tuple[Key, str]
