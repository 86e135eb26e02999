"""Recall targets: what a profile measured on the collection itself promises, and what unseen queries then find.

120,000 rows shared between 100 tenants. A profile is measured with rows of the collection as queries, then half of the
abstracts are recorded and added to it; of 1,000 SQuAD questions, half train a projection for queries like them and half
measure the profile of that collection. Asked are rows of the same kind that are not stored, the other abstracts, other
questions. Every query is asked in a reading of every size class. `short` is how far recall falls below the target, the
worst of the size classes; the effort is what `Profile.effort` says for the query.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench import report
from bench.choice.sweep import Held
from bench.tenants import growth
from bench.tenants.store import Store, default_folder
from bench.tenants.workload import Float32s, Workload
from bench.tenants.worlds import Worlds
from vdb.index.curator.index import CuratorIndex
from vdb.index.curator.measuring import Asked, View, measure, readings
from vdb.index.curator.model import Encoding, Form, prepared
from vdb.index.curator.profile import Profile, residuals
from vdb.index.curator.state import Pairs
from vdb.index.curator.training import train
from vdb.kernels import Kernels, cpu_kernels
from vdb.types import Metric

TARGETS = (0.9, 0.95, 0.99, 0.999)
K = 10
N_HELD_OUT, N_RECORDED, N_UNSEEN = 400, 1_000, 400
N_LEAST = 100
KEPT = 160
"""Dimensions kept of 384."""


@dataclass(frozen=True, slots=True)
class Met:
    """Mean recall of unseen queries of a size class at a target, and the mean effort they took."""

    target: float
    size_class: int
    recall: float
    budget: float
    candidates: float
    is_reached: bool


def main(arguments: Sequence[str]) -> int:
    """Run the workload; 1 where a bar is missed."""
    parser = report.parser("profile", __doc__)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the size, made-up vectors")
    given = parser.parse_args(arguments)
    kernels = cpu_kernels()
    shared = Worlds(Store(default_folder()), given.seed, is_quick=given.quick).make("shared-120k")
    rng = np.random.default_rng([given.seed, 22])
    kept = min(KEPT, shared.vectors.shape[1] // 2)
    index = _index(shared, kernels, kept)
    slots = rng.choice(len(shared.vectors), min(N_HELD_OUT, len(shared.vectors) // 4), replace=False)
    held_out = measure(
        index, index.state, shared.vectors[slots], 1, 0, ks=(K,), own_slots=slots, kernels=kernels, seed=given.seed
    )
    figures = _judge("rows, rows held out", index, held_out, _unseen_rows(shared, given.seed), kernels, 0.01)
    half = min(N_RECORDED // 2, len(shared.queries) // 2)
    abstracts, recorded = shared.queries[:half][:N_UNSEEN], shared.queries[half:]
    figures += _judge("abstracts, rows held out", index, held_out, abstracts, kernels, None)
    more = held_out.merged(measure(index, index.state, recorded, 1, 0, ks=(K,), kernels=kernels, seed=given.seed))
    figures += _judge("abstracts, 500 recorded", index, more, abstracts, kernels, 0.01)
    asked = _questions(given.quick, shared.dimension, rng)
    n_unseen = min(N_UNSEEN, len(asked) // 2)
    recorded, unseen = asked[:-n_unseen], asked[-n_unseen:]
    figures += _judge("questions, none recorded", index, more, unseen, kernels, None)
    learned, measured = recorded[: len(recorded) // 2], recorded[len(recorded) // 2 :]
    index = _index(shared, kernels, kept, learned)
    profile = measure(index, index.state, measured, 1, 0, ks=(K,), kernels=kernels, seed=given.seed)
    figures += _judge("questions, 1,000 recorded", index, profile, unseen, kernels, 0.02)
    return report.publish("profile", arguments, given.results, figures)


def _judge(
    name: str, index: CuratorIndex, profile: Profile, queries: Float32s, kernels: Kernels, bar: float | None
) -> list[report.Figure]:
    """Ask all queries of every size class at every target; prints the table, and answers the worst by target."""
    asked = Asked(index, index.state, 1, 0, kernels)
    print(f"\n{name}", flush=True)
    met = []
    for group, tenants in readings(index.state, np.random.default_rng(99)):
        views = [asked.view(tenant) for tenant in tenants]
        met += [_met(asked, profile, views, queries, group, target) for target in TARGETS]
    for one in met:
        said = "" if one.is_reached else ", called out of reach"
        effort = f"budget {one.budget:.0f}, candidates {one.candidates:.0f}{said}"
        print(f"  {one.target:.3f} in sizes of class {one.size_class}: {one.recall:.4f}, {effort}", flush=True)
    return [
        report.Figure(
            f"{name}: short of {target:g}",
            max(0.0, *(target - one.recall for one in met if one.target == target)),
            "",
            bar,
        )
        for target in TARGETS
    ]


def _met(asked: Asked, profile: Profile, views: list[View], queries: Float32s, group: int, target: float) -> Met:
    state = asked.state
    ready = prepared(queries, state.model.metric)
    lost = residuals(state.model.projection, ready)
    total, budgets, candidates, is_reached = 0.0, [], [], True
    for i, view in enumerate(views):
        mine = np.arange(i, len(queries), len(views))
        bounds, n_true = asked.exact(view, ready[mine], np.full(len(mine), -1, np.int64), K)
        for place, bound, n in zip(mine.tolist(), bounds, n_true, strict=True):
            effort, reached, _ = profile.effort(target, K, len(view.rows), float(lost[place]))
            found = asked.search(view, queries[place], K, effort)
            total += min(int((found.distance <= bound).sum()), int(n)) / max(int(n), 1)
            budgets.append(effort.budget)
            candidates.append(effort.candidates)
            is_reached &= reached
    return Met(target, group, total / len(queries), float(np.mean(budgets)), float(np.mean(candidates)), is_reached)


def _index(workload: Workload, kernels: Kernels, kept: int, queries: Float32s | None = None) -> CuratorIndex:
    """The workload's points, tenants and grants in an index; tenant numbers are one more."""
    access, metric = workload.access, Metric(workload.metric)
    vectors = prepared(workload.vectors, metric)
    model = train(vectors, len(vectors), metric, Encoding(Form.LVQ8, kept), queries)
    pids = np.arange(len(vectors), dtype=np.uint32)
    owners = (access.owners + 1).astype(np.uint32)
    tenants = np.arange(1, access.n_tenants + 1, dtype=np.uint32)
    nothing = np.zeros(len(pids), np.int64)
    return CuratorIndex.build(model, pids, owners, nothing, tenants, _pairs(workload), Held(vectors), 1, kernels)


