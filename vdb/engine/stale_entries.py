"""Entries of caches that look-ups found stale: nobody is served them, and the next round of upkeep removes them."""

import threading

KEPT = 65_536
Place = tuple[int, int]


class StaleEntries:
    """Thread-safe, bounded: what does not fit is found again, by a look-up or a sweep."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[int, set[Place]] = {}

    def note(self, cache_id: int, place: Place) -> None:
        """(tenant, number) of an entry of a cache."""
        with self._lock:
            found = self._places.setdefault(cache_id, set())
            if len(found) < KEPT:
                found.add(place)

    def take(self, cache_id: int) -> set[Place]:
        """Those of a cache; they are not known here any more."""
        with self._lock:
            return self._places.pop(cache_id, set())
