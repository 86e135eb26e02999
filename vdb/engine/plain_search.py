"""The short way of a plain search: one vector, no filter, an index in RAM, on the CPU.

It asks the same index, reads and checks the same records, and answers the same bytes as the general way
(`vdb.engine.search`), without what only other searches need. Whatever is unusual it leaves to that: it returns None,
and the search is done from its beginning.
"""

import numpy as np
from numpy.typing import NDArray

from vdb.config import Limits
from vdb.engine.acceleration.offload import may_use, wish_of_plan
from vdb.engine.answer_size import AnswerSize
from vdb.engine.hits import stored_hits
from vdb.engine.nearest_rows import stated
from vdb.engine.plan import Plan, effort
from vdb.engine.recall_checks import Case
from vdb.engine.services import Services
from vdb.engine.shard import Shard
from vdb.index.curator.index import CuratorIndex, Effort
from vdb.index.curator.model import Model
from vdb.index.curator.profile import Profile, residual_of
from vdb.protocol.answers import SearchAnswer
from vdb.protocol.columns import SearchHead
from vdb.protocol.requests import Search
from vdb.storage.keyspace import EVERYONE_ID

__all__ = ["is_plain", "plain_search"]


def is_plain(services: Services, request: Search | SearchHead, plan: Plan) -> bool:
    """Whether a search, of one query and not ranked, has nothing that needs the general way."""
    is_bare = not (plan.exact or request.explain or request.with_vector)
    is_bare = is_bare and request.filter is None and request.max_distance is None
    return is_bare and services.stages is None and not may_use(services, wish_of_plan(services, plan), 1)


def plain_search(
    services: Services, shard: Shard, tenant_id: int, request: Search | SearchHead, plan: Plan,
    query: NDArray[np.float32], limits: Limits,
) -> SearchAnswer | None:  # fmt: skip
    """The answer to one query (D,), or None where the general way is to find it."""
    index = shard.index.take()
    if not isinstance(index, CuratorIndex):
        return None
    with shard.snapshot() as snapshot:
        sequence, now_ms = snapshot.sequence, snapshot.now_ms
        state = index.state
        if state.floor_sequence > sequence:
            return None
        mine, everyones = state.reading(tenant_id), state.reading(EVERYONE_ID)
        n_rows = mine.n_rows + everyones.n_rows
        k = min(request.limit, n_rows)
        if not k:
            return None
        far = _effort(plan, k, n_rows, state.model, shard.index.tuner.profile, query)
        found = index.search(state, mine, everyones, query, k, sequence, now_ms, far)
        distance, rows = found.distance, found.row
        if rows.item(-1) < 0:
            if found.statistics[0] != found.statistics[1]:  # rows that nobody may see any more left too few of some
                return None
            n_found = int(np.count_nonzero(rows >= 0))
            distance, rows = distance[:n_found], rows[:n_found]
        places = list(zip(state.rows.owners.take(rows).tolist(), state.rows.pids.take(rows).tolist(), strict=True))
        distances = stated(state.model.metric, distance).tolist()
        size = AnswerSize(request, state.model.dimension, limits)
        hits = stored_hits(services, snapshot, places, distances, tenant_id, size, request.with_payload)
        if hits is None:  # granted since the snapshot, or expired this second
            return None
        recall = shard.index.recall
        if plan.budget is None and plan.rerank is None and recall.is_due():
            readings = mine, everyones
            recall.take(Case(state, readings, query.copy(), k, sequence, now_ms, distance.copy(), plan.target))
    return SearchAnswer(sequence=sequence, hits=hits)


def _effort(
    plan: Plan, k: int, n_rows: int, model: Model, profile: Profile | None, query: NDArray[np.float32]
) -> Effort:
    residual = residual_of(model, query) if profile is not None else 0.0
    if profile is not None and plan.budget is None and plan.rerank is None:  # nobody asks for notes here
        (budget, candidates), _, _ = profile.effort(plan.target, k, n_rows, residual)
        budget = max(budget, k)
    else:
        budget, candidates, _ = effort(plan, k, n_rows, profile, residual)
    return Effort(min(n_rows, budget), max(k, candidates))
