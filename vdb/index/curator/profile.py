"""Recall targets: which effort a search needs, looked up in what was measured on the collection itself.

Measured are `Level`s: the recall of searches of one k, one size class of the reading and one residual class of the
query, over a grid of efforts: budget = c · n^0.6 rows for c in `BUDGETS`, candidates = r · k for r in `CANDIDATES`.
Sizes between classes are interpolated, k likewise, and a k below all that were measured takes the effort of the least,
whose hits are farther; a query whose residual lies between classes counts to the
harder one. What lies beyond what was measured gets wider parameters and is called extrapolated.

The residual of a query, |q − Bᵀ A q|² / |q|², is the part that a projection does not see: it tells queries that are
unlike the rows. It is 0 for all where rows keep all components.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdb.index.curator.index import Effort
from vdb.index.curator.model import Model
from vdb.index.leanvec.projection import Projection
from vdb.kernels import current
from vdb.kernels.reference import Float32s

BUDGETS = (0.5, 1.0, 2.0, 3.0, 4.5, 6.0, 8.0, 11.0, 16.0, 24.0, 36.0, 64.0, 128.0, 512.0)
CANDIDATES = (1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0, 40.0, 80.0)
EXPONENT = 0.6
SIZES = (0, 1_000, 4_000, 16_000, 64_000, 256_000, 1_000_000, 4_000_000)
"""Where size classes begin, in rows of a reading."""
RESIDUAL_STEP = 0.1
WIDER_BUDGET, WIDER_CANDIDATES = 2.0, 1.5
"""What parameters are multiplied by beyond what was measured: for k, for size, and for each class of residuals."""
MOST_WIDER = 4
CANDIDATE_ROWS = 10.0
"""Rows scored for the cost of one more candidate."""
PRIOR_BUDGET, PRIOR_CANDIDATES, PRIOR_FACTOR = 10.0, 40, 4

ALIKE_HITS = 5
"""How many independent hits a query counts for: those of one query are missed together. Recall of one query of ten
hits has a standard deviation of .10 where the mean is .95."""

Float64s = NDArray[np.float64]
_LEAST_ENERGY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, slots=True)
class Level:
    """Recall measured of one class: `recall[i][j]` with budget factor `BUDGETS[i]` and candidate factor
    `CANDIDATES[j]`, the mean of `n_queries`; `n_rows` is the geometric mean size of the readings."""

    k: int
    size_class: int
    residual_class: int
    n_rows: float
    n_queries: int
    recall: tuple[tuple[float, ...], ...]

    def factors(self, target: float) -> tuple[float, float, bool]:
        """Budget factor, candidate factor, and whether they reach the target: the cheapest that do, else the best.

        A budget between two measured ones is taken where recall, as they say, passes the target; and a standard error
        above it, where that was reached: the next queries are others than those that were measured.
        """
        recall = np.maximum.accumulate(np.maximum.accumulate(np.array(self.recall), axis=0), axis=1)
        error = np.sqrt(target * (1 - target) / (ALIKE_HITS * max(1, self.n_queries)))
        target = max(target, min(target + float(error), float(recall.max())))
        best: tuple[float, float, float] | None = None
        for j, factor in enumerate(CANDIDATES):
            reaching = np.flatnonzero(recall[:, j] >= target)
            if len(reaching) == 0:
                continue
            budget = _crossing(recall[:, j], int(reaching[0]), target)
            cost = budget * max(self.n_rows, 1.0) ** EXPONENT + CANDIDATE_ROWS * factor * self.k
            if best is None or cost < best[0]:
                best = (cost, budget, factor)
        if best is not None:
            return best[1], best[2], True
        i, j = divmod(int(recall.argmax()), recall.shape[1])
        return BUDGETS[i], CANDIDATES[j], False


@dataclass(frozen=True)
class Profile:
    """Levels of one collection; without any it answers by the prior. Immutable; free for any thread.

    `planned` and `efforts` keep what was looked up: targets and k are few, and sizes change with writes only.
    """

    levels: tuple[Level, ...] = ()
    planned: dict[tuple[float, int, int], "_Curve | None"] = field(default_factory=dict, compare=False, repr=False)
    efforts: dict[tuple[float, int, int, int], "tuple[Effort, bool, bool]"] = field(
        default_factory=dict, compare=False, repr=False
    )

    def effort(self, target: float, k: int, n_rows: int, residual: float = 0.0) -> tuple[Effort, bool, bool]:
        """The effort for `target` recall@k in a reading of `n_rows`; whether it is reached; whether extrapolated.

        Budget and candidates never fall as the rows, k or the residual rise; a higher target never costs less.
        """
        if not self.levels:
            budget = PRIOR_BUDGET * max(n_rows, 1) ** EXPONENT
            return Effort(int(np.ceil(budget)), max(PRIOR_CANDIDATES, PRIOR_FACTOR * k)), True, True
        key = (target, k, n_rows, residual_class(residual))
        found = self.efforts.get(key)
        if found is None:
            if len(self.efforts) >= 1_024:
                self.efforts.clear()
            found = self.efforts[key] = self._effort(*key)
        return found

    def _effort(self, target: float, k: int, n_rows: int, wanted: int) -> tuple[Effort, bool, bool]:
        at_class, n_beyond = self._class_of(wanted)
        curve = self._curve(target, k, at_class)
        budget, candidates, reached = curve.at(n_rows)
        k_most = self.ks[-1]
        if k > k_most:
            budget *= float(np.sqrt(k / k_most))
        n_beyond += int(k > k_most) + int(size_class(n_rows) > curve.last_class)
        n_wider = min(n_beyond, MOST_WIDER)
        budget, candidates = budget * WIDER_BUDGET**n_wider, candidates * WIDER_CANDIDATES**n_wider
        effort = Effort(int(np.ceil(budget)), max(k, int(np.ceil(candidates))))
        return effort, reached, n_beyond > 0

    @cached_property
    def ks(self) -> tuple[int, ...]:
        """The k that were measured, ascending."""
        return tuple(sorted({level.k for level in self.levels}))

    @cached_property
    def residual_classes(self) -> tuple[int, ...]:
        """The residual classes that were measured, ascending."""
        return tuple(sorted({level.residual_class for level in self.levels}))

    def merged(self, other: "Profile") -> "Profile":
        """With the levels of another in place of mine of the same class: recorded queries beat held-out rows."""
        mine = {(level.k, level.size_class, level.residual_class): level for level in self.levels}
        mine |= {(level.k, level.size_class, level.residual_class): level for level in other.levels}
        return Profile(tuple(mine[key] for key in sorted(mine)))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as JSON has them."""
        return {"levels": [asdict(level) for level in self.levels]}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Profile":
        """The inverse of `as_dict`, also of what JSON made of it; levels of another grid are left out."""
        levels = [
            Level(**{**level, "recall": tuple(tuple(map(float, row)) for row in level["recall"])})
            for level in stored["levels"]
        ]
        return cls(tuple(level for level in levels if _is_of_grid(level)))

    def _class_of(self, wanted: int) -> tuple[int, int]:
        """The measured class that a class counts to, itself or a harder one; how many classes it is beyond all."""
        for measured in self.residual_classes:
            if measured >= wanted:
                return measured, 0
        return self.residual_classes[-1], wanted - self.residual_classes[-1]

    def _curve(self, target: float, k: int, at_class: int) -> "_Curve":
        """Efforts by size for a target and k, of queries up to a residual class."""
        key = (target, k, at_class)
        found = self.planned.get(key)
        if found is None:
            if len(self.planned) >= 1_024:
                self.planned.clear()
            found = self.planned[key] = _between(
                [
                    (measured, _Curve.of([one for one in self.levels if one.k == measured], target, at_class))
                    for measured in self.ks
                ],
                k,
            )
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    """Efforts over sizes: natural logarithms of rows, budgets and candidates at the classes, ascending."""

    rows: Float64s
    budgets: Float64s
    candidates: Float64s
    reached: NDArray[np.bool_]
    last_class: int

    @classmethod
    def of(cls, levels: list[Level], target: float, at_class: int) -> "_Curve":
        """Of the levels of one k: those of residual classes up to `at_class`, the widest of each size."""
        by_size: dict[int, list[Level]] = {}
        for level in levels:
            by_size.setdefault(level.size_class, []).append(level)
        rows, budgets, candidates, reached = [], [], [], []
        for size in sorted(by_size):
            mine = [one for one in by_size[size] if one.residual_class <= at_class] or by_size[size]
            n = float(np.exp(np.mean([np.log(max(one.n_rows, 1.0)) for one in mine])))
            found = [one.factors(target) for one in mine]
            rows.append(np.log(n))
            budgets.append(np.log(max(budget for budget, _, _ in found)) + EXPONENT * np.log(n))
            candidates.append(np.log(max(factor for _, factor, _ in found) * mine[0].k))
            reached.append(all(is_reached for _, _, is_reached in found))
        return cls(
            np.array(rows),
            np.maximum.accumulate(np.array(budgets)),
            np.maximum.accumulate(np.array(candidates)),
            np.array(reached),
            max(by_size),
        )

    def at(self, n_rows: int) -> tuple[float, float, bool]:
        """Budget, candidates, and whether they reach the target; beyond the largest class budgets grow as n^0.6."""
        n = float(np.log(max(n_rows, 1)))
        budget = float(np.interp(n, self.rows, self.budgets)) + EXPONENT * max(0.0, n - float(self.rows[-1]))
        candidates = float(np.interp(n, self.rows, self.candidates))
        above = min(int(np.searchsorted(self.rows, n)), len(self.rows) - 1)
        below = max(0, above - 1) if n < self.rows[above] else above
        return float(np.exp(budget)), float(np.exp(candidates)), bool(self.reached[below] and self.reached[above])


