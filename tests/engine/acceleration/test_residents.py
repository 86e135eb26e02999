"""One cap for the copies of all indexes: who has how much of it, and who gives way."""

import gc

import pytest

from tests.engine.acceleration.fakes import Script, small_index
from vdb.engine.acceleration.residents import (
    COLD_S,
    GROWTH,
    RECOVERS_S,
    REVIEW_S,
    Residents,
    bytes_of_page,
    bytes_of_whole,
)
from vdb.index.curator.index import CuratorIndex
from vdb.kernels.numpy_device import NumpyDevice


class Clock:
    """Stands still until it is set on."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def indexes() -> list[CuratorIndex]:
    return [small_index(seed) for seed in range(3)]


def held(most_bytes: int) -> tuple[Residents, Clock, Script]:
    script, clock = Script(), Clock()
    return Residents(NumpyDevice(), most_bytes, script.make, clock), clock, script


def test_where_there_is_room_each_has_what_it_takes_and_more(indexes: list[CuratorIndex]) -> None:
    residents, _, script = held(1 << 30)
    for index in indexes:
        copy = residents.of(index)
        assert copy is not None and copy.most_bytes == int(GROWTH * bytes_of_whole(index))
        assert residents.of(index) is copy
    assert script.n_made == 3


def test_the_coldest_gives_way(indexes: list[CuratorIndex]) -> None:
    sizes = [int(GROWTH * bytes_of_whole(index)) for index in indexes]
    residents, clock, script = held(sizes[1] + max(sizes[0], sizes[2]))
    for index in indexes[:2]:
        residents.of(index)
        clock.now += 2 * COLD_S
    residents.of(indexes[1])
    found = residents.of(indexes[2])
    assert found is not None and found.most_bytes == sizes[2]
    assert script.n_closed == 1
    clock.now += REVIEW_S / 2
    assert residents.of(indexes[1]) is not None and script.n_made == 3, "the one that was searched is still there"


def test_those_that_are_searched_share(indexes: list[CuratorIndex]) -> None:
    whole = int(GROWTH * bytes_of_whole(indexes[0]))
    residents, _, script = held(2 * whole)
    shares = []
    for index in indexes:
        residents.of(index)
    for index in indexes:
        copy = residents.of(index)
        assert copy is not None
        shares.append(copy.most_bytes)
    assert script.n_closed == 0
    assert sum(shares) <= 2 * whole
    assert min(shares) >= 2 * whole // 3 - 1


def test_an_index_that_grows_gets_more_where_there_is_room() -> None:
    residents, clock, _ = held(1 << 30)
    index = small_index(n=10)
    copy = residents.of(index)
    assert copy is not None
    copy.most_bytes = 1
    assert residents.of(index) is copy and copy.most_bytes == 1, "it is not looked at each time"
    clock.now += REVIEW_S
    assert residents.of(index) is copy and copy.most_bytes == int(GROWTH * bytes_of_whole(index))


def test_a_device_that_has_less_memory_takes_a_quarter_from_each(indexes: list[CuratorIndex]) -> None:
    residents, _, script = held(1 << 40)
    script.page_bytes = 10 * bytes_of_page(indexes[0])
    copies = [residents.of(index) for index in indexes]
    before = [copy.most_bytes for copy in copies if copy is not None]
    residents.shrink()
    after = [copy.most_bytes for copy in copies if copy is not None]
    assert all(now <= 0.75 * was for now, was in zip(after, before, strict=True))
    assert residents.most_bytes == int(0.75 * (1 << 40))


def test_a_cap_that_was_lowered_comes_back_step_by_step(indexes: list[CuratorIndex]) -> None:
    residents, clock, _ = held(1 << 30)
    for _ in range(3):
        residents.shrink()
    caps = []
    for _ in range(4):
        clock.now += RECOVERS_S
        residents.of(indexes[0])
        caps.append(residents.most_bytes / (1 << 30))
    assert caps == pytest.approx([0.75**2, 0.75, 1.0, 1.0])


def test_a_copy_that_would_keep_no_page_is_given_up(indexes: list[CuratorIndex]) -> None:
    residents, _, script = held(1 << 40)
    script.page_bytes = bytes_of_page(indexes[0])
    residents.of(indexes[0])
    residents.shrink()
    assert script.n_closed == 1 and residents.nbytes == 0


def test_an_index_at_the_address_of_one_that_is_gone_has_a_copy_of_its_own(indexes: list[CuratorIndex]) -> None:
    residents, _, script = held(1 << 40)
    gone, index = small_index(9), indexes[0]
    residents.of(gone)
    residents._held[id(index)] = residents._held.pop(id(gone))
    del gone
    gc.collect()
    assert residents.nbytes_of(index) == 0
    residents.of(index)
    assert (script.n_made, script.n_closed) == (2, 1)
