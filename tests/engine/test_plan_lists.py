"""The effort of a search of posting lists on disk: from a table, and from what a request names."""

from itertools import pairwise

import pytest
from msgspec import UNSET

from vdb.engine.plan import Notes, Plan
from vdb.engine.plan_lists import LISTS, ListEffort, list_effort
from vdb.protocol.requests import MAX_BUDGET

INF = float("inf")


def test_a_request_that_says_nothing_aims_lower_than_in_ram() -> None:
    effort, notes = list_effort(Plan(), 10, 1_000)
    assert effort == ListEffort(1_700, 60, 1.2, 2.5) and notes == Notes(0.95, True, True)
    assert list_effort(Plan(recall=0.95), 10, 1_000) == (effort, notes)


@pytest.mark.parametrize(("recall", "measured"), LISTS)
def test_a_recall_that_was_measured_takes_what_it_took(recall: float, measured: ListEffort) -> None:
    assert list_effort(Plan(recall=recall), 10, 1_000) == (measured, Notes(recall, True, True))


def test_efforts_grow_with_the_recall_and_with_the_hits() -> None:
    recalls = [0.5, 0.9, 0.92, 0.95, 0.97, 0.98, 0.985, 0.99, 0.995, 0.999, 0.99999]
    efforts = [list_effort(Plan(recall=recall), 10, 1_000)[0] for recall in recalls]
    assert efforts[0] == efforts[1]
    for before, after in pairwise(efforts[1:]):
        assert after.budget > before.budget and after.candidates >= before.candidates
        assert after.ratio >= before.ratio and after.spreads >= before.spreads
    assert not list_effort(Plan(recall=0.999), 10, 1_000)[1].reached
    budgets = [list_effort(Plan(), k, 1_000)[0].budget for k in (1, 10, 100, 1_000)]
    assert budgets[0] == budgets[1] < budgets[2] < budgets[3]
    assert list_effort(Plan(), 1_000, 1_000)[0].candidates == 4_000
    assert list_effort(Plan(recall=1 - 1e-15), 1_000, 1_000)[0].budget == MAX_BUDGET


def test_what_a_request_names_wins() -> None:
    effort, notes = list_effort(Plan(budget=50, rerank=20), 10, 1_000)
    assert effort == ListEffort(50, 20, INF, INF)
    assert (notes.recall, notes.reached, notes.extrapolated) == (UNSET, UNSET, UNSET)
    effort, notes = list_effort(Plan(rerank=20), 10, 1_000)
    assert effort == ListEffort(1_700, 20, 1.2, INF) and notes == Notes(0.95, False, True)
    assert list_effort(Plan(rerank=100), 10, 1_000)[1].reached
    assert list_effort(Plan(budget=3), 10, 1_000)[0].budget == 10


def test_more_rows_than_were_measured_take_more_effort() -> None:
    few, many = (list_effort(Plan(), 10, n)[0] for n in (1_000_000, 4_000_000))
    assert few == dict(LISTS)[0.95]
    assert 2_000 <= many.budget < 2_200 and 90 <= many.candidates < 100
    assert list_effort(Plan(budget=500, rerank=20), 10, 4_000_000)[0][:2] == (500, 20)
