"""What a writer tells those who watch an index."""

import gc

import numpy as np
import pytest

from tests.index.curator.resident_world import asks_of_all, check_copy, resident_of
from tests.index.curator.world import World
from vdb.index.curator.state import ALIVE, REVOKED
from vdb.index.curator.watch import Watch

pytestmark = pytest.mark.usefixtures("small_bounds", "small_pages")


def some_world(rng: np.random.Generator) -> World:
    world = World(rng)
    world.build(world.some_points(200))
    return world


def test_all_rows_that_end_and_all_places_that_are_revoked_are_told(rng: np.random.Generator) -> None:
    world = some_world(rng)
    index = world.index
    watch, state, n_rows = index.watch(), index.state, index.n_rows
    before = state.rows.dead_at.copy()
    lists = {id(state.directories.listed): state.directories.listed.copy()}
    for _ in range(30):
        world.change_something()
    noted = watch.take()
    assert noted is not None
    now = index.state.rows.dead_at
    told = {row: since for rows, since in noted.ended for row in rows.tolist()}
    ended = np.flatnonzero(now[: index.n_rows] != ALIVE)
    assert told == {row: now[row] for row in ended.tolist() if row >= n_rows or before[row] == ALIVE}
    for array, first, places in noted.revoked:
        assert (array[places] >= REVOKED).all() and (places >= first).all()
    laid = state.directories.listed
    marked = np.flatnonzero((laid >= REVOKED) & (lists[id(laid)] < REVOKED)).tolist()
    told_places = [places for array, _, places in noted.revoked if array is laid]
    assert marked == sorted(set(np.concatenate([np.zeros(0, np.int64), *told_places]).tolist()))


def test_a_watch_is_emptied_by_who_takes_and_each_has_its_own(rng: np.random.Generator) -> None:
    world = some_world(rng)
    first, second = world.index.watch(), world.index.watch()
    world.delete([1, 2])
    noted, again = first.take(), first.take()
    other = second.take()
    assert noted is not None and again is not None and other is not None
    assert len(noted.ended) == len(other.ended) == 1 and again.ended == []


def test_a_watch_that_is_let_go_is_told_nothing(rng: np.random.Generator) -> None:
    world = some_world(rng)
    watch = world.index.watch()
    assert len(world.index._watches) == 1
    del watch
    gc.collect()
    world.delete([1])
    kept = world.index.watch()
    assert [held() for held in world.index._watches] == [kept]


def test_a_watch_that_nobody_empties_stays_small_and_says_so() -> None:
    watch = Watch(most_noted=10)
    for _ in range(100):
        watch.note_ended(np.arange(3), 7)
        watch.note_revoked(np.zeros(9, np.uint32), 0, np.arange(2))
    assert not watch._noted.ended and not watch._noted.revoked
    assert watch.take() is None
    watch.note_ended(np.arange(3), 7)
    noted = watch.take()
    assert noted is not None and [(rows.tolist(), since) for rows, since in noted.ended] == [([0, 1, 2], 7)]


def test_a_copy_that_was_told_too_much_begins_anew(rng: np.random.Generator) -> None:
    world = some_world(rng)
    resident = resident_of(world)
    check_copy(world, resident, asks_of_all(world))
    resident._watch._most_noted = 5
    for _ in range(10):
        world.change_something()
    world.delete(list(world.points)[:8])
    check_copy(world, resident, asks_of_all(world))
    world.delete(list(world.points)[:2])
    check_copy(world, resident, asks_of_all(world))