def _between(curves: list[tuple[int, _Curve]], k: int) -> _Curve:
    """The curve for a k: between those of the measured ones, or the nearest; candidates go with k beyond them."""
    curves = _monotone(curves)
    ks = [measured for measured, _ in curves]
    place = int(np.searchsorted(ks, k))
    if place == 0:
        return curves[0][1]
    below_k, below = curves[place - 1]
    if place == len(ks):
        scaled = below.candidates + np.log(k / below_k)
        return _Curve(below.rows, below.budgets, scaled, below.reached, below.last_class)
    above_k, above = curves[place]
    share = (np.log(k) - np.log(below_k)) / (np.log(above_k) - np.log(below_k))
    return _Curve(
        above.rows,
        (1 - share) * np.interp(above.rows, below.rows, below.budgets) + share * above.budgets,
        (1 - share) * np.interp(above.rows, below.rows, below.candidates) + share * above.candidates,
        above.reached & below.reached.all(),
        max(below.last_class, above.last_class),
    )


def _monotone(curves: list[tuple[int, _Curve]]) -> list[tuple[int, _Curve]]:
    """The curves with none below that of a smaller k."""
    made = curves[:1]
    for k, curve in curves[1:]:
        before = made[-1][1]
        budgets = np.maximum(curve.budgets, np.interp(curve.rows, before.rows, before.budgets))
        candidates = np.maximum(curve.candidates, np.interp(curve.rows, before.rows, before.candidates))
        made.append((k, _Curve(curve.rows, budgets, candidates, curve.reached, curve.last_class)))
    return made


