"""One queue of entries in the order of SIEVE (NSDI 2024): one bit per entry, one hand, no lock for a hit.

New entries come in at the head, nothing moves on a hit. The hand goes from the tail to the head, and from there to the
tail again; it clears bits that are set and takes the first entry whose bit is not. An entry that is likely to be asked
for again comes in with its bit set, so that others go first: that is the one-bit hint. Likely is what the caller says,
and what has gone from the queue not long ago and now comes back: the queue remembers as many keys as it has entries.

Every change can be undone, in reverse order: unlinked entries keep their neighbours.
"""

from collections.abc import Callable

GHOSTS_AT_LEAST = 64
"""Keys remembered of what has gone, where there are fewer entries than that."""

Undo = list[Callable[[], object]]
"""What undoes the changes noted so far, in reverse order."""


class Node:
    """An entry in a queue. `is_visited` may be set by any thread at any time."""

    __slots__ = ("after", "before", "is_visited", "key", "n_bytes", "number", "sieve")

    def __init__(self, number: int, n_bytes: int, key: bytes, is_visited: bool) -> None:
        self.number = number
        self.n_bytes = n_bytes
        self.key = key
        self.is_visited = is_visited
        self.before: Node = self
        """Towards the head: newer."""
        self.after: Node = self
        """Towards the tail: older."""
        self.sieve: Sieve | None = None


class Sieve:
    """The queue of one class of entries. Changed by one thread at a time; bits of its nodes by any."""

    def __init__(self) -> None:
        self._end = Node(-1, 0, b"", False)
        """Before the head and after the tail: the queue is a ring."""
        self._hand = self._end
        self._ghosts: dict[bytes, None] = {}
        self.n_entries = 0
        self.n_bytes = 0

    def add(self, node: Node, undo: Undo) -> None:
        """A new entry at the head; its bit is set if its key is remembered."""
        if node.key in self._ghosts:
            node.is_visited = True
            del self._ghosts[node.key]
            undo.append(lambda: self._ghosts.setdefault(node.key))
        node.sieve, node.before, node.after = self, self._end, self._end.after
        self._link(node)
        undo.append(lambda: self._unlink(node))

    def remove(self, node: Node, undo: Undo) -> None:
        """Take an entry out, wherever it stands."""
        hand = self._hand
        if hand is node:
            self._hand = node.before
        self._unlink(node)
        undo.append(lambda: self._put_back(node, hand))

    def evict(self, undo: Undo) -> Node:
        """Take out the entry at which the hand stops, and remember its key. There has to be one."""
        hand, cleared = self._hand, []
        node = self._end.before if hand is self._end else hand
        while node.is_visited:
            node.is_visited = False
            cleared.append(node)
            node = node.before
            if node is self._end:
                node = node.before
        self._hand = node
        undo.append(lambda: self._turn_back(hand, cleared))
        self.remove(node, undo)
        if node.key not in self._ghosts:
            self._ghosts[node.key] = None
            undo.append(lambda: self._ghosts.pop(node.key, None))
        return node

    def trim_ghosts(self) -> None:
        """Forget the oldest keys beyond as many as there are entries. Not undone."""
        n_kept = max(self.n_entries, GHOSTS_AT_LEAST)
        while len(self._ghosts) > n_kept:
            del self._ghosts[next(iter(self._ghosts))]

    def numbers(self) -> list[int]:
        """The entries from the newest to the oldest."""
        found, node = [], self._end.after
        while node is not self._end:
            found.append(node.number)
            node = node.after
        return found

    def _link(self, node: Node) -> None:
        node.before.after = node.after.before = node
        self.n_entries += 1
        self.n_bytes += node.n_bytes

    def _unlink(self, node: Node) -> None:
        node.before.after, node.after.before = node.after, node.before
        self.n_entries -= 1
        self.n_bytes -= node.n_bytes

    def _put_back(self, node: Node, hand: Node) -> None:
        self._link(node)
        self._hand = hand

    def _turn_back(self, hand: Node, cleared: list[Node]) -> None:
        self._hand = hand
        for node in cleared:
            node.is_visited = True
