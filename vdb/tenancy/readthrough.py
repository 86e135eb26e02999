"""A bounded cache in front of the catalog that never keeps what a commit has replaced."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ReadThrough(Generic[K, V]):
    """`get` answers from RAM or from `load`; absent things are not cached. Safe for any number of threads.

    A load that began before `forget` is not kept: it may have read the state before the commit.
    """

    def __init__(self, load: Callable[[K], V | None], capacity: int = 16_384) -> None:
        self._load = load
        self._capacity = capacity
        self._lock = threading.Lock()
        self._values: dict[K, V] = {}
        self._generation = 0

    def get(self, key: K) -> V | None:
        value = self._values.get(key)
        if value is not None:
            return value
        generation = self._generation
        value = self._load(key)
        if value is not None:
            self._keep(key, value, generation)
        return value

    def _keep(self, key: K, value: V, generation: int) -> None:
        with self._lock:
            if self._generation != generation:
                return
            if len(self._values) >= self._capacity:
                self._values.clear()
            self._values[key] = value

    def forget(self, *keys: K) -> None:
        """Call after the commit that changed `keys`, before it is acknowledged."""
        with self._lock:
            self._generation += 1
            for key in keys:
                self._values.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._generation += 1
            self._values.clear()
