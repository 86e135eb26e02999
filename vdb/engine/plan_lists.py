"""What a search of posting lists on disk may cost. Nothing is measured on the collection itself: a table says.

Measured on a million arXiv vectors of 384 dimensions with one owner, 1,000 queries, the 10 nearest: `LISTS`.
"""

from typing import NamedTuple

from vdb.engine.plan import Notes, Plan
from vdb.protocol.requests import MAX_BUDGET

DEFAULT_RECALL = 0.95
"""Less than in RAM: each page more may have to be waited for."""


class ListEffort(NamedTuple):
    """Rows of lists scanned; candidates compared by their vectors; how much farther than the nearest list another may
    be, as a ratio; how many standard deviations of their errors estimates may be worse than the k-th."""

    budget: int
    candidates: int
    ratio: float
    spreads: float


LISTS = (
    (0.9, ListEffort(900, 60, 1.2, 2.5)),
    (0.95, ListEffort(1_700, 60, 1.2, 2.5)),
    (0.98, ListEffort(3_400, 90, 1.3, 3.0)),
    (0.99, ListEffort(6_000, 120, 1.4, 3.5)),
)
"""Recall@10 and the effort that had it."""
MEASURED_HITS, MEASURED_ROWS = 10, 1_000_000
BUDGET_GROWTH, CANDIDATES_GROWTH = 0.15, 0.3
"""Of 4 million rows the effort of a million finds .923 instead of .954; 2,000 rows and 90 candidates find .953."""
CANDIDATES_PER_HIT = 4
BEYOND = 0.75
"""Above the table efforts grow by the missing recall to this power, and no list is left out for its distance."""


def list_effort(plan: Plan, k: int, n_rows: int) -> tuple[ListEffort, Notes]:
    """The effort of one query for k hits among `n_rows` rows, and what to say of it.

    More hits lie in more lists: about their root. Of more rows than were measured more are as near as the k-th.
    """
    target = DEFAULT_RECALL if plan.recall is None else plan.recall
    found = _at(target)
    n_times = max(1.0, k / MEASURED_HITS) ** 0.5
    larger = max(1.0, n_rows / MEASURED_ROWS)
    budget = min(int(found.budget * n_times * larger**BUDGET_GROWTH), MAX_BUDGET)
    candidates = max(int(found.candidates * larger**CANDIDATES_GROWTH), CANDIDATES_PER_HIT * k)
    notes = Notes()
    if plan.budget is None:
        is_enough = plan.rerank is None or plan.rerank >= candidates
        notes = Notes(target, is_enough and target <= LISTS[-1][0], True)
    if plan.budget is not None:  # who names it wants its lists, however far they are
        found = found._replace(ratio=float("inf"))
        budget = plan.budget
    if plan.rerank is not None:
        found, candidates = found._replace(spreads=float("inf")), plan.rerank
    return found._replace(budget=max(budget, k), candidates=max(candidates, k)), notes


def _at(target: float) -> ListEffort:
    """That of the table: between two rows the wider one's, but for the budget."""
    before, effort = LISTS[0]
    if target <= before:
        return effort
    for recall, wider in LISTS[1:]:
        if target <= recall:
            share = (target - before) / (recall - before)
            return wider._replace(budget=round(effort.budget + share * (wider.budget - effort.budget)))
        before, effort = recall, wider
    times = ((1 - before) / (1 - target)) ** BEYOND
    wider = ListEffort(round(effort.budget * times), round(effort.candidates * times), float("inf"), float("inf"))
    return wider
