"""Readings searched: entries scored and chosen, rows scored by their codes, candidates compared, in one go.

One block of a kernel serves one query or a part of it; what they hand on stays on the device, and the host waits once,
for the answers. Scratch memory is kept from call to call, and grows. Bytes of one query (n entries of nodes whose codes
have V bytes; r rows named by places, s rows scanned in all, of W bytes of codes; p parts, m candidates, D components),
each divided by the bandwidth is what the kernel takes at least; nodes that many queries read come from the cache:

score_entries   n · (V + 16 + 16): codes, head, node and start; n · V / 4 products of four
choose_entries  n · 4 · 8 + r · 4: scores and weights in each pass of the threshold, places that are counted
scan_*          s · (W + 16) + r · 4, and s · 8 where rows have times; s · W / 4 products of four (LVQ4: s · W / 2),
                float forms s · W / 4 (FLOAT16: s · W / 2). Exact: W = 4 · D, and s · 4 for pids
merge_*         2 · p · m · 8: what parts wrote, read again
compare_rows    m · (4 · D + 24); m · D products
order_rows      m · 16 + k · 8
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vdb.kernels.device import (
    CODE_BYTES,
    COLUMNS,
    LIST_ENTRIES,
    LIST_N,
    N_TAIL,
    OWN_ENTRIES,
    OWN_FIRST,
    OWN_STOP,
    Block,
    Candidates,
    DeviceFound,
    Queries,
    ResidentModel,
    ResidentRows,
    Wanted,
)
from vdb.kernels.gpu.driver import Driver
from vdb.kernels.reference import L2, Float32s, Int64s, UInt8s
from vdb.kernels.reference_cells import FLOAT16, FLOAT32, LVQ4, LVQ8, RADIUS_WEIGHT

__all__ = ["ReadingLauncher"]

N_THREADS: Final = 256
N_WARPS: Final = N_THREADS // 32
MOST_WHOLE: Final = 6
"""Spans of a query that are no entries: a tail, a run and a list of two readings."""
MOST_CANDIDATES: Final = 1_024
MOST_QUERIES: Final = 4_096
"""Of one launch; more are taken in turns."""
BLOCKS_OF_PROCESSOR: Final = 16
"""Parts that are made for each multiprocessor where there is work for so many: it runs four at once, and the more
there are, the less the last ones run alone."""
LEAST_ROWS: Final = 512
"""Of a part: fewer would take longer to merge than they save."""
MOST_PART_BYTES: Final = 1 << 28
"""Keys of all parts."""
WASTE: Final = 1.25
"""By how much lanes that read a row together may round up the pieces that it has."""

_ASKED: Final = np.dtype(
    [
        ("columns", np.int64, (2, COLUMNS)),
        ("sequence", np.int64),
        ("now_s", np.int64),
        ("budget", np.int64),
        ("first_entry", np.int64),
        ("step", np.float32),
        ("total", np.float32),
        ("norm", np.float32),
        ("unused", np.int32),
    ]
)
"""`Asked` of readings.cuh."""
_NO_KEY: Final = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_SCANS: Final = {LVQ8: "scan_lvq8", LVQ4: "scan_lvq4", FLOAT32: "scan_float32", FLOAT16: "scan_float16"}


@dataclass(frozen=True, slots=True, eq=False)
class _Packed:
    """What is asked, as one block: for each query `Asked` and its components three times over, as nodes are compared
    (`nodes_at`), as rows are (`codes_at`), as vectors are (`full_at`); n_bytes of a query. `n_entries` int64 (q,) are
    scored."""

    block: Block
    n_entries: Int64s
    n_bytes: int
    nodes_at: int
    codes_at: int
    full_at: int


@dataclass(frozen=True, slots=True, eq=False)
class _Shares:
    """How rows are shared out to blocks: `most_parts` of a query, of `rows_of_part` unless it has more."""

    most_parts: int
    rows_of_part: int


class ReadingLauncher:
    """`Device.candidates` and `Device.search` over a driver; used by one thread at a time, nothing to close."""

    def __init__(self, driver: Driver) -> None:
        self._driver: Final = driver
        self._scratch: dict[str, Block] = {}

    def candidates(
        self, rows: ResidentRows, model: ResidentModel, queries: Queries, wanted: Wanted, m: int
    ) -> Candidates:
        """See `Device.candidates`."""
        assert not wanted.is_exact, "estimates are of codes"
        assert 1 <= m <= MOST_CANDIDATES, "a block holds so many"
        found = [self._candidates(rows, model, part, asked, m) for part, asked in _turns(queries, wanted)]
        words = np.concatenate([np.zeros((0, m + 4), np.uint64), *found])
        return Candidates(*_decoded(words[:, :m]), words[:, m:].astype(np.int64))

    def search(
        self, rows: ResidentRows, model: ResidentModel, queries: Queries, wanted: Wanted, m: int, k: int
    ) -> DeviceFound:
        """See `Device.search`."""
        assert 1 <= k <= m <= MOST_CANDIDATES, "a block holds so many"
        find = self._exact if wanted.is_exact else self._compared
        found = [find(rows, model, part, asked, m, k) for part, asked in _turns(queries, wanted)]
        words = np.concatenate([np.zeros((0, k + 4), np.uint64), *found])
        return DeviceFound(*_decoded(words[:, :k]), words[:, k:].astype(np.int64))

    def _candidates(
        self, rows: ResidentRows, model: ResidentModel, queries: Queries, wanted: Wanted, m: int
    ) -> NDArray[np.uint64]:
        packed, shares = self._packed(rows, model, queries, wanted), self._shares(wanted, m)
        answers = self._choose(rows, model, packed, wanted, m)
        self._scan(rows, model, packed, wanted, shares, m, answers, m)
        self._merge("merge_estimates", shares, len(queries), m, m, m + 4, answers)
        return self._taken(answers, len(queries), m + 4)

    def _compared(
        self, rows: ResidentRows, model: ResidentModel, queries: Queries, wanted: Wanted, m: int, k: int
    ) -> NDArray[np.uint64]:
        packed, shares = self._packed(rows, model, queries, wanted), self._shares(wanted, m)
        answers = self._choose(rows, model, packed, wanted, k)
        self._scan(rows, model, packed, wanted, shares, m, answers, k)
        best = self._kept("best", len(queries) * m, np.uint64)
        self._merge("merge_estimates", shares, len(queries), m, m, m, best)
        self._compare(rows, model, packed, len(queries), m, k, best, answers)
        return self._taken(answers, len(queries), k + 4)

    def _exact(
        self, rows: ResidentRows, model: ResidentModel, queries: Queries, wanted: Wanted, m: int, k: int
    ) -> NDArray[np.uint64]:
        """Distances are the scores: of the m nearest the k nearest are wanted, so k are kept."""
        packed, shares = self._packed(rows, model, queries, wanted), self._shares(wanted, k)
        answers = self._choose(rows, model, packed, wanted, k)
        self._scan(rows, model, packed, wanted, shares, k, answers, k)
        self._merge("merge_distances", shares, len(queries), k, k, k + 4, answers)
        return self._taken(answers, len(queries), k + 4)

    # What is asked

    def _packed(self, rows: ResidentRows, model: ResidentModel, queries: Queries, wanted: Wanted) -> _Packed:
        n_nodes = model.node_codes.shape[1]
        for_rows = queries.full if wanted.is_exact else _for_rows(queries, model.form, rows.codes.shape[1])
        n_rows = 0 if wanted.is_exact else for_rows.shape[1]
        nodes_at = _ASKED.itemsize
        codes_at, full_at = nodes_at + n_nodes, nodes_at + n_nodes + n_rows
        n_bytes = full_at + -(-4 * queries.full.shape[1] // CODE_BYTES) * CODE_BYTES
        packed = np.zeros((len(queries), n_bytes), np.uint8)
        header = packed[:, :nodes_at].view(_ASKED)[:, 0]
        header["columns"], header["sequence"] = wanted.readings, wanted.sequence
        header["now_s"], header["budget"] = wanted.now_s, wanted.budget
        n_entries = _n_entries(wanted)
        header["first_entry"] = np.cumsum(n_entries) - n_entries
        header["step"], header["total"], header["norm"] = queries.step, queries.total, queries.norm
        coded = queries.coded
        packed[:, nodes_at : nodes_at + coded.shape[1]] = coded.view(np.uint8)
        packed[:, codes_at : codes_at + n_rows] = for_rows[:, :n_rows]
        packed[:, full_at : full_at + 4 * queries.full.shape[1]] = _bytes_of(queries.full)
        block = self._kept("asked", packed.size, np.uint8)
        self._driver.write(block, 0, packed.reshape(-1))
        return _Packed(block, n_entries, n_bytes, nodes_at, codes_at if n_rows else full_at, full_at)

    def _shares(self, wanted: Wanted, m: int) -> _Shares:
        readings = wanted.readings
        runs = readings[:, :, OWN_STOP] - readings[:, :, OWN_FIRST]
        named = (runs + readings[:, :, LIST_N] + readings[:, :, N_TAIL]).sum(axis=1)
        assert np.all(named < 1 << 31), "rows are counted in 32 bits"
        whole = np.where(readings[:, :, OWN_ENTRIES] == 0, runs, 0) + readings[:, :, N_TAIL]
        whole += np.where(readings[:, :, LIST_ENTRIES] == 0, readings[:, :, LIST_N], 0)
        scanned = named if wanted.is_exact else np.minimum(named, np.maximum(whole.sum(axis=1), wanted.budget))
        n_blocks = self._driver.n_processors * BLOCKS_OF_PROCESSOR
        rows_of_part = max(LEAST_ROWS, 2 * m, -(-int(scanned.sum()) // n_blocks))
        most = max(1, MOST_PART_BYTES // (8 * m * len(readings)))
        return _Shares(min(most, max(1, -(-int(scanned.max()) // rows_of_part))), rows_of_part)

    # Launches

    def _choose(
        self, rows: ResidentRows, model: ResidentModel, packed: _Packed, wanted: Wanted, n_answers: int
    ) -> Block:
        """Launch what says which rows are scanned; returns the block of answers, where statistics are begun."""
        n_queries, n_entries = len(wanted.sequence), packed.n_entries
        n_all, n_held = int(n_entries.sum()), np.int64(rows.entries.shape[1])
        scores, weights = self._kept("scores", n_all, np.uint32), self._kept("weights", n_all, np.uint32)
        if n_all:
            n_bytes = model.node_codes.shape[1]
            grid = -(-int(n_entries.max()) // N_THREADS), n_queries
            self._driver.launch(
                "score_entries", grid, N_THREADS, n_bytes, packed.block, np.int32(packed.n_bytes),
                np.int32(packed.nodes_at), rows.entries, n_held, model.node_codes, model.node_heads,
                np.int32(n_bytes), np.int32(_lanes(n_bytes)), np.int32(model.metric), np.float32(RADIUS_WEIGHT),
                scores, weights,
            )  # fmt: skip
        n_spans = n_all + MOST_WHOLE * n_queries
        first, end = self._kept("span_first", n_spans, np.uint32), self._kept("span_end", n_spans, np.uint32)
        plans = self._kept("plans", 4 * n_queries, np.uint32)
        answers = self._kept("answers", n_queries * (n_answers + 4), np.uint64)
        self._driver.launch(
            "choose_entries", (n_queries, 1), N_THREADS, 0, packed.block, np.int32(packed.n_bytes), rows.entries,
            n_held, rows.places, np.int32(wanted.is_exact), scores, weights, first, end, plans, answers,
            np.int32(n_answers),
        )  # fmt: skip
        return answers

    def _scan(
        self, rows: ResidentRows, model: ResidentModel, packed: _Packed, wanted: Wanted, shares: _Shares, m: int,
        answers: Block, n_answers: int,
    ) -> None:  # fmt: skip
        kernel, codes = _SCANS[model.form], rows.codes
        if wanted.is_exact:
            assert rows.vectors is not None, "rows are compared by their vectors"
            kernel, codes = "scan_differences" if model.metric == L2 else "scan_products", rows.vectors
            kernel += "" if 4 * codes.shape[1] % CODE_BYTES == 0 else "_unaligned"
        row_bytes = codes.nbytes // max(1, codes.shape[0])
        n_bytes = (packed.n_bytes if wanted.is_exact else packed.full_at) - packed.codes_at
        n_keys = len(wanted.sequence) * shares.most_parts * m
        self._driver.launch(
            kernel, (shares.most_parts, len(wanted.sequence)), N_THREADS, n_bytes, packed.block,
            np.int32(packed.n_bytes), np.int32(packed.codes_at), np.int32(n_bytes), self._scratch["span_first"],
            self._scratch["span_end"], self._scratch["plans"], rows.places, rows.pages,
            np.uint32(rows.pages.shape[0]), rows.heads, rows.times, np.int32(rows.has_times), rows.pids, codes,
            np.int32(row_bytes), np.int32(_lanes(row_bytes)), np.int32(model.metric), np.int32(m),
            np.uint32(shares.rows_of_part), self._kept("part_keys", n_keys, np.uint64),
            self._kept("part_rows", n_keys if wanted.is_exact else 0, np.uint32), answers, np.int32(n_answers),
        )  # fmt: skip

    def _merge(
        self, kernel: str, shares: _Shares, n_queries: int, m: int, n_words: int, width: int, words: Block
    ) -> None:
        self._driver.launch(
            kernel, (n_queries, 1), N_THREADS, 0, self._scratch["plans"], self._scratch["part_keys"],
            self._scratch["part_rows"], np.uint32(shares.most_parts), np.uint32(shares.rows_of_part), np.int32(m),
            np.int32(n_words), np.int32(width), words,
        )  # fmt: skip

    def _compare(
        self, rows: ResidentRows, model: ResidentModel, packed: _Packed, n_queries: int, m: int, k: int, best: Block,
        answers: Block,
    ) -> None:  # fmt: skip
        assert rows.vectors is not None, "candidates are compared by their vectors"
        keys = self._kept("distances", n_queries * m, np.uint64)
        n_bytes = 4 * rows.vectors.shape[1]
        kernel = "compare_rows" if n_bytes % CODE_BYTES == 0 else "compare_rows_unaligned"
        self._driver.launch(
            kernel, (-(-m // N_WARPS), n_queries), N_THREADS, 0, packed.block, np.int32(packed.n_bytes),
            np.int32(packed.full_at), best, np.int32(m), rows.pages, np.uint32(rows.pages.shape[0]), rows.pids,
            rows.vectors, np.int32(n_bytes), np.int32(model.metric), keys,
        )  # fmt: skip
        self._driver.launch(
            "order_rows", (n_queries, 1), N_THREADS, 0, best, keys, np.int32(m), np.int32(k), answers
        )  # fmt: skip

    # Scratch

    def _kept(self, name: str, n: int, dtype: DTypeLike) -> Block:
        """At least `n` of a dtype, whatever is in them; the same block until more are wanted."""
        held = self._scratch.get(name)
        if held is None or held.shape[0] < n:
            grown = max(n, 1) if held is None else max(n, held.shape[0] * 3 // 2)
            self._scratch.pop(name, None)
            del held
            self._scratch[name] = held = self._driver.make((grown,), dtype)
        return held

    def _taken(self, answers: Block, n_queries: int, width: int) -> NDArray[np.uint64]:
        words: NDArray[np.uint64] = self._driver.take(answers, 0, n_queries * width).reshape(n_queries, width)
        return words


def _turns(queries: Queries, wanted: Wanted) -> list[tuple[Queries, Wanted]]:
    """The queries in parts that are launched together."""
    if len(queries) <= MOST_QUERIES:
        return [(queries, wanted)] if len(queries) else []
    turns = []
    for first in range(0, len(queries), MOST_QUERIES):
        part = slice(first, first + MOST_QUERIES)
        asked = Queries(
            queries.full[part], queries.kept[part], queries.coded[part], queries.step[part], queries.total[part],
            queries.norm[part],
        )  # fmt: skip
        of_part = wanted.readings[part], wanted.sequence[part], wanted.now_s[part], wanted.budget[part]
        turns.append((asked, Wanted(*of_part, wanted.is_exact)))
    return turns


def _n_entries(wanted: Wanted) -> Int64s:
    """Entries that are scored for each query, int64 (q,)."""
    if wanted.is_exact:
        return np.zeros(len(wanted.sequence), np.int64)
    n_entries: Int64s = (wanted.readings[:, :, OWN_ENTRIES] + wanted.readings[:, :, LIST_ENTRIES]).sum(axis=1)
    return n_entries


def _for_rows(queries: Queries, form: int, width: int) -> UInt8s:
    """The queries as rows of `width` bytes are compared with them, uint8 (q, width or twice that)."""
    q = len(queries)
    if form in (FLOAT32, FLOAT16):
        floats = np.zeros((q, width // 4 if form == FLOAT32 else width // 2), np.float32)
        floats[:, : queries.full.shape[1]] = queries.full
        return _bytes_of(floats)
    coded = queries.coded
    if form == LVQ8:
        codes = np.zeros((q, width), np.int8)
        codes[:, : coded.shape[1]] = coded
        return _bytes_of(codes)
    # Components of the low and of the high halves of bytes, in turns of as many bytes as a thread reads.
    half = (coded.shape[1] + 1) // 2
    halves = np.zeros((2, q, width), np.int8)
    halves[0, :, :half], halves[1, :, : coded.shape[1] - half] = coded[:, :half], coded[:, half:]
    by_turns = halves.reshape(2, q, width // CODE_BYTES, CODE_BYTES).transpose(1, 2, 0, 3)
    return _bytes_of(np.ascontiguousarray(by_turns).reshape(q, 2 * width))


def _bytes_of(array: NDArray[Any]) -> UInt8s:
    held: UInt8s = np.ascontiguousarray(array).view(np.uint8)
    return held


def _lanes(row_bytes: int) -> int:
    """How many lanes read a row together: as many as hardly round up its pieces, a power of two up to 32."""
    n_pieces = max(1, -(-row_bytes // CODE_BYTES))
    fitting = [lanes for lanes in (1, 2, 4, 8, 16, 32) if -(-n_pieces // lanes) * lanes <= WASTE * n_pieces]
    return max(fitting)


def _decoded(words: NDArray[np.uint64]) -> tuple[Float32s, Int64s]:
    """Scores float32 and rows int64 of keys; +inf and −1 of `_NO_KEY`."""
    bits = (words >> np.uint64(32)).astype(np.uint32)
    score = np.where(bits >> np.uint32(31), bits & np.uint32(0x7FFF_FFFF), ~bits).view(np.float32)
    row = (words & np.uint64(0xFFFF_FFFF)).astype(np.int64)
    is_none = words == _NO_KEY
    return np.where(is_none, np.float32(np.inf), score), np.where(is_none, np.int64(-1), row)
