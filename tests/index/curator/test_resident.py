"""The copy of an index on a device answers what the index answers, and refuses what it cannot."""

import gc
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.index.curator.resident_world import (
    ALL,
    PLENTY,
    answers_of,
    ask_of,
    asks_of_all,
    brought,
    bytes_for,
    check_copy,
    check_found,
    codes_only,
    found_in,
    resident_of,
)
from tests.index.curator.world import Point, World
from vdb.index.curator.index import Effort, Found
from vdb.index.curator.model import Encoding, Form
from vdb.index.curator.narrowing import narrowed
from vdb.index.curator.resident import Refusal, ResidentIndex
from vdb.kernels.device import DeviceFailed
from vdb.kernels.numpy_device import NumpyDevice
from vdb.types import EVERYONE_ID, Metric

N_POINTS = 300
CASES = [
    (Metric.COSINE, Encoding(Form.LVQ8, 8)),
    (Metric.L2, Encoding(Form.LVQ4, 8)),
    (Metric.IP, Encoding(Form.FLOAT32, 8)),
    (Metric.L2, Encoding(Form.FLOAT16, 8)),
    (Metric.IP, Encoding(Form.LVQ8, 5)),
]

pytestmark = pytest.mark.usefixtures("small_bounds", "small_pages")


def some_world(rng: np.random.Generator, n: int = N_POINTS, metric: Metric = Metric.L2) -> World:
    world = World(rng, metric)
    world.build(world.some_points(n))
    return world


@pytest.mark.parametrize(("metric", "encoding"), CASES)
@pytest.mark.parametrize("has_vectors", [True, False])
def test_a_copy_answers_as_the_index_after_every_write(
    rng: np.random.Generator, metric: Metric, encoding: Encoding, has_vectors: bool
) -> None:
    world = World(rng, metric, encoding)
    world.build(world.some_points(N_POINTS))
    resident = resident_of(world, PLENTY if has_vectors else codes_only(world))
    assert resident.has_vectors is has_vectors
    for _ in range(5):
        for _ in range(2):
            world.change_something()
        check_copy(world, resident, asks_of_all(world, now_ms=int(rng.choice([0, 50_000])), is_exact=has_vectors))


def test_a_budget_visits_what_the_index_visits(rng: np.random.Generator) -> None:
    world = some_world(rng, 600)
    resident, state = resident_of(world), world.index.state
    for tenant in world.tenants:
        for budget in (0, 20, 60, 150):
            ask = ask_of(state, tenant, world.vectors(1)[0], 3, world.sequence, effort=Effort(budget, 500))
            wanted = world.index.search(
                state, ask.mine, ask.everyones, ask.query, 3, world.sequence, 0, ask.effort, world.kernels
            )
            answer = resident.search([ask])[0]
            if isinstance(answer, Refusal):
                assert answer is Refusal.SHORT and wanted.row.min() < 0 and wanted.statistics[1] < wanted.statistics[0]
                continue
            assert answer.statistics[:3].tolist() == wanted.statistics[:3].tolist()
            assert set(answer.row.tolist()) == set(wanted.row.tolist())


