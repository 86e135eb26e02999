"""The copy of an index on a device answers what the index answers, whatever is written in between."""

import numpy as np
import pytest

from tests.index.curator.resident_world import asks_of_all, check_copy, resident_of
from tests.index.curator.world import World
from vdb.index.curator.model import Encoding, Form
from vdb.types import Metric

N_POINTS = 300
N_WRITES = 40
ENCODINGS = [Encoding(form, 8) for form in Form] + [Encoding(Form.LVQ8, 5)]

pytestmark = pytest.mark.usefixtures("small_bounds", "small_pages")


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda encoding: f"{encoding.form.name}-{encoding.dimension}")
def test_a_copy_answers_as_the_index_after_every_write(
    rng: np.random.Generator, metric: Metric, encoding: Encoding
) -> None:
    world = World(rng, metric, encoding)
    world.build(world.some_points(N_POINTS))
    resident = resident_of(world)
    for _ in range(N_WRITES):
        world.change_something()
        check_copy(world, resident, asks_of_all(world, now_ms=int(rng.choice([0, 50_000, 99_999]))))
