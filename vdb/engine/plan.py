"""What a search may cost: the wishes of its request, and the effort that they come to on so many rows.

The budget is how many rows the index scores before it stops, the candidates how many of them it compares by their full
vectors. What a request names wins; then a profile, measured on the collection, says what reaches the recall it aims at;
without one a prior does, measured on 120,000 sentence embeddings (arXiv abstracts): for rows n and k = 10 a budget of
c·n^0.6 had the recall in `PRIOR`.
"""

from enum import StrEnum
from math import ceil
from typing import Literal, NamedTuple, Protocol

from msgspec import UNSET, UnsetType

from vdb.config import Limits
from vdb.errors import InvalidArgument
from vdb.protocol.columns import SearchHead
from vdb.protocol.requests import LEAST_RECALL, MAX_BUDGET, Search, SearchParams

DEFAULT_RECALL = 0.99
LEAST_CANDIDATES = 40
CANDIDATES_PER_HIT = 4
EXPONENT = 0.6

PRIOR = ((2.0, 0.891), (4.0, 0.955), (6.0, 0.976), (8.0, 0.986), (12.0, 0.994), (20.0, 0.997))
"""(c, recall@10), both ascending."""
BEYOND = 0.75
"""Above the table c grows by the missing recall to this power, about the slope of its last rows."""


Wish = Literal["auto", "cpu", "gpu"]
"""Where a search is to be answered."""


class Reason(StrEnum):
    """Why a search went the way it did."""

    ASKED_FOR = "asked for"
    SMALL = "small collection"
    BUILDING = "index is being built"


class Plan(NamedTuple):
    """What a request asks for. `recall` is the target, None where it names none; `budget` and `rerank` win over what it
    comes to. `backend` None: as the server's setting says."""

    exact: bool = False
    recall: float | None = None
    budget: int | None = None
    rerank: int | None = None
    backend: Wish | None = None

    @property
    def target(self) -> float:
        """The recall to aim at in RAM."""
        return DEFAULT_RECALL if self.recall is None else self.recall


class Effort(Protocol):
    """How far a search goes."""

    @property
    def budget(self) -> int: ...

    @property
    def candidates(self) -> int: ...


class Profile(Protocol):
    """What recall costs on a collection, as measured there."""

    def effort(self, target: float, k: int, n_rows: int, residual: float) -> tuple[Effort, bool, bool]:
        """The least effort that reaches `target` for k hits of `n_rows` rows.

        `residual` is |q − PPᵀq|² / |q|², what the projection drops of the query. Then: whether the target is reached
        (else it is the best effort), and whether it is extrapolated from other queries than such.
        """
        ...


class Notes(NamedTuple):
    """What `explain` says of an effort. UNSET where the request named the budget, so that no target decided it."""

    recall: float | UnsetType = UNSET
    reached: bool | UnsetType = UNSET
    extrapolated: bool | UnsetType = UNSET


class Chosen(NamedTuple):
    """An effort per query: rows scored, candidates compared by their full vectors; and what to say of it."""

    budget: int
    candidates: int
    notes: Notes


def plan_of(request: Search | SearchHead, limits: Limits) -> Plan:
    """The wishes of a request whose `limit` is checked; raises InvalidArgument at the member of `params` at fault."""
    params = request.params
    if not isinstance(params, SearchParams):
        return Plan()
    backend = None if params.backend is UNSET else params.backend
    if params.exact:
        for name in ("recall", "budget", "rerank"):
            if getattr(params, name) is not UNSET:
                raise InvalidArgument.at(f"/params/{name}", f"an exact search has no {name}")
        return Plan(exact=True, backend=backend)
    recall, budget, rerank = params.recall, params.budget, params.rerank
    if recall is not UNSET and not LEAST_RECALL <= recall < 1.0:
        raise InvalidArgument.at("/params/recall", f"recall is {LEAST_RECALL} or more and below 1: for 1 ask for exact")
    if budget is not UNSET and not 1 <= budget <= MAX_BUDGET:
        raise InvalidArgument.at("/params/budget", f"budget is 1 to {MAX_BUDGET}")
    if rerank is not UNSET and not request.limit <= rerank <= limits.max_rerank:
        raise InvalidArgument.at("/params/rerank", f"rerank is at least limit and at most {limits.max_rerank}")
    return Plan(
        recall=None if recall is UNSET else recall,
        budget=None if budget is UNSET else budget,
        rerank=None if rerank is UNSET else rerank,
        backend=backend,
    )


def effort(plan: Plan, k: int, n_rows: int, profile: Profile | None = None, residual: float = 0.0) -> Chosen:
    """The effort of one query for k hits among `n_rows` rows; see `Profile` for `residual`.

    A budget is never below k, so that it costs no hits. With a `rerank` below what the target needs it is not reached.
    """
    if profile is not None:
        found, reached, extrapolated = profile.effort(plan.target, k, n_rows, residual)
        budget, candidates = found.budget, found.candidates
    else:
        budget, candidates = _prior(plan.target, k, n_rows)
        reached, extrapolated = plan.target <= PRIOR[-1][1], True
    notes = Notes()
    if plan.budget is None:
        reached = reached and (plan.rerank is None or plan.rerank >= candidates)
        notes = Notes(plan.target, reached, extrapolated)
    budget = budget if plan.budget is None else plan.budget
    candidates = candidates if plan.rerank is None else plan.rerank
    return Chosen(max(budget, k), candidates, notes)


def _prior(target: float, k: int, n_rows: int) -> tuple[int, int]:
    """Budget and candidates where nothing was measured: wide enough for most collections."""
    candidates = max(LEAST_CANDIDATES, CANDIDATES_PER_HIT * k)
    budget = ceil(round(_factor(target) * n_rows**EXPONENT, 6))  # rounded: no row more for the last bit of a product
    return min(max(budget, candidates), MAX_BUDGET), candidates


def _factor(target: float) -> float:
    """The c of `PRIOR` for a recall: linear between its rows, its first c below them."""
    c, recall = PRIOR[0]
    if target <= recall:
        return c
    for next_c, next_recall in PRIOR[1:]:
        if target <= next_recall:
            return c + (next_c - c) * (target - recall) / (next_recall - recall)
        c, recall = next_c, next_recall
    return c * float(((1 - recall) / (1 - target)) ** BEYOND)
