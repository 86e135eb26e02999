"""Collections of odd shapes: one point, one tenant, thousands of them, none left, all the same, zero, huge."""

import numpy as np
import pytest

from tests.index.curator.world import Point, World
from vdb.index.curator.index import Effort
from vdb.index.curator.model import Encoding, Form
from vdb.index.curator.narrowing import narrowed
from vdb.index.curator.state import NOTHING
from vdb.index.curator.upkeep import default_encoding
from vdb.types import EVERYONE_ID, Metric

METRICS = pytest.mark.parametrize("metric", list(Metric))

pytestmark = pytest.mark.usefixtures("small_bounds")


def same_points(n: int, vector: float, owner: int = 1) -> list[Point]:
    return [Point(owner, np.full(8, vector, np.float32)) for _ in range(n)]


@METRICS
@pytest.mark.parametrize("vector", [0.0, 1.0, -3.5])
def test_identical_points_are_all_found(rng: np.random.Generator, metric: Metric, vector: float) -> None:
    world = World(rng, metric)
    world.build(same_points(300, vector))
    world.check_all()
    world.put(1, dict(enumerate(same_points(150, vector), 300)))
    world.lay_out()
    world.check_all()


@METRICS
def test_an_index_of_one_point_grows(rng: np.random.Generator, metric: Metric) -> None:
    world = World(rng, metric)
    world.build(world.some_points(1))
    world.check_all()
    for _ in range(40):
        world.insert(10)
        world.check(int(rng.choice(world.tenants)))
    world.lay_out()
    world.check_all()


@METRICS
def test_an_index_that_lost_all_its_points_takes_others(rng: np.random.Generator, metric: Metric) -> None:
    world = World(rng, metric)
    world.build(world.some_points(200))
    world.delete(list(world.points))
    world.check_all()
    world.lay_out()
    world.check_all()
    world.insert(30)
    world.check_all()
    world.lay_out()
    world.check_all()


def test_a_reading_that_lost_all_its_points_is_empty_and_fills_again(rng: np.random.Generator) -> None:
    world = World(rng)
    world.build(world.some_points(400))
    world.delete([pid for pid, point in world.points.items() if point.owner == 1])
    for tenant in (1, EVERYONE_ID):
        world.revoke(tenant, [pid for pid, point in world.points.items() if tenant in point.shared])
    world.check_all()
    world.lay_out()
    world.check_all()
    world.insert(100, owner=1)
    world.grant(1, [pid for pid, point in world.points.items() if point.owner == 2])
    world.check_all()


def test_grants_come_and_go_and_come_again(rng: np.random.Generator) -> None:
    world = World(rng)
    world.build(world.some_points(300))
    for i in range(12):
        pids = [pid for pid, point in world.points.items() if point.owner == 2 and 6 not in point.shared]
        world.grant(6, pids)
        world.check(6)
        world.revoke(6, pids[::2])
        world.check(6)
        if i % 4 == 3:
            world.lay_out(3)
    world.check_all()


def test_one_tenant_owns_everything(rng: np.random.Generator) -> None:
    world = World(rng, n_tenants=1)
    world.build([Point(1, vector) for vector in world.vectors(500)])
    for _ in range(20):
        world.insert(30, owner=1)
        world.replace(list(world.points)[:: int(rng.integers(5, 50))])
        world.check(1)
        world.check(2)
    world.lay_out(3)
    world.check_all()


