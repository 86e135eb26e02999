"""Random arguments of `search_cells`: a small tree, coded rows of several owners, two readings with entries and tails.

Components are small integers times a power of two, so that codes are exact and sums of distances too: implementations
must agree, not come close.
"""

from dataclasses import dataclass, fields

import numpy as np

from vdb.kernels import Kernels
from vdb.kernels.reference import COSINE, L2, Float32s, Int64s, UInt8s, UInt32s
from vdb.kernels.reference_cells import (
    FLOAT16,
    FLOAT32,
    LIST_FIRST,
    LIST_STOP,
    LVQ4,
    LVQ8,
    N_TAIL,
    OWN_FIRST,
    OWN_STOP,
    REVOKED,
    constants_of,
)
from vdb.kernels.reference_layout import Int32s, cut_entries
from vdb.kernels.tables import DIRECTORY, MODEL, ROWS, VECTORS, ReadingTable, Table

SEQUENCE, NOW_S = 50, 1_000
HUGE = 1 << 40
ENCODINGS = (LVQ8, LVQ4, FLOAT32, FLOAT16)
LOWEST, N_LEVELS = -8, 16
LEAF_ROWS = 3
ALIVE = 0xFFFF_FFFF
Tree = tuple[Int32s, UInt32s, UInt32s]


@dataclass
class World:
    """What `search_cells` is given before its readings and numbers, in its order."""

    of_queries: UInt8s
    node_codes: UInt8s
    node_offset: Float32s
    codes: UInt8s
    offsets: Float32s
    pids: UInt32s
    slots: UInt32s
    dead_at: UInt32s
    added_at: UInt32s
    expires_at: UInt32s
    vectors: Float32s

    @property
    def constants(self) -> Float32s:
        """The memory of the codes as float32."""
        return constants_of(self.codes)

    @property
    def node_constants(self) -> Float32s:
        return constants_of(self.node_codes)


@dataclass
class Reading:
    """One reading, in the order of the kernels."""

    spans: Int64s
    entries: UInt32s
    listed: UInt32s
    tail: UInt32s


@dataclass
class Case:
    """All arguments of a search but outputs; `cells` and the tree are what the entries were cut by."""

    query: Float32s
    world: World
    mine: Reading
    everyones: Reading
    n_laid: int
    metric: int
    encoding: int
    width: int
    budget: int
    m: int
    k: int

    @property
    def tables(self) -> tuple[Table, Table, Table, ReadingTable, ReadingTable]:
        """The arrays as kernels are handed them."""
        arrays = [getattr(self.world, f.name) for f in fields(self.world)]
        readings = [
            ReadingTable(part.spans, Table(DIRECTORY, (part.entries, part.listed, part.tail)))
            for part in (self.mine, self.everyones)
        ]
        return (
            Table(MODEL, tuple(arrays[:3]), (self.metric, self.encoding, self.width)),
            Table(ROWS, tuple(arrays[3:-1]), (self.n_laid,)),
            Table(VECTORS, tuple(arrays[-1:])),
            readings[0],
            readings[1],
        )

    def rows_named(self, reading: Reading) -> list[int]:
        """Rows of the reading that are not revoked, by the words of the contract."""
        spans = reading.spans.tolist()
        listed = reading.listed[spans[LIST_FIRST] : spans[LIST_STOP]].tolist() + reading.tail[: spans[N_TAIL]].tolist()
        named = [row for row in listed if row < len(self.world.pids)]
        return list(range(spans[OWN_FIRST], spans[OWN_STOP])) + named

    def sees(self, row: int) -> bool:
        """Whether the row is there and not expired."""
        world = self.world
        if world.dead_at[row] <= SEQUENCE or (row >= self.n_laid and world.added_at[row - self.n_laid] > SEQUENCE):
            return False
        return not (len(world.expires_at) and 0 < world.expires_at[row] <= NOW_S)

    def visible(self) -> list[int]:
        return sorted({row for part in (self.mine, self.everyones) for row in self.rows_named(part) if self.sees(row)})

    def true_distance(self, row: int) -> float:
        query, vector = self.query.astype(float), self.world.vectors[self.world.slots[row]].astype(float)
        if self.metric == L2:
            return float(((query - vector) ** 2).sum())
        if self.metric == COSINE:
            norm = float(np.linalg.norm(query))
            return max(0.0, 1 - float(query @ vector) / norm if norm else 1.0)
        return -float(query @ vector)