def _pairs(workload: Workload) -> Pairs:
    """Rows that each tenant is granted."""
    access = workload.access
    rows = np.repeat(np.arange(access.n_points, dtype=np.uint32), np.diff(access.offsets))
    order = np.lexsort((rows, access.grantees))
    starts = np.zeros(access.n_tenants + 1, np.int64)
    np.cumsum(np.bincount(access.grantees, minlength=access.n_tenants), out=starts[1:])
    return starts, rows[order]


def _unseen_rows(shared: Workload, seed: int) -> Float32s:
    """Rows grown like those that are stored."""
    source = growth.arxiv(growth.datasets() / "arxiv") if shared.dimension == 384 else None
    if source is None:
        return shared.queries
    blocks = growth.Growth(source, seed).blocks(growth.HELD_OUT, N_UNSEEN)
    return np.concatenate([block for block, _ in blocks])


def _questions(quick: bool, dimension: int, rng: np.random.Generator) -> Float32s:
    """Recorded questions, and unseen ones behind them."""
    if quick:
        return growth.generated(100, dimension, 2 * N_LEAST, 3).queries
    found = growth.questions(growth.datasets() / "squad2", "question_vectors_f16.npy")
    return np.asarray(found[rng.permutation(len(found))[: N_RECORDED + N_UNSEEN]])
