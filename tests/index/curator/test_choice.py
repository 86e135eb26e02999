"""The choice of an encoding: deterministic for given costs, cheapest that reaches the target, memory as tie-breaker."""

import numpy as np
import pytest

from vdb.errors import InvalidArgument
from vdb.index.curator import choice, costs
from vdb.index.curator.choice import Candidate, Choice, candidates, choose
from vdb.index.curator.costs import Costs, measured_costs
from vdb.index.curator.index import CuratorIndex
from vdb.index.curator.model import Encoding, Form
from vdb.index.curator.training import train
from vdb.kernels import cpu_kernels
from vdb.kernels.reference import Float32s
from vdb.types import Metric

COSTS = Costs(
    dimension=96,
    start=5.0,
    project=3e-5,
    entering=0.05,
    vector=0.08,
    rows={
        Form.LVQ8: ((40, 0.0033), (104, 0.0050)),
        Form.LVQ4: ((24, 0.0036), (56, 0.0045)),
        Form.FLOAT32: ((384, 0.009),),
        Form.FLOAT16: ((192, 0.009),),
    },
)


def text(rng: np.random.Generator, n: int, exponent: float = 0.8, turn: int = 0) -> Float32s:
    """Unit rows of 96 dimensions whose spectrum decays; another `turn`, other leading directions."""
    spectrum = np.roll((1 + np.arange(96)) ** -exponent, turn)
    drawn = (rng.standard_normal((n, 96)) * spectrum).astype(np.float32)
    unit: Float32s = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return unit


def by_bytes(encoding: Encoding, n_rows: float, n_nodes: float, n_candidates: int, n_compared: float) -> float:
    """Scanning is all that costs."""
    return encoding.row_bytes * n_rows


def of(found: Choice, form: Form, dimension: int, for_queries: bool = False) -> choice.Trial:
    wanted = Candidate(Encoding(form, dimension), for_queries)
    return next(one for one in found.trials if one.candidate == wanted)


def test_the_grid_is_multiples_of_32_and_all_dimensions() -> None:
    found = candidates(100, False)
    assert {one.encoding.dimension for one in found} == {32, 64, 96, 100}
    assert sum(one.encoding.dimension == 100 for one in found) == len(Form)
    assert not any(one.for_queries for one in found)
    assert sum(one.for_queries for one in candidates(100, True)) == 6


@pytest.mark.parametrize("dimension", [1, 2, 32, 33, 768, 3_072, 8_192])
def test_the_grid_of_any_dimension_is_sound_and_not_large(dimension: int) -> None:
    found = candidates(dimension, True)
    assert len(found) == len(set(found)) <= 4 * choice.MOST_KEPT // choice.GRID + 4
    assert all(1 <= one.encoding.dimension <= dimension for one in found)


def test_the_same_costs_choose_the_same(rng: np.random.Generator) -> None:
    rows = text(rng, 900)
    first, second = (choose(rows, None, Metric.COSINE, COSTS) for _ in range(2))
    assert first.trials == second.trials
    assert first.best == second.best


def test_the_cheapest_that_reaches_the_target_is_chosen(rng: np.random.Generator) -> None:
    found = choose(text(rng, 1_500), None, Metric.COSINE, COSTS, target=0.95)
    reached = [one for one in found.trials if one.reached]
    assert found.best.reached
    assert found.best.recall >= 0.95
    assert found.best.cost_us <= choice.ALIKE * min(one.cost_us for one in reached)
    assert all(one.recall >= 0.95 for one in reached)


def test_of_equal_costs_the_smallest_code_is_chosen(rng: np.random.Generator) -> None:
    found = choose(text(rng, 600, exponent=3.0), None, Metric.L2, lambda *_: 1.0)
    reached = [one.candidate.encoding.row_bytes for one in found.trials if one.reached]
    assert found.best.candidate.encoding.row_bytes == min(reached)


