"""NumPy twins of a device's `candidates` and `search`: readings of an index whose rows lie in pages.

What is visited and scored is what `search_cells` visits and scores (`reference_cells.py`); its words stand there. What
differs: all m candidates are compared by their vectors, of equal estimates the lowest rows stay, and rows whose page is
not there are passed over. With `is_exact` every row is compared: of equal distances the lowest pids stay.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdb.kernels.device import (
    ENTRIES_AT,
    LIST_AT,
    LIST_BASE,
    LIST_ENTRIES,
    LIST_N,
    N_TAIL,
    NO_PAGE,
    OWN_ENTRIES,
    OWN_FIRST,
    OWN_STOP,
    PAGE_ROWS,
    TAIL_AT,
    Candidates,
    DeviceFound,
    Queries,
    Wanted,
)
from vdb.kernels.reference import CHUNK_BYTES, L2, Float32s, Int64s, UInt8s, UInt32s
from vdb.kernels.reference_cells import (
    FLOAT16,
    FLOAT32,
    REVOKED,
    Bools,
    Int8s,
    distances,
    run,
    score_nodes,
    score_rows,
    threshold,
)

__all__ = ["HeldModel", "HeldRows", "candidates", "search"]

_STEP, _BIAS, _OFFSET, _DEAD_AT = range(4)
_ADDED_AT, _EXPIRES_AT = range(2)


@dataclass(frozen=True, slots=True, eq=False)
class HeldRows:
    """`ResidentRows` as plain arrays."""

    codes: UInt8s
    heads: UInt32s
    times: UInt32s
    pids: UInt32s
    vectors: Float32s | None
    pages: NDArray[np.int32]
    places: UInt32s
    entries: UInt32s
    has_times: bool

    def held(self, rows: Int64s) -> Int64s:
        """Where `rows` of the index lie in the blocks, int64 (n,); −1 for one whose page is not there."""
        page = rows // PAGE_ROWS
        at = np.full(len(rows), NO_PAGE, np.int64)
        within = np.flatnonzero(page < len(self.pages))
        at[within] = self.pages[page[within]]
        return np.where(at >= 0, at * PAGE_ROWS + rows % PAGE_ROWS, -1)


@dataclass(frozen=True, slots=True, eq=False)
class HeldModel:
    """`ResidentModel` as plain arrays."""

    metric: int
    form: int
    dimension: int
    node_codes: UInt8s
    node_heads: UInt32s


@dataclass(frozen=True, slots=True, eq=False)
class _Query:
    """One of `Queries`."""

    full: Float32s
    coded: Int8s
    step: np.float32
    total: np.float32
    norm: np.float32


@dataclass(frozen=True, slots=True, eq=False)
class _Best:
    """The best rows of one query: `key` float32 (n,) ascending, rows of the index and where they lie, int64 (n,)."""

    key: Float32s
    rows: Int64s
    held: Int64s
    statistics: Int64s


def candidates(rows: HeldRows, model: HeldModel, queries: Queries, wanted: Wanted, m: int) -> Candidates:
    """See `Device.candidates`."""
    assert not wanted.is_exact, "estimates are of codes"
    score, row = np.full((len(queries), m), np.inf, np.float32), np.full((len(queries), m), -1, np.int64)
    statistics = np.zeros((len(queries), 4), np.int64)
    for i in range(len(queries)):
        best = _best(rows, model, queries, wanted, i, m)
        score[i, : len(best.rows)], row[i, : len(best.rows)] = best.key, best.rows
        statistics[i] = best.statistics
    return Candidates(score, row, statistics)


def search(rows: HeldRows, model: HeldModel, queries: Queries, wanted: Wanted, m: int, k: int) -> DeviceFound:
    """See `Device.search`."""
    assert rows.vectors is not None, "candidates are compared by their vectors"
    distance, row = np.full((len(queries), k), np.inf, np.float32), np.full((len(queries), k), -1, np.int64)
    statistics = np.zeros((len(queries), 4), np.int64)
    for i in range(len(queries)):
        best = _best(rows, model, queries, wanted, i, m)
        true = best.key
        statistics[i] = best.statistics
        if not wanted.is_exact:
            with np.errstate(over="ignore", invalid="ignore"):
                true = distances(queries.full[i], rows.vectors[best.held], model.metric)
            statistics[i, 3] = len(true)
        order = np.lexsort((rows.pids[best.held], true))[:k]
        distance[i, : len(order)], row[i, : len(order)] = true[order], best.rows[order]
    return DeviceFound(distance, row, statistics)


def _best(rows: HeldRows, model: HeldModel, queries: Queries, wanted: Wanted, i: int, m: int) -> _Best:
    query = _Query(queries.full[i], queries.coded[i], queries.step[i], queries.total[i], queries.norm[i])
    named, statistics = _named(rows, model, query, wanted, i)
    named = named[rows.held(named) >= 0]
    held = rows.held(named)
    visible = _is_visible(rows, held, int(wanted.sequence[i]), int(wanted.now_s[i]))
    named = np.unique(named[visible])
    held = rows.held(named)
    key = np.empty(len(named), np.float32)
    n_chunk = max(1, CHUNK_BYTES // (8 * rows.codes.shape[1]))
    for first in range(0, len(named), n_chunk):
        part = held[first : first + n_chunk]
        with np.errstate(over="ignore", invalid="ignore"):
            key[first : first + n_chunk] = (
                _true_distances(rows, model, query, part) if wanted.is_exact else _estimates(rows, model, query, part)
            )
    best = np.lexsort((rows.pids[held] if wanted.is_exact else named, key))[:m]
    return _Best(key[best], named[best], held[best], statistics)


def _named(rows: HeldRows, model: HeldModel, query: _Query, wanted: Wanted, i: int) -> tuple[Int64s, Int64s]:
    """Rows that are scored, one as often as it is named, and the statistics of one query."""
    whole: list[UInt32s] = []
    named: list[UInt32s] = []
    nodes = [np.zeros(0, np.uint32)]
    for columns in wanted.readings[i].tolist():
        whole += _whole(rows.places, columns, wanted.is_exact)
        if not wanted.is_exact:
            of_entries, mine = _entries_of(rows, columns)
            nodes.append(of_entries)
            named += mine
    parts = [_present(part) for part in whole]
    n_rows, n_visited, budget = sum(map(len, parts)), 0, int(wanted.budget[i])
    score = _entry_scores(model, query, np.concatenate(nodes))
    weight = np.fromiter(map(len, named), np.int64, len(named))
    reached = -np.inf
    while n_rows < budget and n_visited < len(named):
        below, reached = reached, threshold(score, weight, reached, budget - n_rows)
        chosen = np.flatnonzero((score > below) & (score <= reached))
        more = [_present(named[j]) for j in chosen]
        parts, n_rows, n_visited = parts + more, n_rows + sum(map(len, more)), n_visited + len(chosen)
    statistics = np.array([len(named), n_visited, n_rows, n_rows if wanted.is_exact else 0], np.int64)
    return np.concatenate([np.zeros(0, np.int64), *parts]), statistics


def _whole(places: UInt32s, columns: list[int], is_exact: bool) -> list[UInt32s]:
    """What of a reading is scanned whole: its tail, and the run and list that no entries cut."""
    parts = [places[columns[TAIL_AT] : columns[TAIL_AT] + columns[N_TAIL]]]
    if is_exact or not columns[OWN_ENTRIES]:
        parts.append(run(columns[OWN_FIRST], columns[OWN_STOP]))
    if is_exact or not columns[LIST_ENTRIES]:
        parts.append(places[columns[LIST_AT] : columns[LIST_AT] + columns[LIST_N]])
    return parts


def _entries_of(rows: HeldRows, columns: list[int]) -> tuple[UInt32s, list[UInt32s]]:
    """Nodes of a reading's entries, and the rows, revoked ones included, that each names."""
    n_own, n = columns[OWN_ENTRIES], columns[OWN_ENTRIES] + columns[LIST_ENTRIES]
    nodes, starts = rows.entries[:, columns[ENTRIES_AT] : columns[ENTRIES_AT] + n]
    own = np.append(starts[:n_own].astype(np.int64), columns[OWN_STOP]).tolist()
    listed = np.append(starts[n_own:].astype(np.int64) + columns[LIST_BASE], columns[LIST_AT] + columns[LIST_N])
    named = [run(own[j], own[j + 1]) for j in range(n_own)]
    return nodes, named + [rows.places[listed[j] : listed[j + 1]] for j in range(n - n_own)]


