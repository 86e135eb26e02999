"""Single flight: of those who ask one thing at one time, one answers and the others may wait for it."""

import threading
import time
from dataclasses import dataclass

LEASE_S = 30.0
CLEAN_ABOVE = 1_024

Key = tuple[int, bytes]
"""(tenant, exact key) of a question."""


@dataclass(frozen=True, slots=True)
class Held:
    """Whoever holds it answers until `ends_s` (of `monotonic`)."""

    id: str
    ends_s: float

    @property
    def remaining_s(self) -> float:
        return self.ends_s - time.monotonic()


class Leases:
    """Thread-safe, in memory only. A lease ends with the answer, given back, or by itself."""

    def __init__(self, lease_s: float = LEASE_S) -> None:
        self._lease_s = lease_s
        self._lock = threading.Lock()
        self._held: dict[Key, Held] = {}
        self._clean_at = CLEAN_ABOVE

    def take(self, key: Key, lease_id: str) -> Held | None:
        """A lease on the question, or None where somebody else answers it now."""
        now_s = time.monotonic()
        with self._lock:
            held = self._held.get(key)
            if held is not None and held.ends_s > now_s:
                return None
            mine = self._held[key] = Held(lease_id, now_s + self._lease_s)
            if len(self._held) > self._clean_at:
                self._clean(now_s)
            return mine

    def is_held(self, key: Key) -> bool:
        """Whether somebody answers the question now."""
        held = self._held.get(key)
        return held is not None and held.ends_s > time.monotonic()

    def is_mine(self, key: Key, lease_id: str) -> bool:
        """Whether the lease still holds."""
        held = self._held.get(key)
        return held is not None and held.id == lease_id and held.ends_s > time.monotonic()

    def give_back(self, key: Key, lease_id: str) -> None:
        """Those who wait may answer; nothing happens where the lease is somebody else's by now."""
        with self._lock:
            held = self._held.get(key)
            if held is not None and held.id == lease_id:
                del self._held[key]

    def _clean(self, now_s: float) -> None:
        self._held = {key: held for key, held in self._held.items() if held.ends_s > now_s}
        self._clean_at = max(CLEAN_ABOVE, 2 * len(self._held))