def _crossing(recall: Float64s, i: int, target: float) -> float:
    """The budget factor at which recall passes the target, between the measured ones before and at `i`."""
    if i == 0 or recall[i] <= recall[i - 1]:
        return BUDGETS[i]
    share = (target - recall[i - 1]) / (recall[i] - recall[i - 1])
    # Recall is concave in the logarithm of the budget: the straight line errs to the side of more.
    before, after = np.log(BUDGETS[i - 1]), np.log(BUDGETS[i])
    return float(np.exp(before + share * (after - before)))


def _is_of_grid(level: Level) -> bool:
    return len(level.recall) == len(BUDGETS) and all(len(row) == len(CANDIDATES) for row in level.recall)


def size_class(n_rows: float) -> int:
    """The class of a reading's size."""
    return int(np.searchsorted(SIZES, n_rows, side="right")) - 1


def residual_class(residual: float) -> int:
    """The class of a query's residual, 0 to 9 and 10 for more than all of it (a projection may be oblique)."""
    return int(min(max(residual / RESIDUAL_STEP, 0), 1 / RESIDUAL_STEP))


def residual_of(model: Model, query: Float32s) -> float:
    """What the projection does not see of one query (D,), prepared or not: about what `residuals` says of it.

    By the coded directions that its search reads next: off by some thousandths, where a class spans a tenth.
    """
    projection = model.projection
    if projection is None:
        return 0.0
    if projection.is_of_rows:
        return current().residual_of(query, model.table)
    energy = max(float(query @ query), _LEAST_ENERGY)
    rest = query - (projection.of_queries @ query) @ projection.of_rows
    return max(0.0, float(rest @ rest) / energy)


def residuals(projection: Projection | None, queries: Float32s) -> Float32s:
    """The part of each prepared query (m, D) that the projection does not see, float32 (m,); 0 without one."""
    if projection is None or len(queries) == 0:
        return np.zeros(len(queries), np.float32)
    energy = np.maximum(np.einsum("ij,ij->i", queries, queries), np.finfo(np.float32).tiny)
    kept = projection.project_queries(queries)
    if projection.is_of_rows:
        lost = 1 - np.einsum("ij,ij->i", kept, kept) / energy
    else:
        rest = queries - kept @ projection.of_rows
        lost = np.einsum("ij,ij->i", rest, rest) / energy
    return np.asarray(np.maximum(lost, 0), np.float32)
