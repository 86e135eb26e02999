"""Random writes and folds: the index and old states of it show each tenant what it may see, and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from tests.index.spann.world import EVERYTHING, DiskWorld
from vdb.index.curator.model import Encoding, Form
from vdb.index.spann.narrowing import n_seen, narrowed
from vdb.types import Metric

N_POINTS = 300
N_WRITES = 60
ENCODINGS = [Encoding(form, 8) for form in Form] + [Encoding(Form.LVQ8, 5)]

pytestmark = pytest.mark.usefixtures("small_bounds")


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda encoding: f"{encoding.form.name}-{encoding.dimension}")
def test_every_tenant_sees_what_it_may_after_every_write(
    rng: np.random.Generator, tmp_path: Path, metric: Metric, encoding: Encoding
) -> None:
    world = DiskWorld(rng, metric, encoding, folder=tmp_path / "lists")
    world.build(world.some_points(N_POINTS))
    world.check_all()
    for _ in range(N_WRITES):
        world.change_something()
        world.check(int(rng.choice(world.tenants)), now_ms=int(rng.choice([0, 50_000, 99_999])))
        if world.index.should_lay_out:
            world.lay_out(int(rng.integers(0, 6)))
            world.check_all()
    world.check_all()
    assert world.n_layouts > 1
    world.lists.close()


def test_a_state_taken_before_answers_as_of_its_sequence(rng: np.random.Generator, tmp_path: Path) -> None:
    world = DiskWorld(rng, folder=tmp_path / "lists")
    world.build(world.some_points(N_POINTS))
    taken = []
    for i in range(N_WRITES):
        if i % 3 == 0:
            taken.append((world.sequence, world.index, world.index.state))
        world.change_something()
        if world.index.should_lay_out:
            world.lay_out(int(rng.integers(0, 6)))
        for at in rng.choice(len(taken), 2):
            sequence, index, state = taken[at]
            world.check(int(rng.choice(world.tenants)), sequence, index, state)
    assert world.n_layouts > 1
    world.lists.close()


def test_a_successor_answers_for_every_sequence_since_its_moment(rng: np.random.Generator, tmp_path: Path) -> None:
    world = DiskWorld(rng, folder=tmp_path / "lists")
    world.build(world.some_points(N_POINTS))
    for _ in range(8):
        world.lay_out(6)
        sequences = range(world.index.state.floor_sequence, world.sequence + 1)
        assert len(sequences) > 1, "changes were done on the successor"
        for sequence in sequences:
            world.check(int(rng.choice(world.tenants)), sequence)
    world.lists.close()


def test_live_rows_are_counted_through_folds(rng: np.random.Generator, tmp_path: Path) -> None:
    world = DiskWorld(rng, folder=tmp_path / "lists")
    world.build(world.some_points(N_POINTS))
    for _ in range(6):
        for _ in range(10):
            world.change_something()
        assert world.index.n_live == len(world.points)
        for tenant in world.tenants:
            seen = world.visible(tenant, world.sequence, 0)
            assert n_seen(world.index.state, tenant, world.sequence, 0) == len(seen)
        world.lay_out(8)
        assert world.index.n_live == len(world.points)
    world.lists.close()


def test_slots_are_named_once_and_given_back_once(rng: np.random.Generator, tmp_path: Path) -> None:
    """Of the slots below a layout's each is a row's, given back by a fold, or was free before."""
    world = DiskWorld(rng, folder=tmp_path / "lists")
    world.build(world.some_points(N_POINTS))
    for _ in range(8):
        for _ in range(15):
            world.change_something()
        world.lay_out()
        laid, moment = world.index.state.laid, world.moments[-1]
        _, columns = laid.pages.rows(0, laid.n_rows)
        slots, ended = set(columns[1].tolist()), set(world.outcomes[-1].ended_slots.tolist())
        free = set(moment.free_slots.tolist())
        assert len(slots) == laid.n_rows, "two rows share a slot"
        assert len(ended) == len(world.outcomes[-1].ended_slots)
        assert not ended & (slots | free), "a slot is given back that is used, or was before"
        assert set(laid.unnamed.tolist()) == ended | free == set(range(moment.n_slots)) - slots
        world.index.reuse(world.outcomes[-1].ended_slots)
        world.check_all()
    world.lists.close()


def test_narrowed_readings_hold_what_is_allowed(rng: np.random.Generator, tmp_path: Path) -> None:
    world = DiskWorld(rng, folder=tmp_path / "lists")
    world.build(world.some_points(N_POINTS))
    for i in range(60):
        world.change_something()
        if i % 20 == 19:
            world.lay_out(3)
        flags = np.zeros(world.next_pid + 1, np.uint8)
        flags[:-1] = rng.random(world.next_pid) < rng.choice([0.02, 0.3, 0.9])
        index, tenant = world.index, int(rng.choice(world.tenants))
        readings = narrowed(index.state, tenant, flags)
        query = world.vectors(1)[0]
        found = index.search(index.state, tenant, query, 400, world.sequence, 0, EVERYTHING, readings)
        pids = found.pid[found.row >= 0].tolist()
        wanted = {pid for pid in world.visible(tenant, world.sequence, 0) if flags[pid]}
        assert len(pids) == len(set(pids)) and set(pids) == wanted
        assert readings.n_rows >= len(wanted)
    world.lists.close()
