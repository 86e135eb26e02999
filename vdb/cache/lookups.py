"""Lookups that were answered, for a while: what a store, or a report, that names one has to know of it.

In memory only, bounded in number, bytes and age; a tenant's oldest go first where it has more than its share. The id is
random: one of another tenant is found as little as one that never was.
"""

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdb.cache.identity import Identity

KEPT_S = 600.0
KEPT = 16_384
KEPT_BYTES = 64 << 20
COMPARED_TENANTS = 64
"""So many tenants are compared where one that has less than its share needs room: it is looked for at every lookup."""


@dataclass(slots=True)
class Asked:
    """A lookup: what was asked, what was nearest, and whether that was served.

    `label_weight`: 1 over the probability with which a lookup like this one comes to be labelled; 0 where a label of it
    would say nothing. `is_guarded`: the guard was asked about the candidate, and passed it. `candidate` and `served`
    are numbers of entries. `names`: what names of collections led to then, the engine's own.
    """

    id: str
    tenant: int
    identity: Identity
    text: str
    vector: NDArray[np.float32] | None
    exact: bytes
    is_category_given: bool = True
    candidate: int | None = None
    similarity: float = 0.0
    score: float = 0.0
    label_weight: float = 0.0
    served: int | None = None
    is_guarded: bool = False
    is_labelled: bool = False
    load: float = 0.0
    names: Any = None
    at_s: float = 0.0

    @property
    def n_bytes(self) -> int:
        """What it takes in memory, about."""
        return 1024 + 4 * len(self.text) + (0 if self.vector is None else self.vector.nbytes)


def new_lookup_id() -> str:
    """64 random bits, as hex digits."""
    return secrets.token_hex(8)


class Lookups:
    """Thread-safe."""

    def __init__(self, kept: int = KEPT, kept_s: float = KEPT_S) -> None:
        self._kept = kept
        self._kept_s = kept_s
        self._lock = threading.Lock()
        self._of_tenant: dict[int, OrderedDict[str, Asked]] = {}
        self._n = 0
        self._n_bytes = 0

    def __len__(self) -> int:
        return self._n

    def put(self, asked: Asked) -> None:
        """Remember a lookup."""
        asked.at_s = time.monotonic()
        with self._lock:
            own = self._of_tenant.setdefault(asked.tenant, OrderedDict())
            own[asked.id] = asked
            self._n += 1
            self._n_bytes += asked.n_bytes
            self._drop_old(own, asked.at_s)
            while self._n > self._kept or self._n_bytes > KEPT_BYTES:
                has_share = len(own) > 1 and len(own) * len(self._of_tenant) >= self._n
                self._drop_first(own if has_share else self._largest())

    def get(self, tenant: int, lookup_id: str) -> Asked | None:
        """The tenant's lookup of that id, None where there is none (any more)."""
        with self._lock:
            own = self._of_tenant.get(tenant)
            asked = None if own is None else own.get(lookup_id)
        return asked if asked is not None and time.monotonic() - asked.at_s <= self._kept_s else None

    def claim_label(self, asked: Asked) -> bool:
        """Whether this is the first label of a lookup; from now on there is one."""
        with self._lock:
            is_first = not asked.is_labelled
            asked.is_labelled = True
            return is_first

    def give_label_back(self, asked: Asked) -> None:
        """The commit with the label failed: there may be another."""
        asked.is_labelled = False

    def forget_tenant(self, tenant: int) -> None:
        with self._lock:
            own = self._of_tenant.pop(tenant, OrderedDict())
            self._n -= len(own)
            self._n_bytes -= sum(asked.n_bytes for asked in own.values())

    def _drop_old(self, own: OrderedDict[str, Asked], now_s: float) -> None:
        while own and now_s - next(iter(own.values())).at_s > self._kept_s:
            self._drop_first(own)

    def _drop_first(self, own: OrderedDict[str, Asked]) -> None:
        _, asked = own.popitem(last=False)
        self._n -= 1
        self._n_bytes -= asked.n_bytes
        if not own:
            del self._of_tenant[asked.tenant]

    def _largest(self) -> OrderedDict[str, Asked]:
        """Of the tenants that have lookups for longest: the one that asked just now is the last of them."""
        return max(islice(self._of_tenant.values(), COMPARED_TENANTS), key=len)
