"""Fair queues: turns by cost between tenants, order within one, and a waiting room that nobody fills alone."""

from collections import Counter, deque

from hypothesis import given
from hypothesis import strategies as st

from vdb.engine.fair import NO_TENANT, FairQueue, Room


def taken(queue: FairQueue[str], n: int | None = None) -> list[str]:
    return [queue.take()[1] for _ in range(len(queue) if n is None else n)]


def test_one_tenant_alone_is_first_come_first_served() -> None:
    queue: FairQueue[str] = FairQueue()
    for i in range(9):
        queue.put(1, str(i), float(i % 3))
    assert taken(queue) == [str(i) for i in range(9)]


def test_tenants_take_turns_whatever_they_have_waiting() -> None:
    queue: FairQueue[str] = FairQueue()
    for i in range(100):
        queue.put(1, f"noisy{i}", 1.0)
    for name in ("b", "c"):
        for i in range(2):
            queue.put(ord(name), f"{name}{i}", 1.0)
    assert taken(queue, 6) == ["noisy0", "b0", "c0", "noisy1", "b1", "c1"]


def test_a_late_comer_waits_for_one_turn_of_each() -> None:
    queue: FairQueue[str] = FairQueue()
    for i in range(100):
        queue.put(1, f"noisy{i}", 1.0)
    taken(queue, 50)
    queue.put(2, "late", 1.0)
    assert "late" in taken(queue, 2)


def test_turns_are_counted_by_cost() -> None:
    queue: FairQueue[str] = FairQueue()
    for _ in range(60):
        queue.put(1, "dear", 10.0)
        queue.put(2, "cheap", 1.0)
    counts = Counter(taken(queue, 22))
    assert counts["cheap"] == 10 * counts["dear"] == 20


def test_who_had_nothing_waiting_has_saved_nothing_up() -> None:
    queue: FairQueue[str] = FairQueue()
    for _ in range(100):
        queue.put(1, "busy", 1.0)
    taken(queue, 80)
    for _ in range(20):
        queue.put(2, "back", 1.0)
    counts = Counter(taken(queue, 20))
    assert counts["busy"] == counts["back"] == 10


def test_a_cost_known_later_is_charged_on_the_turns_to_come() -> None:
    queue: FairQueue[str] = FairQueue()
    for _ in range(10):
        queue.put(1, "long", 1.0)
        queue.put(2, "short", 1.0)
    assert taken(queue, 2) == ["long", "short"]
    queue.charge(1, 5.0)
    assert taken(queue, 6) == ["short"] * 5 + ["long"]


def test_a_charge_finds_a_tenant_that_has_nothing_waiting_any_more() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.put(1, "long", 1.0)
    for _ in range(6):
        queue.put(2, "short", 1.0)
    assert taken(queue, 2) == ["long", "short"]
    queue.charge(1, 3.0)
    queue.put(1, "long", 1.0)
    assert taken(queue) == ["short"] * 3 + ["long"] + ["short"] * 2


def test_tenants_that_are_done_are_forgotten() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.put(9_999, "waits", 0.0)
    for tenant in range(1, 2_000):
        queue.put(tenant, "once", 0.001)
        queue.take()
    assert len(queue._flows) < 200
    taken(queue)
    queue.charge(5, 1.0)
    assert not queue._flows and len(queue) == 0


OPERATIONS = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 8), st.booleans()), max_size=120)


@given(OPERATIONS)
def test_nothing_is_lost_and_no_waiting_tenant_falls_behind_by_more_than_an_item(
    operations: list[tuple[int, int, bool]],
) -> None:
    """While two tenants both wait, what they take differs by two of the largest items at most."""
    queue: FairQueue[int] = FairQueue()
    model: dict[int, deque[tuple[int, int]]] = {flow: deque() for flow in range(5)}
    served = {(a, b): 0 for a in range(5) for b in range(5)}
    for number, (flow, cost, is_put) in enumerate(operations):
        if is_put or not len(queue):
            queue.put(flow, number, float(cost))
            model[flow].append((number, cost))
            continue
        found, item = queue.take()
        wanted, paid = model[found].popleft()
        assert item == wanted, "order within a tenant"
        for other in range(5):
            both_wait = bool(model[other]) and other != found
            served[found, other] = served[found, other] + paid if both_wait else 0
            served[other, found] = 0
            assert served[found, other] <= 2 * 8, "one tenant was served past another that waited"
        for other in range(5):
            if not model[found]:
                served[other, found] = 0
    assert sorted(taken_items(queue)) == sorted(number for items in model.values() for number, _ in items)


def taken_items(queue: FairQueue[int]) -> list[int]:
    return [queue.take()[1] for _ in range(len(queue))]


def filled(room: Room, tenant: int, n: int = 1) -> int:
    """How often the tenant could enter."""
    n_entered = 0
    while room.has_place(tenant, n):
        room.enter(tenant, n)
        n_entered += 1
    return n_entered


def test_a_tenant_fills_half_of_a_room_and_the_next_a_third_of_what_there_was() -> None:
    room = Room(90)
    assert [filled(room, tenant) for tenant in (1, 2, 3)] == [45, 23, 11]
    for tenant in range(4, 9):
        assert room.has_place(tenant), "others get in"
    assert filled(room, NO_TENANT) == 11 and not room.has_place(9)


def test_a_room_gives_back_what_was_left() -> None:
    room = Room(10)
    room.enter(1, 4)
    room.enter(1, 0)
    assert not room.has_place(1, 4) and room.has_place(2, 6)
    room.leave(1, 4)
    room.leave(1, 0)
    assert (room.n_taken, room._held) == (0, {}) and room.has_place(1, 10)
