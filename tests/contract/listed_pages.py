"""Arguments of `search_lists`, made of those of `search_cells`: laid rows in pages of a file, and no tails."""

from dataclasses import dataclass

import numpy as np

from tests.contract.readings import ALIVE, NOW_S, SEQUENCE, Case, Reading
from vdb.kernels import Kernels
from vdb.kernels.reference import Float32s, Int64s, UInt8s, UInt32s
from vdb.kernels.reference_cells import LIST_ENTRIES, N_TAIL, OWN_ENTRIES
from vdb.kernels.reference_lists import LISTS, PAGES
from vdb.kernels.tables import MODEL, VECTORS, Table
from vdb.storage.list_pages import SUM_KEYS, Shape, packed

GENERATION = 7 + (1 << 40)
FILE_PAGE = 4096
ANY = float("inf")


@dataclass
class Listed:
    """A case whose rows are those that were laid out; `memory` is the file."""

    case: Case
    shape: Shape
    memory: UInt8s
    places: UInt32s
    ended_at: UInt32s
    columns: tuple[int, int, int, int]
    tops: tuple[UInt32s, UInt32s]
    ratio: float = ANY
    margin: float = ANY

    @property
    def n_pages(self) -> int:
        return len(self.places)

    def search(self, kernels: Kernels) -> tuple[Float32s, Int64s, UInt32s, Int64s]:
        """Distances, rows, pids, statistics."""
        case, k = self.case, self.case.k
        numbers = (case.n_laid, self.shape.n_rows, self.shape.row_bytes, *self.columns, GENERATION)
        pages = Table(PAGES, (self.memory, self.places, SUM_KEYS, self.ended_at), numbers)
        world = case.world
        model = Table(
            MODEL, (world.of_queries, world.node_codes, world.node_offset), (case.metric, case.encoding, case.width)
        )
        readings = [
            Table(LISTS, (part.spans, part.entries, part.listed, tops))
            for part, tops in zip((case.mine, case.everyones), self.tops, strict=True)
        ]
        distance, row = np.full(k, np.nan, np.float32), np.full(k, 77, np.int64)
        pid, statistics = np.full(k, 77, np.uint32), np.full(8, 77, np.int64)
        kernels.search_lists(
            case.query, model, pages, Table(VECTORS, (world.vectors,)), readings[0], readings[1], SEQUENCE, NOW_S,
            case.budget, self.ratio, self.margin, case.m, distance, row, pid, statistics,
        )  # fmt: skip
        return distance, row, pid, statistics


def tops_of(rng: np.random.Generator, reading: Reading, n_nodes: int) -> UInt32s:
    """Any nodes, that share out a reading's entries; sometimes none."""
    n = int(reading.spans[OWN_ENTRIES] + reading.spans[LIST_ENTRIES])
    if n == 0 or rng.random() < 0.5:
        return np.zeros((2, 0), np.uint32)
    firsts = np.unique(np.append(rng.integers(n, size=int(rng.integers(1, 6))), 0))
    return np.stack((rng.integers(n_nodes, size=len(firsts)), firsts)).astype(np.uint32)


def listed(rng: np.random.Generator, case: Case, has_tops: bool = True) -> Listed:
    """The laid rows of a case on disk."""
    world, n = case.world, case.n_laid
    world.expires_at = world.expires_at[:n]
    columns = [world.pids[:n], world.slots[:n]]
    for more in (world.offsets[:n].view(np.uint32), world.expires_at):
        columns += [more] if len(more) == n else []
    shape = Shape(world.codes.shape[1], len(columns))
    values = packed(shape, GENERATION, 0, world.codes[:n], columns)
    memory = rng.integers(0, 256, (len(values) + 3, FILE_PAGE), dtype=np.uint8)
    places = rng.permutation(len(memory))[: len(values)].astype(np.uint32)
    memory[places, FILE_PAGE - values.shape[1] :] = values
    at = [shape.column_at(i) for i in range(len(columns))]
    offsets_at = at[2] if len(world.offsets) else 0
    expires_at = at[-1] if len(columns) == (4 if offsets_at else 3) else 0
    for part in (case.mine, case.everyones):
        part.spans[N_TAIL] = 0
    nowhere = np.zeros((2, 0), np.uint32)
    tops = [tops_of(rng, part, len(world.node_codes)) if has_tops else nowhere for part in (case.mine, case.everyones)]
    case.world.dead_at[n:] = 0
    ended_at = ended_at_of(rng, world.pids[:n], world.dead_at[:n])
    return Listed(case, shape, memory, places, ended_at, (at[0], at[1], offsets_at, expires_at), (tops[0], tops[1]))


def ended_at_of(rng: np.random.Generator, pids: UInt32s, dead_at: UInt32s) -> UInt32s:
    """By pid 0, or 1 and the sequence of its end; nothing is said of the last pids where they have not ended."""
    gone = np.flatnonzero(dead_at != ALIVE)
    last = int((pids if rng.random() < 0.5 else pids[gone]).max(initial=0))
    ended_at = np.zeros(last + 1, np.uint32)
    ended_at[pids[gone]] = dead_at[gone] + np.uint32(1)
    return ended_at
