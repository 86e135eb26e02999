"""What was written to a collection since it was opened, by whom it touches: how cached answers see that they are stale.

Per tenant the sequence of the last commit that changed anything it may see, or might see before; and the last few
thousand points that were written. Commits are published here before they are answered.
"""

import threading
from collections import deque
from collections.abc import Sequence
from itertools import islice

from vdb.storage.index_changes import Touch
from vdb.storage.keyspace import EVERYONE_ID

KEPT_TOUCHES = 4_096
"""Touches that are remembered one by one. An upsert of plain new points is one, whatever their number."""


class Touched:
    """Thread-safe. A sequence is one that a snapshot may have: of the end of a commit."""

    def __init__(self, sequence: int) -> None:
        self._lock = threading.Lock()
        self.start_over(sequence)

    def start_over(self, sequence: int) -> None:
        """Nothing is known of what was written up to `sequence`."""
        with self._lock:
            self._known_from = self._listed_from = sequence
            self._last: dict[int, int] = {}
            self._touches: deque[tuple[int, Touch]] = deque()

    def publish(self, sequence: int, touches: Sequence[Touch]) -> None:
        """A commit has ended at `sequence`."""
        if not touches:
            return
        with self._lock:
            for touch in touches:
                self._last[touch.owner] = sequence
                for grantee in touch.grantees:
                    self._last[grantee] = sequence
                self._touches.append((sequence, touch))
            while len(self._touches) > KEPT_TOUCHES:
                self._listed_from = max(self._listed_from, self._touches.popleft()[0])

    def is_untouched(self, tenant_id: int, since: int) -> bool:
        """Whether nothing that the tenant may see, or saw, was written after `since`."""
        last = self._last
        is_untouched = last.get(tenant_id, 0) <= since and last.get(EVERYONE_ID, 0) <= since
        return is_untouched and since >= self._known_from  # last: who starts over moves it before it forgets the rest

    def since(self, sequence: int) -> list[Touch] | None:
        """All touches of commits after `sequence`; None where they are not all remembered."""
        with self._lock:
            if sequence < self._listed_from:
                return None
            n_new = 0
            for at, _ in reversed(self._touches):
                if at <= sequence:
                    break
                n_new += 1
            return [touch for _, touch in islice(self._touches, len(self._touches) - n_new, None)]


def concerns(touch: Touch, tenant_id: int) -> bool:
    """Whether the tenant may see the points, or might before."""
    return touch.owner == tenant_id or tenant_id in touch.grantees or EVERYONE_ID in touch.grantees
