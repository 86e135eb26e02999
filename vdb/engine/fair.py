"""Whose turn it is: queues that are fair between tenants, and first come, first served within one.

Start-time fair queueing (Goyal, Vin, Chen, IEEE/ACM ToN 1997): the queue has a clock in units of cost. What a tenant
has taken moves its tag on by what that cost; next is the waiting tenant with the smallest tag. So tenants with waiting
work share by cost, whatever they have waiting, and with equal costs they take turns. A tenant that had nothing waiting
begins at the clock: it has saved nothing up, and owes what it took beyond its share only while others wait.

Flow 0 is the server's own work and that of no tenant. Nothing here is locked; callers hold their own lock.
"""

from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T")

NO_TENANT = 0
"""The flow of work that belongs to no tenant; their ids begin at 1."""

_IDLE_KEPT = 64
"""Tenants without waiting work whose tags are kept before they are looked through."""


class _Flow(Generic[T]):
    __slots__ = ("items", "tag")

    def __init__(self) -> None:
        self.items: deque[tuple[T, float]] = deque()
        self.tag = 0.0


class FairQueue(Generic[T]):
    """Items of flows, taken fairly. An item of the flow that waits alone costs two look-ups more than in a deque."""

    def __init__(self) -> None:
        self._flows: dict[int, _Flow[T]] = {}
        self._turns: list[tuple[float, int, int]] = []
        self._clock = 0.0
        self._n_puts = 0
        self._n_items = 0

    def __len__(self) -> int:
        return self._n_items

    def __iter__(self) -> Iterator[T]:
        """All items, flow by flow."""
        return (item for flow in self._flows.values() for item, _ in flow.items)

    @property
    def n_flows(self) -> int:
        """Flows that have something waiting."""
        return len(self._turns)

    def put(self, flow_id: int, item: T, cost: float) -> None:
        """Add an item behind its flow's others."""
        flow = self._flows.get(flow_id)
        if flow is None:
            flow = self._flows[flow_id] = _Flow()
        if not flow.items:
            flow.tag = max(flow.tag, self._clock)
            self._queue_up(flow_id, flow)
        flow.items.append((item, cost))
        self._n_items += 1

    def take(self) -> tuple[int, T]:
        """The next item and its flow; raises IndexError where nothing waits."""
        while True:
            tag, _, flow_id = heappop(self._turns)
            flow = self._flows[flow_id]
            if flow.tag <= tag:
                break
            self._queue_up(flow_id, flow)  # it was charged meanwhile
        self._clock = tag
        item, cost = flow.items.popleft()
        flow.tag += cost
        self._n_items -= 1
        if flow.items:
            self._queue_up(flow_id, flow)
        elif not self._turns:
            self._flows.clear()
        elif len(self._flows) > len(self._turns) + _IDLE_KEPT:
            self._forget_idle()
        return flow_id, item

    def charge(self, flow_id: int, cost: float) -> None:
        """What the flow took has cost this much more than was said."""
        flow = self._flows.get(flow_id)
        if flow is None and self._n_items:  # others wait, so it is remembered
            flow = self._flows[flow_id] = _Flow()
            flow.tag = self._clock
        if flow is not None and cost > 0.0:
            flow.tag += cost

    def _forget_idle(self) -> None:
        """Forget who has nothing waiting and owes nothing; of too many that owe, all."""
        flows = {known: flow for known, flow in self._flows.items() if flow.items or flow.tag > self._clock}
        if len(flows) > len(self._turns) + _IDLE_KEPT // 2:
            flows = {known: flow for known, flow in flows.items() if flow.items}
        self._flows = flows

    def _queue_up(self, flow_id: int, flow: _Flow[T]) -> None:
        self._n_puts += 1
        heappush(self._turns, (flow.tag, self._n_puts, flow_id))


class Room:
    """Places of a waiting room, or bytes. A tenant may hold as much as it leaves free, so that others always get in.

    So one tenant alone gets half of the room, two a third each. Work of no tenant may have all that is free.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._n_taken = 0
        self._held: dict[int, int] = {}

    @property
    def n_taken(self) -> int:
        return self._n_taken

    def held_by(self, flow_id: int) -> int:
        """Places that a flow has now."""
        return self._held.get(flow_id, 0)

    def has_place(self, flow_id: int, n: int = 1) -> bool:
        """Whether the flow may take `n` places now; the first time it may have any that are free."""
        n_free = self._size - self._n_taken
        held = self._held.get(flow_id, 0)
        return n <= n_free and (not held or flow_id == NO_TENANT or held + n <= n_free)

    def enter(self, flow_id: int, n: int = 1) -> None:
        self._n_taken += n
        self._held[flow_id] = self._held.get(flow_id, 0) + n

    def leave(self, flow_id: int, n: int = 1) -> None:
        self._n_taken -= n
        left = self._held.get(flow_id, 0) - n
        if left > 0:
            self._held[flow_id] = left
        else:
            self._held.pop(flow_id, None)
