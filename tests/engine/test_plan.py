"""What a request may ask of the effort of a search, and the effort that it comes to."""

from dataclasses import dataclass
from typing import Any

import pytest
from msgspec import UNSET

from vdb.config import Limits
from vdb.engine.plan import PRIOR, Notes, Plan, effort, plan_of
from vdb.errors import InvalidArgument
from vdb.protocol.columns import SearchHead
from vdb.protocol.requests import MAX_BUDGET, Search, SearchParams

ROWS = 120_000


@dataclass(frozen=True)
class MeasuredEffort:
    budget: int
    candidates: int


@dataclass(frozen=True)
class MeasuredProfile:
    """Says the same of every target, and remembers what it was asked in its answer."""

    reached: bool = True
    extrapolated: bool = False

    def effort(self, target: float, k: int, n_rows: int, residual: float) -> tuple[MeasuredEffort, bool, bool]:
        return MeasuredEffort(int(n_rows * (target + residual)), 7 * k), self.reached, self.extrapolated


def _plan(limit: int = 10, **params: Any) -> Plan:
    plans = {plan_of(shape(limit=limit, params=SearchParams(**params)), Limits()) for shape in (Search, SearchHead)}
    (plan,) = plans
    return plan


def test_a_request_that_says_nothing_aims_at_the_default() -> None:
    assert plan_of(Search(), Limits()) == _plan() == _plan(exact=False) == Plan(False, None, None, None)
    assert Plan().target == 0.99


def test_what_a_request_says_is_taken() -> None:
    assert _plan(exact=True) == Plan(exact=True)
    assert _plan(recall=0.5) == Plan(recall=0.5)
    assert _plan(budget=MAX_BUDGET, rerank=10) == Plan(budget=MAX_BUDGET, rerank=10)
    assert _plan(limit=1000, recall=0.95, budget=1, rerank=10_000) == Plan(False, 0.95, 1, 10_000)


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"exact": True, "recall": 0.9}, "recall"),
        ({"exact": True, "budget": 1}, "budget"),
        ({"exact": True, "rerank": 10}, "rerank"),
        ({"recall": 0.499}, "recall"),
        ({"recall": 1.0}, "recall"),
        ({"recall": float("nan")}, "recall"),
        ({"recall": float("inf")}, "recall"),
        ({"budget": 0}, "budget"),
        ({"budget": -5}, "budget"),
        ({"budget": MAX_BUDGET + 1}, "budget"),
        ({"rerank": 9}, "rerank"),
        ({"rerank": 10_001}, "rerank"),
    ],
    ids=str,
)
def test_a_fault_points_at_its_parameter(params: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        _plan(**params)
    assert [fault.pointer for fault in caught.value.problems] == [f"/params/{name}"]


@pytest.mark.parametrize(("c", "recall"), PRIOR)
def test_the_prior_is_what_was_measured(c: float, recall: float) -> None:
    chosen = effort(Plan(recall=recall), 10, ROWS)
    assert chosen.budget == pytest.approx(c * ROWS**0.6, abs=1)
    assert (chosen.candidates, chosen.notes) == (40, Notes(recall, reached=True, extrapolated=True))


def test_the_default_target_costs_ten_times_the_rows_to_the_power_of_three_fifths() -> None:
    assert effort(Plan(), 10, 100_000).budget == 10_000
    assert effort(Plan(), 10, ROWS).budget == 11_157
    assert effort(Plan(), 10, 1).budget == 40


def test_a_higher_target_never_costs_less() -> None:
    targets = [0.5 + 0.4999 * step / 500 for step in range(501)]
    budgets = [effort(Plan(recall=target), 10, ROWS).budget for target in targets]
    assert budgets == sorted(budgets)
    assert budgets[0] == effort(Plan(recall=PRIOR[0][1]), 10, ROWS).budget


def test_a_target_beyond_the_prior_gets_its_best_effort_and_says_so() -> None:
    chosen = effort(Plan(recall=0.999), 10, ROWS)
    assert chosen.budget > effort(Plan(recall=0.997), 10, ROWS).budget
    assert chosen.notes == Notes(0.999, reached=False, extrapolated=True)
    assert effort(Plan(recall=0.9999999999999999), 10, (1 << 31) - 1).budget == MAX_BUDGET


def test_more_hits_take_more_candidates_and_a_budget_for_them() -> None:
    assert effort(Plan(), 11, ROWS).candidates == 44
    chosen = effort(Plan(), 1_000, 5_000)
    assert (chosen.budget, chosen.candidates) == (4_000, 4_000)


def test_a_profile_decides_where_there_is_one() -> None:
    chosen = effort(Plan(recall=0.75), 3, 1_000, MeasuredProfile(), residual=0.125)
    assert chosen == (875, 21, Notes(0.75, reached=True, extrapolated=False))
    missed = effort(Plan(), 3, 1_000, MeasuredProfile(reached=False, extrapolated=True))
    assert missed.notes == Notes(0.99, reached=False, extrapolated=True)


@pytest.mark.parametrize("profile", [None, MeasuredProfile()])
def test_what_the_request_names_wins(profile: MeasuredProfile | None) -> None:
    by_hand = effort(Plan(budget=500, rerank=12), 10, ROWS, profile)
    assert by_hand == (500, 12, Notes(UNSET, UNSET, UNSET))
    found = effort(Plan(), 10, ROWS, profile)
    assert effort(Plan(budget=500), 10, ROWS, profile).candidates == found.candidates
    wide = effort(Plan(rerank=5_000), 10, ROWS, profile)
    assert (wide.budget, wide.candidates, wide.notes) == (found.budget, 5_000, found.notes)
    assert effort(Plan(rerank=12), 10, ROWS, profile).notes.reached is False


def test_a_small_budget_costs_no_hits() -> None:
    assert effort(Plan(budget=1), 10, ROWS).budget == 10