def search(kernels: Kernels, case: Case) -> tuple[Float32s, Int64s, Int64s]:
    """Distances, rows, statistics."""
    distance, row = np.full(case.k, np.nan, np.float32), np.full(case.k, 77, np.int64)
    statistics = np.full(4, 77, np.int64)
    kernels.search_cells(
        case.query, *case.tables, SEQUENCE, NOW_S, case.budget, case.m, distance, row, statistics
    )  # fmt: skip
    return distance, row, statistics


def padded(n_bytes: int) -> int:
    return -(-n_bytes // 32) * 32


def encoded(kept: Float32s, encoding: int, unit: float) -> tuple[UInt8s, int]:
    """Rows of whole multiples of `unit` from −8 to 7, coded without loss, and the width of their codes."""
    n, d = kept.shape
    if encoding == FLOAT32:
        return kept.copy().view(np.uint8).reshape(n, 4 * d), 4 * d
    if encoding == FLOAT16:
        halves = np.zeros((n, 2 * ((d + 1) // 2)), np.float16)
        halves[:, :d] = kept
        return halves.view(np.uint8), 2 * halves.shape[1]
    levels = np.rint(kept / unit - LOWEST).astype(np.uint8)
    if encoding == LVQ4:
        half = (d + 1) // 2
        packed = levels[:, :half].copy()
        packed[:, : d - half] |= levels[:, half:] << 4
        levels = packed
    width = padded(levels.shape[1])
    codes = np.zeros((n, width + 8), np.uint8)
    codes[:, : levels.shape[1]] = levels
    codes[:, width:] = np.array([unit, LOWEST * unit], np.float32).view(np.uint8)
    return codes, width


def make_tree(n_cells: int) -> Tree:
    """A binary tree whose cells are split in the middle: children, first cell, end of cells."""
    children, bounds = [], [(0, n_cells)]
    node = 0
    while node < len(bounds):
        low, high = bounds[node]
        if high - low == 1:
            children.append((-1, -1))
        else:
            children.append((len(bounds), len(bounds) + 1))
            bounds += [(low, (low + high) // 2), ((low + high) // 2, high)]
        node += 1
    ranges = np.array(bounds, np.uint32)
    return np.array(children, np.int32), ranges[:, 0].copy(), ranges[:, 1].copy()


def make_query(rng: np.random.Generator, d: int, metric: int) -> Float32s:
    """Integers; for cosine such that the norm is a power of two, so that normalising is exact."""
    query = rng.integers(-127, 128, d).astype(np.float32)
    query[rng.integers(d)] = 127
    if metric == COSINE:
        n = 4 ** int(rng.integers(0, 1 + np.log2(d) // 2))
        query[:] = 0
        query[rng.choice(d, n, replace=False)] = rng.choice([-2, 2], n)
    return query


def _make_world(
    rng: np.random.Generator, n: int, n_laid: int, d: int, metric: int, encoding: int, n_nodes: int
) -> World:
    unit = 2.0**-10 if metric == COSINE else 1.0
    vectors = (rng.integers(LOWEST, LOWEST + N_LEVELS, (n, d)) * unit).astype(np.float32)
    vectors[rng.random(n) < 0.05] = 0
    if n > 3:
        vectors[rng.integers(n, size=3)] = vectors[rng.integers(n)]
    is_projected = encoding in (LVQ8, LVQ4) and d > 1 and rng.random() < 0.5
    chosen = rng.permutation(d)[: max(1, d // 2)] if is_projected else np.arange(d)
    codes, _ = encoded(np.ascontiguousarray(vectors[:, chosen]), encoding, unit)
    centroids = (rng.integers(LOWEST, LOWEST + N_LEVELS, (n_nodes, len(chosen))) * unit).astype(np.float32)
    node_codes, _ = encoded(centroids, LVQ8, unit)
    slots = rng.permutation(n).astype(np.uint32)
    of_slots = np.empty_like(vectors)
    of_slots[slots] = vectors
    pids = rng.permutation(2 * n)[:n].astype(np.uint32)
    directions, _ = encoded(np.eye(d, dtype=np.float32)[chosen if is_projected else chosen[:0]], LVQ8, 1.0)
    return World(
        of_queries=directions,
        node_codes=node_codes,
        node_offset=rng.integers(0, 60, n_nodes).astype(np.float32),
        codes=codes,
        offsets=(vectors**2).sum(axis=1) if metric == L2 else np.zeros(0, np.float32),
        pids=pids,
        slots=slots,
        dead_at=rng.choice([ALIVE, SEQUENCE, SEQUENCE + 1], n, p=[0.8, 0.1, 0.1]).astype(np.uint32),
        added_at=rng.choice([1, SEQUENCE, SEQUENCE + 1], n - n_laid).astype(np.uint32),
        expires_at=rng.choice([0, NOW_S, NOW_S + 1], n if rng.random() < 0.5 else 0).astype(np.uint32),
        vectors=of_slots,
    )


def _make_reading(
    rng: np.random.Generator, first: int, stop: int, n: int, n_laid: int, cells: UInt32s, tree: Tree
) -> Reading:
    """The run [first, stop), a random list of laid rows, a tail of any rows, some revoked, some beyond the capacity."""
    listed = np.flatnonzero(rng.random(n_laid) < rng.choice([0, 0.3])).astype(np.uint32)
    listed = listed[np.lexsort((listed, cells[listed]))]
    pad = int(rng.integers(0, 3))
    tail = np.concatenate((rng.integers(n + 3, size=4), np.arange(n_laid, n))).astype(np.uint32)
    tail = tail[: int(rng.integers(0, len(tail) + 1))]
    spans = np.zeros((1, 9), np.int64)
    spans[0, [OWN_FIRST, OWN_STOP, LIST_FIRST, LIST_STOP, N_TAIL]] = first, stop, pad, pad + len(listed), len(tail)
    listed = np.concatenate((np.full(pad, 5, np.uint32), listed, np.full(2, 6, np.uint32)))
    least = rng.choice([0, n], 2).tolist()
    entries = np.zeros((2, len(listed) + stop - first), np.uint32)
    cut_entries(spans, listed, cells, *tree, LEAF_ROWS, least[0], least[1], entries)
    for rows in (listed, tail):
        rows[rng.random(len(rows)) < 0.1] |= np.uint32(REVOKED)
    return Reading(spans[0], entries, listed, np.concatenate((tail, np.full(3, 4, np.uint32))))


def make_case(
    rng: np.random.Generator,
    n: int,
    d: int,
    metric: int,
    encoding: int,
    budget: int = HUGE,
    k: int = 10,
    m: int = 40,
) -> Case:
    """`n` rows of which nine in ten are laid out; the caller owns some, everyone others, a third owner the rest."""
    n_laid = 9 * n // 10
    tree = make_tree(int(rng.integers(1, 2 + n // 4)))
    n_cells = int(tree[2][0])
    own_stop, everyones_stop = np.sort(rng.integers(0, n_laid + 1, 2)).tolist()
    parts = [own_stop, everyones_stop - own_stop, n_laid - everyones_stop]
    runs = [np.sort(rng.integers(n_cells, size=size)) for size in parts]
    cells = np.concatenate((*runs, rng.integers(n_cells, size=n - n_laid))).astype(np.uint32)
    world = _make_world(rng, n, n_laid, d, metric, encoding, len(tree[0]))
    if metric == COSINE:
        world.node_offset *= np.float32(2.0**-10)
    mine = _make_reading(rng, 0, own_stop, n, n_laid, cells, tree)
    everyones = _make_reading(rng, own_stop, everyones_stop, n, n_laid, cells, tree)
    width = world.codes.shape[1] - (8 if encoding in (LVQ8, LVQ4) else 0)
    query = make_query(rng, d, metric)
    return Case(query, world, mine, everyones, n_laid, metric, encoding, width, budget, max(m, k), k)


def blurred(rng: np.random.Generator, case: Case) -> Case:
    """The case with estimates that do not tie, so that the m-th place is decided."""
    world = case.world
    if case.encoding in (LVQ8, LVQ4):
        world.constants[:, -2:] *= 1 + rng.random((len(world.codes), 2), np.float32) / 16
        directions = world.of_queries[:, : len(case.query)].astype(np.float32) + LOWEST
        if len(directions) and not np.any(directions @ case.query):
            case.query[:] = 1
    return case


def only_mine(case: Case, rows: np.ndarray) -> Case:
    """The case with one reading left, a tail of `rows`, and nothing hidden."""
    for reading in (case.mine, case.everyones):
        reading.spans[:] = 0
    case.mine.spans[N_TAIL] = len(rows)
    case.mine.tail = rows.astype(np.uint32)
    case.world.dead_at[:] = 0xFFFF_FFFF
    case.world.added_at[:] = 0
    case.world.expires_at = np.zeros(0, np.uint32)
    return case