def test_rows_that_are_scanned_whole_leave_the_budget_to_the_others(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenant of 3,000 own and 3,000 granted rows found none of those granted: its own used the budget up."""
    monkeypatch.setattr("vdb.index.curator.layout.OWN_WHOLE", 500)
    world = World(rng)
    granted = rng.standard_normal((1000, 8)).astype(np.float32)
    own = [Point(1, vector) for vector in rng.standard_normal((400, 8)).astype(np.float32)]
    world.build([*own, *(Point(2, vector, 0, frozenset({1})) for vector in granted)])
    state = world.index.state
    mine, everyones = state.reading(1), state.reading(EVERYONE_ID)
    for vector in granted[:50]:
        found = world.index.search(state, mine, everyones, vector, 1, 1, 0, Effort(100, 20), kernels=world.kernels)
        assert found.distance[0] < 1e-6 and found.statistics[2] < 1000


def test_two_thousand_tenants_see_their_own(rng: np.random.Generator) -> None:
    world = World(rng, n_tenants=2_000)
    world.build(world.some_points(4_000))
    for _ in range(10):
        world.change_something()
    for tenant in rng.choice(world.tenants, 100):
        world.check(int(tenant))
    world.lay_out(5)
    for tenant in rng.choice(world.tenants, 100):
        world.check(int(tenant))
    assert world.n_layouts == 1 and len(world.index.state.directories.tenants) > 1_000


@METRICS
@pytest.mark.parametrize("scale", [1e-30, 1e15, 1e19, 1e30, 3e38])
@pytest.mark.parametrize("form", [Form.LVQ8, Form.LVQ4, Form.FLOAT32], ids=lambda form: form.name)
def test_vectors_and_queries_of_any_finite_size_are_answered(
    rng: np.random.Generator, metric: Metric, scale: float, form: Form
) -> None:
    world = World(rng, metric, Encoding(form, 8))
    world.build([Point(1, vector) for vector in world.vectors(300)])
    huge = (rng.uniform(-1, 1, (20, 8)) * scale).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        world.put(1, {300 + i: Point(1, vector) for i, vector in enumerate(huge)})
        for query in (world.vectors(1)[0], huge[0], np.full(8, scale, np.float32)):
            found = world.search(world.index, world.index.state, 1, query, 400, world.sequence)
            assert sorted(world.index.state.rows.pids[found.row[found.row >= 0]].tolist()) == list(range(320))


@METRICS
@pytest.mark.parametrize("scale", [1e15, 1e19, 1e30, 3e38])
def test_points_of_any_finite_size_are_indexed(rng: np.random.Generator, metric: Metric, scale: float) -> None:
    """The training failed with `Probabilities contain NaN`, and the collection stayed without an index."""
    world = World(rng, metric)
    huge = (rng.uniform(-1, 1, (200, 8)) * scale).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        world.build([Point(1, vector) for vector in (*world.vectors(200), *huge)])
        world.lay_out()
        for query in (world.vectors(1)[0], huge[0]):
            found = world.search(world.index, world.index.state, 1, query, 400, world.sequence)
            assert sorted(world.index.state.rows.pids[found.row].tolist()) == list(range(400))


@pytest.mark.parametrize("dimension", [1, 2, 31, 97, 300])
def test_any_dimension_is_indexed_even_of_few_points(rng: np.random.Generator, dimension: int) -> None:
    for n_points in (1, 2, 5, 40):
        world = World(rng, Metric.COSINE, default_encoding(dimension), dimension)
        world.build(world.some_points(n_points))
        world.check_all()
        world.insert(20)
        world.lay_out()
        world.check_all()


@METRICS
def test_all_rows_are_compared_where_more_are_asked_for_than_are_kept_sorted(
    rng: np.random.Generator, metric: Metric, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vdb.index.curator.index.MOST_SORTED", 0)
    monkeypatch.setattr("vdb.index.curator.exhaustive.BLOCK_ROWS", 37)
    world = World(rng, metric)
    world.build(world.some_points(300))
    for _ in range(30):
        world.change_something()
        world.check(int(rng.choice(world.tenants)), now_ms=int(rng.integers(100_000)))
    world.check_all(now_ms=50_000)


def test_a_narrowed_reading_names_the_allowed_rows_and_no_other(rng: np.random.Generator) -> None:
    world = World(rng)
    world.build(world.some_points(500))
    for _ in range(20):
        world.change_something()
    state = world.index.state
    allowed = (rng.random(400) < 0.3).astype(np.uint8)  # pids beyond are not
    allowed[-1] = 0
    for tenant in world.tenants:
        reading = narrowed(state.reading(tenant), state.rows, state.model, allowed, world.kernels)
        found = world.index.search(
            state, reading, NOTHING, world.vectors(1)[0], 900, world.sequence, 0, Effort(1 << 40, 1 << 14)
        )
        pids = set(state.rows.pids[found.row[found.row >= 0]].tolist())
        seen = {p for p, q in world.points.items() if (q.owner == tenant or tenant in q.shared) and p < 400}
        seen = {pid for pid in seen if allowed[pid]}
        assert pids == seen


@pytest.mark.parametrize(
    ("dimension", "kept"), [(1, 1), (96, 96), (97, 64), (384, 160), (2_560, 1_024), (8_192, 1_024)]
)
def test_the_default_keeps_no_more_components_than_are_ever_tried(dimension: int, kept: int) -> None:
    """Of 8,192 it kept 3,296: their eigenvectors took minutes."""
    assert default_encoding(dimension) == Encoding(Form.LVQ8, kept)
