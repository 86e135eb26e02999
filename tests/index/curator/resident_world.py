"""A world whose index has a copy on a device: whatever is asked of one is asked of the other."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.index.curator.world import TOLERANCE, Floats, World
from vdb.index.curator import resident_pages
from vdb.index.curator.exhaustive import nearest_of_all
from vdb.index.curator.index import CuratorIndex, Effort, Found
from vdb.index.curator.resident import READINGS_SHARE, Ask, Refusal, ResidentIndex
from vdb.index.curator.state import State
from vdb.kernels.device import Device
from vdb.kernels.numpy_device import NumpyDevice
from vdb.types import EVERYONE_ID

MOST = 1_024
ALL = Effort(budget=1 << 40, candidates=MOST)
PLENTY = 1 << 26


def ask_of(
    state: State, tenant: int, query: Floats, k: int, sequence: int, now_ms: int = 0, is_exact: bool = False,
    effort: Effort = ALL,
) -> Ask:  # fmt: skip
    """What a tenant asks at full effort."""
    readings = state.reading(tenant), state.reading(EVERYONE_ID)
    return Ask(state, *readings, query, k, sequence, now_ms, effort, is_exact)


def brought(resident: ResidentIndex) -> ResidentIndex:
    """With all pages that there is room for."""
    while resident.bring_in():
        pass
    return resident


def resident_of(world: World, most_bytes: int = PLENTY, device: Device | None = None) -> ResidentIndex:
    """A copy of the world's index, on a device of its own, with all that there is room for."""
    return brought(ResidentIndex(device or NumpyDevice(), world.index, most_bytes))


def found_in(answers: Sequence[Found | Refusal]) -> list[Found]:
    """The answers, none of which is a refusal."""
    refused = [answer for answer in answers if isinstance(answer, Refusal)]
    assert not refused, refused
    return [answer for answer in answers if isinstance(answer, Found)]


def answers_of(resident: ResidentIndex, asks: Sequence[Ask]) -> list[Found]:
    """The answers, once the pages are there that were not."""
    answers = resident.search(asks)
    if Refusal.NOT_RESIDENT in answers:
        answers = brought(resident).search(asks)
    return found_in(answers)


def check_found(found: Found, ask: Ask) -> None:
    """A device found what is there: the nearest of all rows that the ask may see, at their distances."""
    state, n = ask.state, max(ask.k, state_rows(ask.state))
    distance, row = nearest_of_all(state, (ask.mine, ask.everyones), ask.query, n, ask.sequence, ask.now_ms)
    np.testing.assert_allclose(found.distance, distance[: ask.k], rtol=TOLERANCE, atol=TOLERANCE)
    true = dict(zip(row.tolist(), distance.tolist(), strict=True))
    rows = found.row[found.row >= 0].tolist()
    assert len(set(rows)) == len(rows) and set(rows) <= set(true), "a row that the tenant may not see"
    np.testing.assert_allclose(found.distance[: len(rows)], [true[r] for r in rows], rtol=TOLERANCE, atol=TOLERANCE)
    keys = list(zip(found.distance[: len(rows)].tolist(), state.rows.pids[rows].tolist(), strict=True))
    assert keys == sorted(keys), "by distance, then by pid"


def check_as_index(index: CuratorIndex, found: Found, ask: Ask) -> None:
    """And that is what the index itself finds, of all."""
    wanted = index.search(
        ask.state, ask.mine, ask.everyones, ask.query, ask.k, ask.sequence, ask.now_ms, Effort(1 << 40, 1 << 14)
    )
    assert set(found.row.tolist()) == set(wanted.row.tolist())
    np.testing.assert_allclose(found.distance, wanted.distance, rtol=TOLERANCE, atol=TOLERANCE)


def state_rows(state: State) -> int:
    """More hits than an ask can have."""
    return int(state.rows.capacity) + 1


def bytes_for(world: World, n_pages: int) -> int:
    """Bytes that hold the codes of so many pages, and all else that there must be."""
    model, n_all = world.index.state.model, resident_pages.pages_for(world.index.state.rows.capacity)
    of_pages = n_pages * resident_pages.page_bytes(model.encoding, world.dimension, False)
    of_nodes = len(model.children) * (model.node_codes.shape[1] + 8)
    return int((of_pages + 4 * n_all + of_nodes) / (1 - READINGS_SHARE)) + 2


def codes_only(world: World) -> int:
    """Bytes that hold the codes of all rows and of a quarter more, but not the vectors."""
    return bytes_for(world, resident_pages.pages_for(5 * world.index.state.rows.capacity // 4))


def asks_of_all(
    world: World, sequence: int | None = None, now_ms: int = 0, state: Any = None, is_exact: bool = True
) -> list[Ask]:
    """Every tenant asks for all it may see, for a few, and, unless not `is_exact`, exactly."""
    taken = state or world.index.state
    at = world.sequence if sequence is None else sequence
    queries = world.vectors(3 * len(world.tenants))
    asks = []
    for i, tenant in enumerate(world.tenants):
        asks.append(ask_of(taken, tenant, queries[3 * i], len(world.history[at]) + 5, at, now_ms))
        asks.append(ask_of(taken, tenant, queries[3 * i + 1], 10, at, now_ms))
        if is_exact:
            asks.append(ask_of(taken, tenant, queries[3 * i + 2], 10, at, now_ms, is_exact=True))
    return asks


def check_copy(world: World, resident: ResidentIndex, asks: Sequence[Ask]) -> None:
    """All is answered, once the pages are there, as the index answers it."""
    for found, ask in zip(answers_of(resident, asks), asks, strict=True):
        check_found(found, ask)
        if ask.k > 10:
            check_as_index(world.index, found, ask)
