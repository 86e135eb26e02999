"""Random writes: the index, old states of it and its successors show each tenant what it may see, and nothing else."""

import numpy as np
import pytest

from tests.index.curator.world import World
from vdb.index.curator.model import Encoding, Form
from vdb.types import Metric

N_POINTS = 300
N_WRITES = 120
ENCODINGS = [Encoding(form, 8) for form in Form] + [Encoding(Form.LVQ8, 5)]

pytestmark = pytest.mark.usefixtures("small_bounds")


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda encoding: f"{encoding.form.name}-{encoding.dimension}")
def test_every_tenant_sees_what_it_may_after_every_write(
    rng: np.random.Generator, metric: Metric, encoding: Encoding
) -> None:
    world = World(rng, metric, encoding)
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


def test_a_state_taken_before_answers_as_of_its_sequence(rng: np.random.Generator) -> None:
    world = World(rng)
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


def test_the_newest_state_answers_for_every_sequence_since_its_floor(rng: np.random.Generator) -> None:
    world = World(rng)
    world.build(world.some_points(N_POINTS))
    for _ in range(N_WRITES):
        world.change_something()
        floor = world.index.state.floor_sequence
        world.check(int(rng.choice(world.tenants)), int(rng.integers(floor, world.sequence + 1)))
        if world.index.should_lay_out:
            world.lay_out(int(rng.integers(0, 6)))
    assert world.n_layouts > 1


def test_a_successor_answers_for_every_sequence_since_its_moment(rng: np.random.Generator) -> None:
    world = World(rng)
    world.build(world.some_points(N_POINTS))
    for _ in range(8):
        world.lay_out(6)
        sequences = range(world.index.state.floor_sequence, world.sequence + 1)
        assert len(sequences) > 1, "changes were done on the successor"
        for sequence in sequences:
            world.check(int(rng.choice(world.tenants)), sequence)


def test_live_rows_are_counted_through_layouts(rng: np.random.Generator) -> None:
    world = World(rng)
    world.build(world.some_points(N_POINTS))
    for _ in range(6):
        for _ in range(10):
            world.change_something()
        world.lay_out(8)
        assert world.index.n_live == len(world.points)
