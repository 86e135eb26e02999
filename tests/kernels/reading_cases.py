"""Cases of `search_cells` laid out in a device's pages, several queries of one index at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tests.contract.readings import NOW_S, SEQUENCE, Case, Reading, make_case, make_query
from vdb.kernels import device as columns
from vdb.kernels import reference_kernels
from vdb.kernels.device import (
    COLUMNS,
    NO_PAGE,
    PAGE_ROWS,
    Block,
    Device,
    Queries,
    ResidentModel,
    ResidentRows,
    Wanted,
    coded_width,
)
from vdb.kernels.reference import Float32s, Int64s, UInt8s, UInt32s
from vdb.kernels.reference_cells import (
    ENTRIES_FIRST,
    LIST_ENTRIES,
    LIST_FIRST,
    LIST_STOP,
    LVQ4,
    LVQ8,
    N_TAIL,
    OWN_ENTRIES,
    OWN_FIRST,
    OWN_STOP,
    REVOKED,
    constants_of,
    prepare,
    quantize,
)


@dataclass
class Laid:
    """One index on a device, and what is asked of it. `added` int64 (n,): `added_at` of every row."""

    rows: ResidentRows
    model: ResidentModel
    queries: Queries
    wanted: Wanted


def nothing() -> Reading:
    """A reading that names no row."""
    none = np.zeros(0, np.uint32)
    return Reading(np.zeros(9, np.int64), np.zeros((2, 0), np.uint32), none, none)


def make_cases(
    rng: np.random.Generator, n: int, d: int, metric: int, encoding: int, budgets: Sequence[int], k: int, m: int
) -> list[Case]:
    """As many cases of one index as there are budgets: other queries, readings in other roles, one twice, none."""
    first = make_case(rng, n, d, metric, encoding, budgets[0], k, m)
    roles = [(first.mine, first.everyones), (first.everyones, nothing()), (nothing(), first.mine),
             (first.mine, first.mine), (nothing(), nothing())]  # fmt: skip
    cases = [first]
    for i, budget in enumerate(budgets[1:], start=1):
        mine, everyones = roles[i % len(roles)]
        query = make_query(rng, d, metric)
        cases.append(replace(first, query=query, mine=mine, everyones=everyones, budget=budget))
    return cases


def lay(device: Device, rng: np.random.Generator, cases: Sequence[Case], n_spare: int = 1) -> Laid:
    """The cases' index in pages in a random order, among `n_spare` that belong to no row and hold anything."""
    case = cases[0]
    n = len(case.world.pids)
    n_pages = -(-n // PAGE_ROWS)
    order = rng.permutation(n_pages + n_spare)[:n_pages].astype(np.int32)
    pages = np.append(order, [NO_PAGE]).astype(np.int32)
    at = order[np.arange(n) // PAGE_ROWS].astype(np.int64) * PAGE_ROWS + np.arange(n) % PAGE_ROWS
    capacity = (n_pages + n_spare) * PAGE_ROWS
    columns_of, places, entries = _readings(rng, cases, n)
    world = case.world

    def block(values: np.ndarray) -> Block:
        spread = np.full((capacity, *values.shape[1:]), 77, values.dtype)
        spread[at] = values
        return device.put(spread)

    added = np.concatenate((np.zeros(case.n_laid), world.added_at)).astype(np.uint32)
    expires = world.expires_at if len(world.expires_at) else np.zeros(n, np.uint32)
    rows = ResidentRows(
        codes=block(_wide(world.codes[:, : case.width])),
        heads=block(_heads(world.codes, case, world.offsets, world.dead_at)),
        times=block(np.stack([added, expires], axis=1)),
        pids=block(world.pids),
        vectors=block(world.vectors[world.slots]),
        pages=device.put(pages),
        places=device.put(places),
        entries=device.put(entries),
        has_times=bool(len(world.expires_at)) or bool(np.any(added)),
    )
    v = len(world.node_codes)
    of_nodes = _heads(world.node_codes, replace(case, encoding=LVQ8), world.node_offset, np.zeros(v, np.uint32))
    model = ResidentModel(
        metric=case.metric,
        form=case.encoding,
        dimension=len(world.of_queries) or len(case.query),
        node_codes=device.put(_wide(world.node_codes[:, :-8])),
        node_heads=device.put(of_nodes),
    )
    wanted = Wanted(
        readings=columns_of,
        sequence=np.full(len(cases), SEQUENCE, np.int64),
        now_s=np.full(len(cases), NOW_S, np.int64),
        budget=np.array([c.budget for c in cases], np.int64),
    )
    return Laid(rows, model, queries_of(cases), wanted)


def queries_of(cases: Sequence[Case]) -> Queries:
    """The cases' queries as the kernels of the CPU make them ready."""
    with np.errstate(over="ignore", invalid="ignore"):
        made = [prepare(c.query, c.world.of_queries, c.metric) for c in cases]
        kept = np.stack([part for _, part, _ in made])
        coded, step, total = quantize(kept)
    norm = np.array([part for _, _, part in made], np.float32)
    return Queries(np.stack([part for part, _, _ in made]), kept, coded, step, total, norm)


def expected(case: Case) -> tuple[Float32s, Int64s, Int64s]:
    """What `search_cells` finds among m candidates that are all compared: distance, row (m,), statistics."""
    distance, row = np.empty(case.m, np.float32), np.empty(case.m, np.int64)
    statistics = np.empty(4, np.int64)
    reference_kernels().search_cells(
        case.query, *case.tables, SEQUENCE, NOW_S, case.budget, case.m, distance, row, statistics
    )
    return distance, row, statistics


def _readings(rng: np.random.Generator, cases: Sequence[Case], n: int) -> tuple[Int64s, UInt32s, UInt32s]:
    """The columns of all cases' readings, int64 (q, 2, COLUMNS), the places and the entries that they name."""
    of_all = np.zeros((len(cases), 2, COLUMNS), np.int64)
    places: list[UInt32s] = []
    entries: list[UInt32s] = []
    n_places = n_entries = 0

    def placed(rows: UInt32s) -> int:
        """Where rows come to lie; one that is newer than the case's state is as one revoked."""
        nonlocal n_places
        gap = int(rng.integers(4))
        marked = np.where(rows < n, rows, rows | np.uint32(REVOKED)).astype(np.uint32)
        places.append(np.concatenate((np.full(gap, 3, np.uint32), marked)))
        n_places += gap + len(rows)
        return n_places - len(rows)

    for i, case in enumerate(cases):
        for j, reading in enumerate((case.mine, case.everyones)):
            spans, of_one = reading.spans, of_all[i, j]
            listed = reading.listed[spans[LIST_FIRST] : spans[LIST_STOP]]
            cut = int(spans[OWN_ENTRIES] + spans[LIST_ENTRIES])
            of_one[columns.OWN_FIRST : columns.OWN_ENTRIES + 1] = spans[[OWN_FIRST, OWN_STOP, OWN_ENTRIES]]
            of_one[columns.LIST_AT], of_one[columns.LIST_N] = placed(listed), len(listed)
            of_one[columns.LIST_ENTRIES] = spans[LIST_ENTRIES]
            of_one[columns.LIST_BASE] = of_one[columns.LIST_AT] - spans[LIST_FIRST]
            of_one[columns.ENTRIES_AT] = n_entries
            of_one[columns.TAIL_AT], of_one[columns.N_TAIL] = placed(reading.tail[: spans[N_TAIL]]), spans[N_TAIL]
            first = int(spans[ENTRIES_FIRST])
            entries.append(reading.entries[:, first : first + cut])
            n_entries += cut
    return of_all, np.concatenate(places), np.ascontiguousarray(np.concatenate(entries, axis=1))


def _wide(codes: UInt8s) -> UInt8s:
    wide = np.zeros((len(codes), coded_width(codes.shape[1])), np.uint8)
    wide[:, : codes.shape[1]] = codes
    return wide


def _heads(codes: UInt8s, case: Case, offsets: Float32s, dead_at: UInt32s) -> UInt32s:
    heads = np.zeros((len(codes), 4), np.uint32)
    if case.encoding in (LVQ8, LVQ4):
        heads[:, :2] = constants_of(codes)[:, -2:].view(np.uint32)
    if len(offsets):
        heads[:, 2] = offsets.astype(np.float32).view(np.uint32)
    heads[:, 3] = dead_at
    return heads
