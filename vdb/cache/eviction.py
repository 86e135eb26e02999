"""Which entries give way: quotas of each (tenant, category), bounds of the whole cache, SIEVE inside a class.

A *class* is a (tenant, category). Its quota is a *reserve*, which no other class takes from it, and a cap. Where a
class is at its cap, an entry that comes in pushes out one of the same class. Where the whole cache is at a bound, the
class that is furthest above its reserve gives one up, until there is room. A class within its reserve of entries or of
bytes gives up nothing to others. Where nobody is above, the class that wants to store gives up an entry of its own, and
if it has none, the entry is refused.

All in memory, by entries' numbers; after a restart entries are `load`ed, oldest first. Furthest is found in a heap
whose keys may be too high: what is taken from it is looked at again. Whatever is done can be undone, the latest first:
a commit that fails leaves everything as it was.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush

from vdb.cache.sieve import Node, Sieve, Undo
from vdb.errors import InvalidArgument, LimitReached, TooLarge

HEAP_SLACK = 64
"""A heap is made anew when it has twice as many keys as there are classes, and this many."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What each tenant's entries of a category may keep (reserve) and at most take (cap, None for none)."""

    reserve_entries: int = 0
    reserve_bytes: int = 0
    max_entries: int | None = None
    max_bytes: int | None = None

    def reserves_more_than(self, other: "Quota") -> bool:
        """Of entries or of bytes."""
        return self.reserve_entries > other.reserve_entries or self.reserve_bytes > other.reserve_bytes


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the whole cache may take, None for no bound."""

    max_entries: int | None = None
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """An entry that is to be stored. `key` is its exact key; `is_likely`: it will probably be asked for again."""

    tenant: int
    category: str
    number: int
    n_bytes: int
    key: bytes
    is_likely: bool = False


@dataclass(slots=True)
class Admission:
    """What a change did: `victims` are the numbers of the entries that have to go, in the order they were chosen."""

    victims: list[int] = field(default_factory=list)
    undo: Undo = field(default_factory=list)


class _Class(Sieve):
    """The entries of a tenant in a category."""

    def __init__(self, place: tuple[int, str], quota: Quota) -> None:
        super().__init__()
        self.place = place
        self.quota = quota
        self.listed = [0, 0]
        """The key it has in the heap of entries, and in that of bytes; 0 for none."""

    @property
    def excess(self) -> tuple[int, int]:
        """Entries and bytes above its reserve: what it may lose to others, unless it is within the other reserve."""
        n_entries, n_bytes = self.n_entries - self.quota.reserve_entries, self.n_bytes - self.quota.reserve_bytes
        return (n_entries, n_bytes) if n_entries > 0 and n_bytes > 0 else (0, 0)

    def is_over_cap(self, n_entries: int, n_bytes: int) -> bool:
        """Whether that many more would be too many."""
        cap = self.quota
        return _is_over(self.n_entries + n_entries, cap.max_entries) or _is_over(self.n_bytes + n_bytes, cap.max_bytes)


class Eviction:
    """The entries of one cache. Changed by whoever holds its turn to write; `hit` may be called by any thread."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.n_entries = 0
        self.n_bytes = 0
        self._quotas: dict[str, Quota] = {}
        self._classes: dict[tuple[int, str], _Class] = {}
        self._nodes: dict[int, Node] = {}
        self._heaps: tuple[list[tuple[int, int, str]], ...] = ([], [])
        self._changed: set[tuple[int, str]] = set()

    def __contains__(self, number: int) -> bool:
        return number in self._nodes

    def hit(self, number: int) -> None:
        """The entry was served: it stays a while longer."""
        node = self._nodes.get(number)
        if node is not None:
            node.is_visited = True

    def set_quota(self, category: str, quota: Quota, n_tenants: int = 1) -> None:
        """Give a category its quota; classes above a new cap shrink with `trim`, or when they store next.

        Raises InvalidArgument where the reserves of all categories, each as often as tenants have entries there (this
        one at least `n_tenants` times), are more than the whole cache, or the cap is below the reserve.
        """
        self._refuse_quota(category, quota, n_tenants)
        self.restore_quota(category, quota)

    def restore_quota(self, category: str, quota: Quota) -> None:
        """Give a category a quota that it had before: at the start, or when a commit has failed."""
        self._quotas[category] = quota
        for place, known in self._classes.items():
            if place[1] == category:
                known.quota = quota
                self._list(known)

    def _refuse_quota(self, category: str, quota: Quota, n_tenants: int) -> None:
        pairs = ((quota.reserve_entries, quota.max_entries), (quota.reserve_bytes, quota.max_bytes))
        if any(cap is not None and reserve > cap for reserve, cap in pairs):
            raise InvalidArgument("the reserve is larger than the cap")
        places = {place for place, known in self._classes.items() if known.n_entries}
        n_here = max(n_tenants, sum(place[1] == category for place in places))
        entries, n_bytes = quota.reserve_entries * n_here, quota.reserve_bytes * n_here
        for _, name in places:
            other = self._quotas.get(name) if name != category else None
            entries += other.reserve_entries if other is not None else 0
            n_bytes += other.reserve_bytes if other is not None else 0
        if _is_over(entries, self.bounds.max_entries) or _is_over(n_bytes, self.bounds.max_bytes):
            raise InvalidArgument(
                f"the reserves of this and the other categories would be {entries} entries and {n_bytes} bytes, more "
                f"than the cache's {self.bounds.max_entries} and {self.bounds.max_bytes}"
            )

    def load(self, entries: Iterable[Incoming]) -> None:
        """Take in what is stored, oldest first; bounds and caps that it exceeds are kept by `trim`."""
        for entry in entries:
            self._insert(entry, [])

    def admit(self, entry: Incoming, replaces: int | None = None) -> Admission:
        """Make room for an entry and take it in; the entry it `replaces` goes first, and is no victim.

        Raises TooLarge (it alone exceeds a cap) and LimitReached (all the rest is reserved); then nothing has changed.
        """
        assert entry.number not in self._nodes or entry.number == replaces, "numbers are unique"
        self._tidy()
        done = Admission()
        try:
            if replaces is not None and replaces in self._nodes:
                self._take_out(self._nodes[replaces], done.undo)
                entry = replace(entry, is_likely=True)
            own = self._class_of(entry.tenant, entry.category)
            self._refuse_large(entry, own.quota)
            while own.n_entries and own.is_over_cap(1, entry.n_bytes):
                self._evict(own, done)
            self._make_room(1, entry.n_bytes, done, own)
            self._insert(entry, done.undo)
        except BaseException:
            self.undo(done)
            raise
        return done

    def remove(self, number: int) -> Admission:
        """An entry has gone for another reason; one that is not here is fine."""
        done = Admission()
        node = self._nodes.get(number)
        if node is not None:
            self._take_out(node, done.undo)
        return done

    def trim(self, n_max: int) -> Admission:
        """Choose up to `n_max` entries that are beyond a cap or a bound; fewer mean that none is left to choose."""
        self._tidy()
        done = Admission()
        for own in list(self._classes.values()):
            while len(done.victims) < n_max and own.is_over_cap(0, 0) and own.n_entries:
                self._evict(own, done)
        self._make_room(0, 0, done, None, n_max)
        return done

    def undo(self, done: Admission) -> None:
        """Take a change back; the latest first, where there are several."""
        for step in reversed(done.undo):
            step()
        done.undo.clear()
        done.victims.clear()

    # One entry

    def _insert(self, entry: Incoming, undo: Undo) -> None:
        own = self._class_of(entry.tenant, entry.category)
        node = Node(entry.number, entry.n_bytes, entry.key, entry.is_likely)
        self._nodes[entry.number] = node
        own.add(node, undo)
        self._count(own, 1, entry.n_bytes)
        undo.append(lambda: self._nodes.pop(entry.number))
        undo.append(lambda: self._count(own, -1, -entry.n_bytes))

    def _take_out(self, node: Node, undo: Undo) -> None:
        own = node.sieve
        assert isinstance(own, _Class)
        own.remove(node, undo)
        self._forget(own, node, undo)

    def _evict(self, own: _Class, done: Admission) -> None:
        node = own.evict(done.undo)
        self._forget(own, node, done.undo)
        done.victims.append(node.number)

    def _forget(self, own: _Class, node: Node, undo: Undo) -> None:
        del self._nodes[node.number]
        self._count(own, -1, -node.n_bytes)
        undo.append(lambda: self._nodes.__setitem__(node.number, node))
        undo.append(lambda: self._count(own, 1, node.n_bytes))

    def _count(self, own: _Class, n_entries: int, n_bytes: int) -> None:
        self.n_entries += n_entries
        self.n_bytes += n_bytes
        self._changed.add(own.place)
        if (
            self._classes.get(own.place) is not own
        ):  # it was forgotten while it was empty, and what emptied it is undone
            self._classes[own.place] = own
            own.quota = self._quotas.get(own.place[1], Quota())

    # Whose turn it is

    def _refuse_large(self, entry: Incoming, quota: Quota) -> None:
        caps = [cap for cap in (quota.max_bytes, self.bounds.max_bytes) if cap is not None]
        if caps and entry.n_bytes > min(caps):
            raise TooLarge(f"the entry takes {entry.n_bytes} bytes, of at most {min(caps)} here")
        if 0 in (quota.max_entries, self.bounds.max_entries):
            raise LimitReached("no entry may be stored here: the cap is 0")

    def _make_room(
        self, n_entries: int, n_bytes: int, done: Admission, own: _Class | None, n_max: int = 1 << 62
    ) -> None:
        """Evict until so much more fits, or `n_max` have to go; raises LimitReached where `own` has nothing to give."""
        passed: list[_Class] = []
        try:
            while len(done.victims) < n_max:
                if _is_over(self.n_entries + n_entries, self.bounds.max_entries):
                    is_done = self._take_furthest(0, passed, done)
                elif _is_over(self.n_bytes + n_bytes, self.bounds.max_bytes):
                    is_done = self._take_furthest(1, passed, done)
                else:
                    return
                if is_done:
                    continue
                if own is None:
                    return
                if not own.n_entries:
                    raise LimitReached("the cache is full of entries that others have a reserve for")
                self._evict(own, done)
        finally:
            for known in passed:
                self._list(known)

    def _take_furthest(self, dimension: int, passed: list[_Class], done: Admission) -> bool:
        """Evict one entry of the class that is furthest above its reserve; whether any class had one to give."""
        self._list_changed()
        heap = self._heaps[dimension]
        while heap:
            key, tenant, category = heappop(heap)
            known = self._classes.get((tenant, category))
            if known is None or known.listed[dimension] != -key:
                continue  # a key that another has replaced
            known.listed[dimension] = 0
            if known.excess[dimension] != -key:
                self._list(known)
                continue
            if self._give(known, done):
                return True
            self._changed.discard(known.place)
            passed.append(known)
        return False

    def _give(self, known: _Class, done: Admission) -> bool:
        """Evict one entry, unless the class would then have fewer bytes than its reserve."""
        n_undo = len(done.undo)
        self._evict(known, done)
        if known.n_bytes >= known.quota.reserve_bytes:
            return True
        for step in reversed(done.undo[n_undo:]):
            step()
        del done.undo[n_undo:]
        done.victims.pop()
        return False

    def _list_changed(self) -> None:
        for place in self._changed:
            known = self._classes.get(place)
            if known is not None:
                self._list(known)
        self._changed.clear()

    def _list(self, known: _Class) -> None:
        """Enter a class into the heaps where it is further above its reserve than they say."""
        for dimension, excess in enumerate(known.excess):
            if excess > known.listed[dimension]:
                known.listed[dimension] = excess
                heappush(self._heaps[dimension], (-excess, *known.place))

    # Classes

    def _class_of(self, tenant: int, category: str) -> _Class:
        place = (tenant, category)
        known = self._classes.get(place)
        if known is None:
            known = self._classes[place] = _Class(place, self._quotas.get(category, Quota()))
        return known

    def _tidy(self) -> None:
        """Between two changes: forget empty classes, keys of long ago, and keys of heaps that count no more."""
        for place in self._changed:
            known = self._classes.get(place)
            if known is not None and not known.n_entries:
                del self._classes[place]
            elif known is not None:
                known.trim_ghosts()
        self._list_changed()
        for dimension, heap in enumerate(self._heaps):
            if len(heap) > 2 * len(self._classes) + HEAP_SLACK:
                listed = ((known.listed[dimension], place) for place, known in self._classes.items())
                heap[:] = [(-excess, *place) for excess, place in listed if excess]
                heapify(heap)


def _is_over(number: int, cap: int | None) -> bool:
    return cap is not None and number > cap