def _present(named: UInt32s) -> Int64s:
    """What of places is not revoked."""
    return named[named < REVOKED].astype(np.int64)


def _is_visible(rows: HeldRows, held: Int64s, sequence: int, now_s: int) -> Bools:
    visible: Bools = rows.heads[held, _DEAD_AT].astype(np.int64) > sequence
    if rows.has_times:
        times = rows.times[held].astype(np.int64)
        ends = times[:, _EXPIRES_AT]
        visible &= (times[:, _ADDED_AT] <= sequence) & ((ends == 0) | (ends > now_s))
    return visible


def _entry_scores(model: HeldModel, query: _Query, nodes: UInt32s) -> Float32s:
    every = np.arange(len(nodes), dtype=np.uint32)
    heads = model.node_heads[nodes]
    with np.errstate(over="ignore", invalid="ignore"):
        return score_nodes(
            every, _with_constants(model.node_codes[nodes], heads), _floats(heads[:, _OFFSET]), query.coded, query.step,
            query.total, model.metric, query.norm,
        )  # fmt: skip


def _estimates(rows: HeldRows, model: HeldModel, query: _Query, held: Int64s) -> Float32s:
    codes, heads = rows.codes[held], rows.heads[held]
    offsets = _floats(heads[:, _OFFSET]) if model.metric == L2 else np.zeros(0, np.float32)
    if model.form in (FLOAT32, FLOAT16):
        n_bytes = 4 * model.dimension if model.form == FLOAT32 else codes.shape[1]
        codes = np.ascontiguousarray(codes[:, :n_bytes])
    else:
        codes = _with_constants(codes, heads)
    every = np.arange(len(held), dtype=np.intp)
    return score_rows(
        codes, offsets, every, model.form, rows.codes.shape[1], query.full, query.coded, query.step, query.total
    )  # fmt: skip


def _true_distances(rows: HeldRows, model: HeldModel, query: _Query, held: Int64s) -> Float32s:
    assert rows.vectors is not None, "rows are compared by their vectors"
    return distances(query.full, rows.vectors[held], model.metric)


def _with_constants(codes: UInt8s, heads: UInt32s) -> UInt8s:
    """Codes as `reference_cells` reads them: step and bias behind."""
    constants = np.ascontiguousarray(heads[:, : _BIAS + 1]).view(np.uint8)
    return np.concatenate((codes, constants), axis=1)


def _floats(words: NDArray[Any]) -> Float32s:
    floats: Float32s = np.ascontiguousarray(words).view(np.float32)
    return floats
