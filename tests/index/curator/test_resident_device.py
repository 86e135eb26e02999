"""A device that has little memory, has none any more, or is gone: the copy stays right, and leaks nothing."""

import gc
from dataclasses import dataclass

import numpy as np
import pytest

from tests.index.curator.resident_world import (
    PLENTY,
    ask_of,
    asks_of_all,
    brought,
    bytes_for,
    check_copy,
    check_found,
    codes_only,
    resident_of,
)
from tests.index.curator.world import Point, World
from vdb.index.curator.index import Found
from vdb.index.curator.resident import Refusal, ResidentIndex
from vdb.kernels.device import DeviceFailed, DeviceLost, OutOfDeviceMemory
from vdb.kernels.numpy_device import NumpyDevice

pytestmark = pytest.mark.usefixtures("small_bounds", "small_pages")


@dataclass(eq=False)
class Failing(NumpyDevice):
    """Has no memory, or is gone, from the n-th thing on that it is told, once; never with −1."""

    fails_in: int = -1
    error: type[DeviceFailed] = OutOfDeviceMemory

    def _check(self, n_bytes: int) -> None:
        super()._check(n_bytes)
        if self.fails_in >= 0:
            self.fails_in -= 1
            if self.fails_in < 0:
                raise self.error("told to fail")


def some_world(rng: np.random.Generator, n: int = 300) -> World:
    world = World(rng)
    world.build(world.some_points(n))
    return world


def of_one_page_each(rng: np.random.Generator, n_tenants: int) -> World:
    """Tenants whose own 16 rows are a page each, in their order."""
    world = World(rng, n_tenants=n_tenants)
    world.build([Point(tenant, world.vectors(1)[0]) for tenant in range(1, n_tenants + 1) for _ in range(16)])
    return world


def answers_for(resident: ResidentIndex, world: World, tenant: int) -> Found | Refusal:
    ask = ask_of(world.index.state, tenant, world.vectors(1)[0], 5, world.sequence)
    answer = resident.search([ask])[0]
    if isinstance(answer, Found):
        check_found(answer, ask)
    return answer


def test_hot_tenants_stay_and_cold_ones_come_once_they_are_hot(rng: np.random.Generator) -> None:
    """A third of the pages has room."""
    world = of_one_page_each(rng, 30)
    resident = resident_of(world, bytes_for(world, 10))
    hot = [3, 9, 14]
    for _ in range(20):
        for tenant in hot:
            answers_for(resident, world, tenant)
    assert 0 < resident.traffic.n_pages_in - resident.traffic.n_pages_out < 20
    for _ in range(2):
        for tenant in range(1, 31):
            answers_for(resident, world, tenant)
            assert all(isinstance(answers_for(resident, world, one), Found) for one in hot)
    cold = next(tenant for tenant in range(1, 31) if answers_for(resident, world, tenant) is Refusal.NOT_RESIDENT)
    n_asked = 1
    while isinstance(answers_for(resident, world, cold), Refusal):
        n_asked += 1
        assert n_asked < 100
    assert isinstance(answers_for(resident, world, cold), Found)
    assert all(isinstance(answers_for(resident, world, one), Found) for one in hot)


def test_pages_of_the_same_heat_do_not_take_turns(rng: np.random.Generator) -> None:
    world = of_one_page_each(rng, 30)
    resident = resident_of(world, bytes_for(world, 10))
    for _ in range(3):
        for tenant in range(1, 31):
            answers_for(resident, world, tenant)
    before = resident.traffic.n_pages_out
    found = 0
    for _ in range(20):
        for tenant in range(1, 31):
            found += isinstance(answers_for(resident, world, tenant), Found)
    assert resident.traffic.n_pages_out - before <= 30 and found > 20 * 5


def test_writes_under_pressure_are_answered_right(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    world = of_one_page_each(rng, 20)
    monkeypatch.setattr(world, "grantees", lambda owner: frozenset())
    resident = resident_of(world, bytes_for(world, 14))
    n_found = 0
    for _ in range(60):
        owner = int(rng.integers(1, 21))
        mine = [pid for pid, point in world.points.items() if point.owner == owner]
        world.insert(3, owner)
        world.replace(mine[:2])
        world.delete(mine[2:4])
        for tenant in {1, 2, 3, owner, int(rng.integers(1, 21))}:
            answer = answers_for(resident, world, tenant)
            assert isinstance(answer, Found) or answer in (Refusal.NOT_RESIDENT, Refusal.NO_ROOM)
            n_found += isinstance(answer, Found)
    assert n_found > 60 and resident.traffic.n_pages_out > 0


def test_memory_is_given_back_at_once_and_the_hottest_come_first(rng: np.random.Generator) -> None:
    world = of_one_page_each(rng, 30)
    device = NumpyDevice()
    resident = resident_of(world, device=device)
    for _ in range(5):
        for tenant in (2, 28):
            assert isinstance(answers_for(resident, world, tenant), Found)
    resident.most_bytes = bytes_for(world, 10)
    assert device.n_bytes == resident.nbytes <= resident.most_bytes
    answers_for(resident, world, 2)
    brought(resident)
    assert device.n_bytes == resident.nbytes <= resident.most_bytes
    assert all(isinstance(answers_for(resident, world, tenant), Found) for tenant in (2, 28))
    resident.most_bytes = PLENTY
    check_copy(world, resident, asks_of_all(world))


@pytest.mark.parametrize("has_vectors", [True, False])
def test_no_memory_in_the_middle_of_anything_leaves_the_copy_right(rng: np.random.Generator, has_vectors: bool) -> None:
    world = some_world(rng)
    device = Failing()
    resident = ResidentIndex(device, world.index, PLENTY if has_vectors else codes_only(world))
    n_failed = 0
    for i in range(60):
        if i % 4 == 0:
            world.change_something()
        asks = asks_of_all(world, is_exact=has_vectors)[:: 1 + i % 3]
        device.fails_in = i % 23
        try:
            resident.search(asks)
            resident.bring_in()
        except OutOfDeviceMemory:
            n_failed += 1
        device.fails_in = -1
        assert resident.nbytes == device.n_bytes
        if i % 4 == 3:
            check_copy(world, resident, asks)
    assert n_failed > 30


def test_memory_that_is_never_there_is_asked_for_again(rng: np.random.Generator) -> None:
    world = some_world(rng)
    device = NumpyDevice(capacity_bytes=20_000)
    resident = ResidentIndex(device, world.index, PLENTY)
    for _ in range(3):
        with pytest.raises(OutOfDeviceMemory):
            resident.search(asks_of_all(world))
    device.capacity_bytes = PLENTY
    check_copy(world, brought(resident), asks_of_all(world))


@pytest.mark.parametrize("fails_in", [0, 3, 9, 20])
def test_a_lost_device_closes_the_copy_and_nothing_is_held(rng: np.random.Generator, fails_in: int) -> None:
    world = some_world(rng)
    device = Failing(error=DeviceLost)
    resident = resident_of(world, device=device)
    check_copy(world, resident, asks_of_all(world))
    world.change_something()
    device.fails_in = fails_in
    try:
        for _ in range(10):
            resident.search(asks_of_all(world))
        raise AssertionError("it was to fail")
    except DeviceLost:
        assert resident.is_closed and resident.nbytes == 0
    gc.collect()
    assert device.n_bytes == 0
    with pytest.raises(DeviceFailed):
        resident.search([])
    world.change_something()
    world.check_all()