def test_pages_are_refused_until_they_come_and_come_unasked_when_nobody_waits(rng: np.random.Generator) -> None:
    world = some_world(rng)
    resident = ResidentIndex(NumpyDevice(), world.index, PLENTY)
    asks = asks_of_all(world)
    assert Refusal.NOT_RESIDENT in resident.search(asks)
    brought(resident)
    assert resident.traffic.n_pages_in == -(-N_POINTS // 16)
    check_copy(world, resident, asks)


def test_what_is_too_deep_is_refused(rng: np.random.Generator) -> None:
    world = some_world(rng)
    resident, state = resident_of(world), world.index.state
    query = world.vectors(1)[0]
    asks = [
        ask_of(state, 1, query, 1_025, world.sequence),
        ask_of(state, 1, query, 5, world.sequence, effort=Effort(10, 1_025)),
        ask_of(state, 1, query, 5, world.sequence, is_exact=True, effort=Effort(10, 1_025)),
        ask_of(state, 1, query, 1_024, world.sequence),
    ]
    assert [isinstance(answer, Refusal) and answer for answer in resident.search(asks)] == [
        Refusal.TOO_DEEP, Refusal.TOO_DEEP, False, False,
    ]  # fmt: skip


def test_exact_asks_are_refused_where_only_codes_are_there(rng: np.random.Generator) -> None:
    world = some_world(rng)
    resident = resident_of(world, codes_only(world))
    ask = ask_of(world.index.state, 1, world.vectors(1)[0], 5, world.sequence, is_exact=True)
    assert resident.search([ask]) == [Refusal.NO_VECTORS]


def test_what_cannot_fit_is_refused_for_good(rng: np.random.Generator) -> None:
    world = some_world(rng)
    resident = resident_of(world, bytes_for(world, 2))
    ask = ask_of(world.index.state, 1, world.vectors(1)[0], 5, world.sequence)
    assert resident.search([ask]) == [Refusal.NO_ROOM]
    resident.most_bytes = PLENTY
    check_copy(world, brought(resident), [ask])


def test_states_of_another_layout_are_refused_and_the_old_copy_answers_for_its_own(rng: np.random.Generator) -> None:
    world = some_world(rng)
    old, old_index = resident_of(world), world.index
    asks, at = asks_of_all(world), world.sequence
    world.lay_out(3)
    new = resident_of(world)
    newer = asks_of_all(world)
    assert set(old.search(newer)) == {Refusal.OLDER} and set(new.search(asks)) == {Refusal.OLDER}
    for mixed in ([*asks[:1], *newer], [*newer, *asks[:1]]):  # the sequence of each is since its own layout
        for answer, ask in zip(new.search(mixed), mixed, strict=True):
            assert ask is asks[0] or isinstance(answer, Found)
            if isinstance(answer, Found):
                check_found(answer, ask)
    for found, ask in zip(answers_of(old, asks), asks, strict=True):
        check_found(found, ask)
    assert asks[0].sequence == at and old_index is not world.index
    check_copy(world, new, newer)


def test_a_copy_keeps_neither_its_index_nor_its_layout_alive(rng: np.random.Generator) -> None:
    """Slots of vectors are given out again once nobody holds a layout that names them."""
    world = some_world(rng)
    resident = resident_of(world)
    check_copy(world, resident, asks_of_all(world))
    held = weakref.ref(world.index), weakref.ref(world.index.state.directories), weakref.ref(world.index.state.rows)
    world.lay_out()
    gc.collect()
    assert [ref() for ref in held] == [None, None, None]
    assert set(resident.search(asks_of_all(world))) == {Refusal.OLDER}
    assert not resident.bring_in()


def test_a_closed_copy_holds_nothing_and_answers_no_more(rng: np.random.Generator) -> None:
    world = some_world(rng)
    device = NumpyDevice()
    resident = resident_of(world, device=device)
    check_copy(world, resident, asks_of_all(world))
    assert device.n_bytes == resident.nbytes > 0
    resident.close()
    assert device.n_bytes == resident.nbytes == 0
    with pytest.raises(DeviceFailed):
        resident.search([])


def test_filtered_readings_are_searched_and_leave_nothing_behind(rng: np.random.Generator) -> None:
    world = some_world(rng)
    resident, state = resident_of(world), world.index.state
    n_bytes = []
    for i in range(300):
        allowed = np.append(rng.random(world.next_pid) < 0.5, False).astype(np.uint8)
        mine, everyones = (
            narrowed(state.reading(tenant), state.rows, state.model, allowed, world.kernels)
            for tenant in (1 + i % 5, EVERYONE_ID)
        )
        ask = replace(ask_of(state, 1, world.vectors(1)[0], 7, world.sequence), mine=mine, everyones=everyones)
        check_found(found_in(resident.search([ask]))[0], ask)
        n_bytes.append(resident.nbytes)
    assert n_bytes[-1] == n_bytes[len(n_bytes) // 2]


def test_readings_that_fill_their_memory_take_turns(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vdb.index.curator.resident_places.LEAST_ROOM", 8)
    world = some_world(rng)
    resident = resident_of(world, codes_only(world))
    monkeypatch.setattr("vdb.index.curator.resident.READINGS_SHARE", 0.02)
    resident.most_bytes -= 1
    n_refused = 0
    for _ in range(30):
        world.change_something()
        for ask in asks_of_all(world, is_exact=False):
            answer = resident.search([ask])[0]
            if answer is Refusal.NOT_RESIDENT:
                answer = brought(resident).search([ask])[0]
            n_refused += answer is Refusal.NO_ROOM
            if not isinstance(answer, Refusal):
                check_found(answer, ask)
    assert 0 < n_refused < 30 * 2 * len(world.tenants)


def test_equal_distances_come_by_pid(rng: np.random.Generator) -> None:
    for has_vectors in (True, False):
        world = World(rng)
        world.build([Point(1, np.ones(8, np.float32)) for _ in range(60)])
        world.replace([3, 40, 7])
        world.put(1, {pid: Point(1, np.ones(8, np.float32)) for pid in (40, 3)})
        resident = resident_of(world, PLENTY if has_vectors else codes_only(world))
        ask = ask_of(world.index.state, 1, np.zeros(8, np.float32), 60, world.sequence)
        found = answers_of(resident, [ask])[0]
        equal = found.distance == found.distance[np.argmax(np.bincount(found.distance.astype(np.int64)) > 50)]
        pids = world.index.state.rows.pids[found.row[equal]].tolist()
        assert len(pids) >= 59 and pids == sorted(pids)


def test_asks_of_one_call_want_different_things(rng: np.random.Generator) -> None:
    world = some_world(rng, 400)
    resident, state = resident_of(world), world.index.state
    asks = [
        ask_of(
            state, int(rng.choice(world.tenants)), world.vectors(1)[0], int(rng.integers(1, 40)), world.sequence,
            int(rng.integers(0, 100)) * 1000, bool(rng.random() < 0.2),
            ALL if rng.random() < 0.5 else Effort(1 << 40, 512),
        )
        for _ in range(120)
    ]  # fmt: skip
    for found, ask in zip(found_in(resident.search(asks)), asks, strict=True):
        assert len(found.row) == len(found.distance) == ask.k
        check_found(found, ask)


def test_rows_that_expire_in_an_index_where_none_did_are_known_to(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(rng)
    monkeypatch.setattr(world, "_expiry", lambda: 0)
    world.build(world.some_points(100))
    resident = resident_of(world)
    check_copy(world, resident, asks_of_all(world, now_ms=50_000))
    assert not len(world.index.state.rows.expires_at)
    monkeypatch.setattr(world, "_expiry", lambda: 30_000)
    world.insert(20, 1)
    for now_ms in (0, 29_999, 30_000, 50_000):
        check_copy(world, resident, asks_of_all(world, now_ms=now_ms))


def test_a_state_has_the_vectors_of_all_rows_that_are_counted(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows were counted before the state had their vectors: who copied them in between copied others."""
    world = some_world(rng, 50)
    index, taken = world.index, []
    take_in = type(index).take_in

    def looked_at(self: Any, *arguments: Any) -> Any:
        rows = take_in(self, *arguments)
        slots = self.state.rows.slots[: self.n_rows]
        taken.append(int(slots.max()) < len(self.state.vectors))
        return rows

    monkeypatch.setattr(type(index), "take_in", looked_at)
    for _ in range(5):
        world.insert(20)
    assert taken == [True] * 5


def test_larger_blocks_take_the_place_of_those_that_are_given_back_first(rng: np.random.Generator) -> None:
    """Both were held for a moment, more than there may be memory for."""
    world = some_world(rng, 200)
    device = NumpyDevice()
    resident = resident_of(world, device=device)
    check_copy(world, resident, asks_of_all(world))
    before = resident.nbytes
    device.capacity_bytes = before + 15_000
    while world.index.state.rows.capacity < 300:
        world.insert(20)
    asks = asks_of_all(world)
    resident.search(asks)
    assert before < resident.nbytes == device.n_bytes
    check_copy(world, resident, asks)


def test_its_bytes_are_told_to_another_thread_while_pages_are_given_back(rng: np.random.Generator) -> None:
    class Fleeting(ResidentIndex):
        """Its pages are gone just after they were looked at, as by the thread that uses it."""

        @property
        def _pages(self) -> Any:
            found, self.__dict__["pages"] = self.__dict__.get("pages"), None
            return found

        @_pages.setter
        def _pages(self, pages: Any) -> None:
            self.__dict__["pages"] = pages

    world = some_world(rng)
    plain = resident_of(world)
    pages, resident = plain._pages, Fleeting(NumpyDevice(), world.index, PLENTY)
    assert pages is not None
    without = resident.nbytes
    resident._pages = pages
    assert resident.nbytes == without + pages.nbytes
