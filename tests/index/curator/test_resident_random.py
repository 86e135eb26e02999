"""Never stale: whatever is written, and while it is written, the copy on a device answers as of each sequence."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.index.curator.resident_world import (
    PLENTY,
    answers_of,
    ask_of,
    asks_of_all,
    bytes_for,
    check_copy,
    check_found,
    resident_of,
)
from tests.index.curator.world import Floats, World
from vdb.index.curator.index import CuratorIndex, Found
from vdb.index.curator.model import Encoding, Form
from vdb.index.curator.resident import Refusal, ResidentIndex
from vdb.index.curator.state import State
from vdb.kernels.numpy_device import NumpyDevice
from vdb.types import EVERYONE_ID, Metric

pytestmark = pytest.mark.usefixtures("small_bounds", "small_pages")

WRITES = st.lists(st.sampled_from(["some", "many", "end", "lay out", "expire"]), min_size=2, max_size=6)
FORMS = st.sampled_from([Encoding(Form.LVQ8, 8), Encoding(Form.LVQ4, 8), Encoding(Form.FLOAT16, 8)])
OFTEN = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=max(8, settings().max_examples // 3),
)


class Copied:
    """A world, the copies of its index and of the one before, and states that were taken earlier."""

    def __init__(self, seed: int, metric: Metric, encoding: Encoding, has_vectors: bool) -> None:
        self.rng = np.random.default_rng(seed)
        self.world = World(self.rng, metric, encoding)
        self.world.build(self.world.some_points(150))
        self.has_vectors = has_vectors
        self.device = NumpyDevice()
        self.copy = self._copied()
        self.taken: list[tuple[ResidentIndex, CuratorIndex, State, int]] = []

    def _copied(self) -> ResidentIndex:
        pages = self.world.index.state.rows.capacity // 16
        n_bytes = PLENTY if self.has_vectors else bytes_for(self.world, pages + 1)
        return resident_of(self.world, n_bytes, self.device)

    def write(self, what: str) -> None:
        world = self.world
        self.taken = [*self.taken[-2:], (self.copy, world.index, world.index.state, world.sequence)]
        if what == "lay out":
            world.lay_out(int(self.rng.integers(0, 4)))
            self.copy = self._copied()
        elif what == "end":
            world.delete(world._some(list(world.points)))
        elif what == "expire":
            world.insert(9)
        else:
            for _ in range(2 if what == "some" else 12):
                world.change_something()

    def check(self) -> None:
        world, now_ms = self.world, int(self.rng.integers(0, 100)) * 1000
        state = world.index.state
        for sequence in (world.sequence, int(self.rng.integers(state.floor_sequence, world.sequence + 1))):
            self._check(self.copy, state, sequence, now_ms)
        for copy, _, taken, sequence in self.taken:
            self._check(copy, taken, sequence, now_ms)

    def _check(self, copy: ResidentIndex, state: State, sequence: int, now_ms: int) -> None:
        asks = asks_of_all(self.world, sequence, now_ms, state, is_exact=self.has_vectors)
        if self.has_vectors:
            for found, ask in zip(answers_of(copy, asks), asks, strict=True):
                check_found(found, ask)
            return
        for answer, ask in zip(copy.search(asks), asks, strict=True):  # there may not be room for all
            if isinstance(answer, Found):
                check_found(answer, ask)
            else:
                assert answer in (Refusal.NOT_RESIDENT, Refusal.NO_ROOM)


@OFTEN
@given(st.integers(0, 1 << 30), st.sampled_from(list(Metric)), FORMS, WRITES, st.booleans())
def test_whatever_is_written_every_copy_answers_as_of_every_sequence(
    seed: int, metric: Metric, encoding: Encoding, writes: list[str], has_vectors: bool
) -> None:
    copied = Copied(seed, metric, encoding, has_vectors)
    for what in writes:
        copied.write(what)
        copied.check()
    if has_vectors:
        check_copy(copied.world, copied.copy, asks_of_all(copied.world))
    for copy in {id(one): one for one, *_ in copied.taken}.values():
        copy.close()
    copied.copy.close()
    del copy
    assert all(one.is_closed for one, *_ in copied.taken) and copied.copy.nbytes == 0


@contextmanager
def writing(world: World, published: list[tuple[int, CuratorIndex]]) -> Iterator[threading.Thread]:
    """A writer that never rests, until the block ends: each write is published once it is done."""
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set() and world.sequence < 3_000:
            if world.index.should_lay_out:
                world.lay_out(2)
            elif len(world.points) > 300:
                world.delete(list(world.points)[::3])
            else:
                world.change_something()
            published.append((world.sequence, world.index))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join()


def check_committed(world: World, state: State, tenant: int, sequence: int, found: Found, query: Floats) -> None:
    """Exactly what was committed at a sequence, but for what was granted or revoked since."""
    pids = state.rows.pids[found.row[found.row >= 0]].tolist()
    assert len(set(pids)) == len(pids)
    expected, history = world.visible(tenant, sequence, 0), world.history[sequence]
    for pid in set(pids) ^ set(expected):
        changes = world.granted_at if pid in pids else world.revoked_at
        assert max(changes.get((tenant, pid), 0), changes.get((EVERYONE_ID, pid), 0)) > sequence and pid in history
    vectors = np.array([history[pid].vector for pid in pids], np.float32).reshape(len(pids), world.dimension)
    true = ((vectors.astype(np.float64) - query) ** 2).sum(axis=1)
    np.testing.assert_allclose(found.distance[: len(pids)], true, rtol=2e-4, atol=2e-4)


def test_while_a_writer_never_rests_every_answer_is_what_was_committed(rng: np.random.Generator) -> None:
    world = World(rng)
    world.build(world.some_points(150))
    published = [(world.sequence, world.index)]
    asking = np.random.default_rng(7)
    copies: dict[int, ResidentIndex] = {}
    n_found, n_older = 0, 0
    with writing(world, published) as writer:
        while n_found < 450 and writer.is_alive():
            sequence, index = published[-1]
            state = index.state
            if id(index) not in copies:
                copies = {id(index): ResidentIndex(NumpyDevice(), index, PLENTY)}
            asks, tenants = [], asking.choice(world.tenants, 3).tolist()
            for tenant in tenants:
                query = asking.standard_normal(8).astype(np.float32)
                asks.append(ask_of(state, tenant, query, 900, sequence))
            for answer, ask, tenant in zip(copies[id(index)].search(asks), asks, tenants, strict=True):
                if isinstance(answer, Found):
                    check_committed(world, state, tenant, sequence, answer, ask.query)
                    n_found += 1
                else:
                    assert answer in (Refusal.NOT_RESIDENT, Refusal.OLDER)
                    n_older += 1
    assert n_found > 100, (n_found, n_older)
