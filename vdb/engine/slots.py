"""Slots of an index's vectors file that its newest layout does not name: given back, and used again, in time.

A search that began earlier may read them still, and a crash goes back to the layout that was saved last. So slots wait
until a layout without them is saved and nobody holds a state of a layout before it.
"""

import logging
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdb.errors import StorageFailure
from vdb.storage.vectors_file import VectorsFile

logger = logging.getLogger(__name__)

Reader = weakref.ref[Any]
"""Alive while anybody holds a state of that layout: it is of something that all states of one layout share."""


@dataclass(slots=True)
class _Batch:
    """Slots that a layout left out, and the layouts before it."""

    slots: NDArray[np.uint32]
    readers: list[Reader]
    is_saved: bool = False


class OldSlots:
    """Those of one vectors file. Used by the thread that works on the index."""

    def __init__(self) -> None:
        self._batches: list[_Batch] = []
        self._layouts: list[Reader] = []

    def clear(self) -> None:
        """There is another file."""
        self._batches.clear()
        self._layouts.clear()

    def leave(self, slots: NDArray[np.uint32]) -> None:
        """A layout that is not shown yet does without these; earlier ones may name them."""
        self._batches.append(_Batch(slots, self._held()))

    def leave_unnamed(self, slots: NDArray[np.uint32]) -> None:
        """An index was read from its file, which does without these."""
        self._batches = [_Batch(slots, self._held(), is_saved=True)]

    def show(self, shared: object) -> None:
        """Searches may hold states of a layout from now on, which all have `shared`."""
        self._layouts = [*self._held(), weakref.ref(shared)]

    def saved(self) -> None:
        """A layout without all that was left so far is on disk."""
        for batch in self._batches:
            batch.is_saved = True

    def release(self, vectors: VectorsFile) -> NDArray[np.uint32]:
        """Give back what nobody reads any more; returns the slots, which may be used again."""
        n = 0
        while n < len(self._batches) and self._is_over(self._batches[n]):
            n += 1
        batches, self._batches = self._batches[:n], self._batches[n:]
        slots = np.concatenate([np.zeros(0, np.uint32), *(batch.slots for batch in batches)])
        try:
            vectors.free(slots)
        except StorageFailure as exc:
            logger.warning("slots of an index's vectors were not given back", exc_info=exc)
        return slots

    def _held(self) -> list[Reader]:
        return [layout for layout in self._layouts if layout() is not None]

    def _is_over(self, batch: _Batch) -> bool:
        return batch.is_saved and all(layout() is None for layout in batch.readers)


def unnamed(named: NDArray[np.uint32], n_slots: int) -> NDArray[np.uint32]:
    """The other slots below `n_slots`."""
    is_named = np.zeros(n_slots, np.bool_)
    is_named[named] = True
    return np.flatnonzero(~is_named).astype(np.uint32)
