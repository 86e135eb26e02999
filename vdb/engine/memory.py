"""The cap on vectors held in RAM: least recently searched readings are dropped first."""

import threading
from collections import OrderedDict
from collections.abc import Callable

Place = tuple[int, int]
"""(collection id, tenant id) of a reading."""


class MemoryCap:
    """Counts the bytes of resident readings over all collections and evicts beyond the cap. Thread-safe.

    `evict(place)` is called outside the lock. The reading just kept is never the one dropped, so that one larger than
    the cap is still answered.
    """

    def __init__(self, max_bytes: int, evict: Callable[[Place], None]) -> None:
        self._max_bytes = max_bytes
        self._evict = evict
        self._lock = threading.Lock()
        self._sizes: OrderedDict[Place, int] = OrderedDict()
        self._n_bytes = 0
        self.n_evictions = 0

    def touch(self, place: Place) -> None:
        """The reading was searched."""
        with self._lock:
            if place in self._sizes:
                self._sizes.move_to_end(place)

    def keep(self, place: Place, n_bytes: int) -> None:
        """The reading was just loaded and has this size."""
        with self._lock:
            self._n_bytes += n_bytes - self._sizes.pop(place, 0)
            self._sizes[place] = n_bytes
            victims = self._shrink()
        for victim in victims:
            self._evict(victim)

    def resize(self, place: Place, n_bytes: int) -> None:
        """The reading grew by writes; unlike `keep` it does not count as searched."""
        with self._lock:
            if place not in self._sizes:
                return
            self._n_bytes += n_bytes - self._sizes[place]
            self._sizes[place] = n_bytes
            victims = self._shrink()
        for victim in victims:
            self._evict(victim)

    def _shrink(self) -> list[Place]:
        victims: list[Place] = []
        while self._n_bytes > self._max_bytes and len(self._sizes) > 1:
            victim, size = self._sizes.popitem(last=False)
            self._n_bytes -= size
            victims.append(victim)
        self.n_evictions += len(victims)
        return victims

    def forget(self, place: Place) -> None:
        """The reading is gone for another reason."""
        with self._lock:
            self._n_bytes -= self._sizes.pop(place, 0)

    @property
    def n_bytes(self) -> int:
        return self._n_bytes

    def n_bytes_beside(self, place: Place) -> int:
        """Bytes of all others."""
        with self._lock:
            return self._n_bytes - self._sizes.get(place, 0)
