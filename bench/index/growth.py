"""An index trained on 1 % of its rows and grown by writes, against one built of the same rows at once.

The rest arrives in random order, with deletes, replaced vectors, grants and revokes mixed in, a fifth of the writes;
layouts are made when they are due. Both answer the same queries with the same effort; recall is of exact answers.
"""

import time
from dataclasses import replace as changed
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.index.arena import Arena, Batch, arena, world
from bench.report import Figure
from bench.tenants.truth import exact, judge
from bench.tenants.workload import Access, K, Workload
from vdb.index.curator.index import CuratorIndex, Effort
from vdb.types import EVERYONE_ID

POINT_BAR = 0.01
TRAINED_SHARE = 0.01
BATCH = 1_000
CHURN = 50
"""Deletes, and replaces, grants, revokes each, per batch."""
FACTORS = (7, 14, 30)
POWER = 0.6
CANDIDATES = 40


class Ledger:
    """Who may see what, and with which vector, as it should be; the owner owns all."""

    def __init__(self, workload: Workload, spare: NDArray[np.float32]) -> None:
        n = len(workload.vectors)
        self.vectors = np.array(workload.vectors)
        self.spare = spare
        self.is_live = np.zeros(n, np.bool_)
        self.owner = int(workload.access.owners[0]) + 1
        self.is_granted = np.zeros((n, workload.access.n_tenants + 1), np.bool_)
        lengths = np.diff(workload.access.offsets)
        self.is_granted[np.repeat(np.arange(n), lengths), workload.access.grantees + 1] = True

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        """A commit that writes these points for all who may see them."""
        puts: dict[int, list[int] | None] = {self.owner: None}
        seen = self.is_granted[rows]
        for tenant in np.flatnonzero(seen.any(axis=0)).tolist():
            puts[-tenant] = np.flatnonzero(seen[:, tenant]).tolist()
        return Batch(self.owner, rows.astype(np.uint32), self.vectors[rows], puts)  # type: ignore[arg-type]

    def access(self) -> tuple[NDArray[np.int64], Access]:
        """The live rows, and who may see them, numbered from 0 on."""
        live = np.flatnonzero(self.is_live)
        row, tenant = np.nonzero(self.is_granted[live])
        offsets = np.searchsorted(row, np.arange(len(live) + 1)).astype(np.int64)
        n_tenants = self.is_granted.shape[1] - 1
        owners = np.full(len(live), self.owner - 1, np.int32)
        return live, Access(n_tenants, owners, offsets, (tenant - 1).astype(np.int32))


def measure(cache: Path, seed: int, is_quick: bool, size: str = "120k") -> list[Figure]:
    """Recall of both, and what is between them, for `size` rows. At 1m vectors of other rows replace some."""
    workload = world(cache, f"shared-{size}", seed, is_quick)
    n = len(workload.vectors)
    rng = np.random.default_rng([seed, 20])
    spare = world(cache, "shared-1m", seed, is_quick).vectors
    ledger = Ledger(workload, np.asarray(spare[-n // 4 :]))
    order = rng.permutation(n)
    first = np.sort(order[: max(20, int(TRAINED_SHARE * n))])
    ledger.is_live[first] = True
    with arena(workload, first) as place:
        for begin in range(len(first), n, BATCH):
            rows = np.sort(order[begin : begin + BATCH])
            ledger.batch(rows).put(place)
            ledger.is_live[rows] = True
            _churn(place, ledger, rng, min(CHURN, len(rows) // 4))
            place.keep_up()
        return _compare(place, ledger, workload)


def _churn(place: Arena, ledger: Ledger, rng: np.random.Generator, n: int) -> None:
    live = np.flatnonzero(ledger.is_live)
    gone, moved, shared, hidden = (np.sort(some) for some in np.split(rng.choice(live, 4 * n, replace=False), 4))
    place.index.kill(gone.astype(np.uint32), place.next())
    ledger.is_live[gone] = False
    ledger.vectors[moved] = ledger.spare[np.sort(rng.choice(len(ledger.spare), n, replace=False))]
    ledger.batch(moved).put(place)
    tenants = rng.integers(1, ledger.is_granted.shape[1] - 1, n)
    for tenant in np.unique(tenants).tolist():
        some = shared[tenants == tenant]
        ledger.is_granted[some, tenant] = True
        never = np.zeros(len(some), np.int64)
        pids = some.astype(np.uint32)
        place.index.put(ledger.owner, pids, ledger.vectors[some], never, {-tenant: None}, place.next())
    for row in hidden.tolist():
        seers = np.flatnonzero(ledger.is_granted[row])
        if len(seers):
            tenant = int(rng.choice(seers))
            ledger.is_granted[row, tenant] = False
            place.index.revoke(tenant, np.array([row], np.uint32))


def _compare(place: Arena, ledger: Ledger, workload: Workload) -> list[Figure]:
    live, access = ledger.access()
    vectors = ledger.vectors[live]
    truth = exact(workload.metric, vectors, access, workload.queries, workload.askers)
    now = changed(workload, vectors=vectors, access=access, truth=truth)
    number = np.full(len(ledger.vectors), -1, np.int64)
    number[live] = np.arange(len(live))
    figures = [
        Figure("live rows", len(live), ""),
        Figure("layouts", len(place.layout_s), ""),
        Figure("cells, grown", len(place.index.state.model.leaves), ""),
    ]
    with arena(now, np.arange(len(live))) as fresh:
        figures.append(Figure("cells, fresh", len(fresh.index.state.model.leaves), ""))
        for factor in FACTORS:
            grown_us, fresh_us = [], []
            for _ in range(3):
                answers, took = _ask(place.index, place.sequence, now, factor)
                grown_us.append(took)
                others, took = _ask(fresh.index, fresh.sequence, now, factor)
                fresh_us.append(took)
            pids = np.where(answers >= 0, answers, 0)
            judged = judge(now, np.where(answers >= 0, number[pids], -1))
            n_dead = int(np.count_nonzero(~ledger.is_live[pids] & (answers >= 0)))
            grown, built = float(judged.recalls.mean()), float(judge(now, others).recalls.mean())
            at = f"budget {factor} n^{POWER}"
            figures += [
                Figure(f"recall lost by growth, {at}", built - grown, "", POINT_BAR),
                Figure(f"recall, grown, {at}", grown, ""),
                Figure(f"recall, fresh, {at}", built, ""),
                Figure(f"foreign, dead or repeated hits, {at}", judged.n_foreign + n_dead + judged.n_twice, "", 0),
                Figure(f"search, grown, {at}", float(np.median(grown_us)), "us"),
                Figure(f"search, fresh, {at}", float(np.median(fresh_us)), "us"),
            ]
    return figures


def _ask(index: CuratorIndex, sequence: int, workload: Workload, factor: int) -> tuple[NDArray[np.int64], float]:
    """Pids of all answers, (q, k), and the mean CPU µs of a search."""
    state = index.state
    sizes = workload.access.sizes
    answers = np.full((len(workload.queries), K), -1, np.int64)
    took = 0.0
    for i, (tenant, query) in enumerate(zip(workload.askers.tolist(), workload.queries, strict=True)):
        effort = Effort(int(factor * max(1, sizes[tenant]) ** POWER), CANDIDATES)
        began = time.thread_time()
        mine = state.reading(tenant + 1)
        found = index.search(state, mine, state.reading(EVERYONE_ID), query, K, sequence, 0, effort)
        took += time.thread_time() - began
        answers[i] = np.where(found.row >= 0, state.rows.pids[found.row], -1)
    return answers, took * 1e6 / len(answers)