def test_a_flat_spectrum_keeps_more_dimensions_than_a_steep_one(rng: np.random.Generator) -> None:
    tried = [Candidate(Encoding(Form.LVQ8, d)) for d in (32, 64, 96)]
    flat = choose(text(rng, 1_500, exponent=0.0), None, Metric.COSINE, by_bytes, tried=tried)
    steep = choose(text(rng, 1_500, exponent=2.5), None, Metric.COSINE, by_bytes, tried=tried)
    assert steep.best.candidate.encoding.dimension == 32
    assert flat.best.candidate.encoding.dimension > 32


def test_codes_beyond_the_cap_are_left_out(rng: np.random.Generator) -> None:
    rows = text(rng, 600, exponent=0.0)
    found = choose(rows, None, Metric.COSINE, COSTS, max_row_bytes=60)
    assert all(one.candidate.encoding.row_bytes <= 60 for one in found.trials)
    tiny = choose(rows, None, Metric.COSINE, COSTS, max_row_bytes=1)
    assert len(tiny.trials) == 1


def test_a_target_out_of_reach_gives_what_finds_most(rng: np.random.Generator) -> None:
    tried = [Candidate(Encoding(Form.LVQ4, d)) for d in (32, 64)]
    found = choose(text(rng, 2_500, exponent=0.0), None, Metric.COSINE, COSTS, tried=tried, target=1.0)
    assert not found.best.reached
    assert found.best.recall == max(one.recall for one in found.trials)


@pytest.mark.parametrize("metric", list(Metric))
def test_whole_rows_find_everything(rng: np.random.Generator, metric: Metric) -> None:
    tried = [Candidate(Encoding(Form.FLOAT32, 96)), Candidate(Encoding(Form.LVQ8, 96))]
    rows = text(rng, 700)
    if metric is not Metric.COSINE:
        rows *= rng.uniform(0.5, 2, (700, 1)).astype(np.float32)
    found = choose(rows, None, metric, COSTS, tried=tried, target=1.0)
    assert of(found, Form.FLOAT32, 96).reached
    assert of(found, Form.FLOAT32, 96).n_candidates == 10
    assert of(found, Form.LVQ8, 96).recall > 0.99


def test_more_dimensions_find_more(rng: np.random.Generator) -> None:
    tried = [Candidate(Encoding(Form.LVQ8, d)) for d in (8, 32, 64)]
    found = choose(text(rng, 2_500, exponent=0.3), None, Metric.COSINE, COSTS, tried=tried, target=1.0)
    recalls = [one.recall for one in found.trials]
    assert recalls == sorted(recalls)
    assert recalls[0] < recalls[-1], recalls


def test_recorded_queries_unlike_the_rows_choose_a_projection_for_them(rng: np.random.Generator) -> None:
    rows, queries = text(rng, 1_500), text(rng, 400, turn=48)
    tried = [Candidate(Encoding(Form.LVQ8, d), for_queries) for d in (32, 64) for for_queries in (False, True)]
    found = choose(rows, queries, Metric.COSINE, by_bytes, tried=tried)
    assert found.best.candidate.for_queries, found.best
    assert found.projection is not None and not found.projection.is_of_rows
    assert found.projection.dimension == found.best.candidate.encoding.dimension
    ours, pca = (of(found, Form.LVQ8, 32, for_queries) for for_queries in (True, False))
    assert ours.reached and not pca.reached, (ours, pca)


def test_the_projection_that_was_chosen_trains_the_model(rng: np.random.Generator) -> None:
    rows = text(rng, 800, exponent=2.0)
    found = choose(rows, None, Metric.COSINE, by_bytes)
    assert found.projection is not None
    encoding = found.best.candidate.encoding
    model = train(rows, 800, Metric.COSINE, encoding, projection=found.projection)
    assert model.projection is not None
    assert np.array_equal(model.projection.of_rows, found.projection.of_rows)


