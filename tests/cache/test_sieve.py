"""SIEVE with a hint bit: the order in which entries of one class go, against a model in plain lists."""

import random

from hypothesis import given
from hypothesis import strategies as st

from vdb.cache.sieve import GHOSTS_AT_LEAST, Node, Sieve, Undo


def sieve_of(*numbers: int) -> tuple[Sieve, dict[int, Node]]:
    """A queue of entries that came in in this order."""
    made, nodes = Sieve(), {}
    for number in numbers:
        nodes[number] = Node(number, 10, b"%d" % number, False)
        made.add(nodes[number], [])
    return made, nodes


class Model:
    """The same rules on a list, newest first."""

    def __init__(self) -> None:
        self.order: list[int] = []
        self.bits: dict[int, bool] = {}
        self.hand: int | None = None
        self.gone: list[int] = []

    def add(self, number: int) -> None:
        self.bits[number] = number in self.gone
        self.gone = [other for other in self.gone if other != number]
        self.order.insert(0, number)

    def remove(self, number: int) -> None:
        at = self.order.index(number)
        if self.hand == number:
            self.hand = self.order[at - 1] if at else None
        self.order.remove(number)

    def evict(self) -> int:
        at = len(self.order) - 1 if self.hand is None else self.order.index(self.hand)
        while self.bits[self.order[at]]:
            self.bits[self.order[at]] = False
            at = at - 1 if at else len(self.order) - 1
        number = self.order[at]
        self.hand = number
        self.remove(number)
        self.gone.append(number)
        return number


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 30)),
        st.tuples(st.just("hit"), st.integers(0, 30)),
        st.tuples(st.just("remove"), st.integers(0, 30)),
        st.tuples(st.just("evict"), st.just(0)),
    ),
    max_size=60,
)


@given(STEPS)
def test_entries_go_in_the_order_of_the_model(steps: list[tuple[str, int]]) -> None:
    sieve, model = Sieve(), Model()
    nodes: dict[int, Node] = {}
    for step, number in steps:
        if step == "add" and number not in nodes:
            nodes[number] = Node(number, 1, b"%d" % number, False)
            sieve.add(nodes[number], [])
            model.add(number)
        elif step == "hit" and number in nodes:
            nodes[number].is_visited = model.bits[number] = True
        elif step == "remove" and number in nodes:
            sieve.remove(nodes.pop(number), [])
            model.remove(number)
        elif step == "evict" and nodes:
            gone = sieve.evict([]).number
            assert gone == model.evict()
            del nodes[gone]
        assert sieve.numbers() == model.order and sieve.n_entries == sieve.n_bytes == len(nodes)


def test_an_entry_that_was_hit_outlives_one_that_was_not() -> None:
    sieve, nodes = sieve_of(1, 2, 3)
    nodes[1].is_visited = True
    assert [sieve.evict([]).number for _ in range(3)] == [2, 3, 1]


def test_an_entry_that_comes_back_outlives_one_that_is_new() -> None:
    sieve, nodes = sieve_of(1, 2)
    assert sieve.evict([]).number == 1
    sieve.add(nodes[1], [])
    sieve.add(Node(3, 10, b"3", False), [])
    assert [sieve.evict([]).number for _ in range(3)] == [2, 3, 1]


def test_no_more_keys_are_remembered_than_there_are_entries() -> None:
    sieve, _ = sieve_of(*range(1_000))
    for _ in range(1_000):
        sieve.evict([])
    sieve.trim_ghosts()
    assert len(sieve._ghosts) == GHOSTS_AT_LEAST
    late = Node(5000, 1, b"999", False)
    sieve.add(late, [])
    assert late.is_visited, "the latest that went are remembered"


@given(st.integers(0, 2**32))
def test_undoing_leaves_the_queue_as_it_was(seed: int) -> None:
    rng = random.Random(seed)
    sieve, nodes = sieve_of(*range(12))
    for number in rng.sample(range(12), 6):
        nodes[number].is_visited = True
    for _ in range(rng.randrange(4)):
        nodes.pop(sieve.evict([]).number)

    def state() -> object:
        bits = {number: node.is_visited for number, node in nodes.items()}
        return sieve.numbers(), sieve._hand.number, bits, set(sieve._ghosts), sieve.n_entries, sieve.n_bytes

    before, kept, undo = state(), dict(nodes), Undo()
    for number in range(100, 108):
        choice = rng.randrange(3)
        if choice == 0:
            key = rng.choice([b"%d" % number, *sieve._ghosts])
            nodes[number] = Node(number, 10, key, False)
            sieve.add(nodes[number], undo)
        elif choice == 1:
            sieve.remove(nodes.pop(rng.choice(sorted(nodes))), undo)
        else:
            nodes.pop(sieve.evict(undo).number)
    for step in reversed(undo):
        step()
    nodes = kept
    assert state() == before