@pytest.mark.parametrize("queries", [None, np.zeros((0, 96), np.float32), np.zeros((1, 96), np.float32)])
def test_a_projection_for_queries_without_queries_is_refused(
    rng: np.random.Generator, queries: Float32s | None
) -> None:
    tried = [Candidate(Encoding(Form.LVQ8, 32), for_queries=True)]
    with pytest.raises(InvalidArgument):
        choose(text(rng, 100), queries, Metric.COSINE, COSTS, tried=tried)
    with pytest.raises(InvalidArgument):
        choose(text(rng, 0), None, Metric.COSINE, COSTS)


@pytest.mark.parametrize("n", [1, 2, 5, 40])
@pytest.mark.parametrize("dimension", [1, 2, 40])
def test_few_rows_of_any_dimension_are_chosen_for(rng: np.random.Generator, n: int, dimension: int) -> None:
    found = choose(rng.standard_normal((n, dimension), dtype=np.float32), None, Metric.L2, lambda *_: 1.0)
    assert found.best.candidate.encoding.dimension <= dimension


@pytest.mark.parametrize("metric", list(Metric))
def test_zeros_and_duplicates_are_chosen_for(rng: np.random.Generator, metric: Metric) -> None:
    rows = np.concatenate((np.zeros((100, 40), np.float32), np.repeat(rng.standard_normal((5, 40)), 20, axis=0)))
    found = choose(rows.astype(np.float32), None, metric, lambda *_: 1.0)
    assert np.isfinite(found.best.cost_us)


def test_a_larger_reading_costs_more(rng: np.random.Generator) -> None:
    rows = text(rng, 800)
    small, large = (choose(rows, None, Metric.COSINE, COSTS, n_reading=n).best for n in (800, 80_000))
    assert large.n_rows > 3 * small.n_rows
    assert large.cost_us > small.cost_us


def test_costs_go_with_what_is_done() -> None:
    wide, narrow = Encoding(Form.LVQ8, 96), Encoding(Form.LVQ8, 32)
    assert COSTS(wide, 1_000, 10, 40, 20) > COSTS(narrow, 1_000, 10, 40, 20)
    assert COSTS(wide, 2_000, 10, 40, 20) > COSTS(wide, 1_000, 10, 40, 20)
    assert COSTS(wide, 1_000, 10, 80, 20) > COSTS(wide, 1_000, 10, 40, 20)
    assert COSTS(wide, 1_000, 10, 40, 40) > COSTS(wide, 1_000, 10, 40, 20)
    assert COSTS(narrow, 0, 0, 1, 0) == pytest.approx(5 + 3e-5 * 96 * 32)


@pytest.mark.parametrize("dimension", [1, 40])
def test_measured_costs_are_finite_and_of_every_candidate(dimension: int) -> None:
    cost = measured_costs(dimension, Metric.L2, cpu_kernels())
    for candidate in candidates(dimension, True):
        assert 0 <= cost(candidate.encoding, 1_000, 30, 40, 20) < np.inf


def test_a_clock_that_stands_still_for_a_moment_changes_no_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that seemed to take no time made one form's rows cost nothing, and it was chosen."""
    asked = []

    def time(self: costs._Timings, index: CuratorIndex, tenant: int, m: int) -> float:
        asked.append(1)
        n = costs.SHORT if tenant == 1 else costs.LONG
        took = 4 + 0.01 * n + 0.05 * costs._entering(n, m)
        return 0.0 if len(asked) % 17 == 0 else took * (3 if len(asked) % 5 == 0 else 1)

    monkeypatch.setattr(costs._Timings, "_time", time)
    cost = measured_costs(40, Metric.L2, cpu_kernels())
    assert isinstance(cost, Costs)
    assert cost.start == pytest.approx(4) and cost.entering == pytest.approx(0.05)
    assert all(us == pytest.approx(0.01) for points in cost.rows.values() for _, us in points)
