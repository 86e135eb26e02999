"""Parts of `search_cells`: which rows are scored, which are kept by their estimates, and the best by true distance."""

import numpy as np

from vdb.kernels.cpu.compiling import inlined
from vdb.kernels.reference import Float32s, Int64s, UInt8s, UInt32s

EMPTY = np.uint32(0xFFFFFFFF)
"""The row of a slot of a heap that holds none; its score is +inf."""

FEW_CANDIDATES = 512
"""Up to so many are compared with each row that may have come before; for more a bit per row says it."""
FEW_PLACES = 128
"""Up to so many answers are kept in their order; more in a heap, which is sorted at the end."""


@inlined
def gather(
    rows_from: UInt32s, is_run: bool, start: int, n: int, pids: UInt32s, mask: UInt8s, capacity: int,
    rows: UInt32s, place: int,
) -> int:  # fmt: skip
    """Append to `rows` what of [start, start + n) of a run or list is not revoked and is allowed; returns the end."""
    end = place
    if is_run:
        for i in range(n):
            rows[np.uint64(place + i)] = np.uint32(start + i)
        end += n
    else:
        for i in range(n):
            row = rows_from[np.uint64(start + i)]
            rows[np.uint64(end)] = row
            end += row < capacity  # else revoked, or newer than this state
    if mask.shape[0] == 0:
        return end
    n_allowed = place
    for i in range(place, end):
        pid = np.uint64(pids[np.uint64(rows[i])])
        byte = pid >> np.uint64(3)
        rows[n_allowed] = rows[i]
        if byte < np.uint64(mask.shape[0]) and (mask[byte] >> np.uint8(pid & np.uint64(7))) & np.uint8(1):
            n_allowed += 1
    return n_allowed


@inlined
def threshold(entry_score: Float32s, n_entry_rows: Int64s, above: np.float32, wanted: int) -> np.float32:
    """The least score such that the entries up to it, beyond `above`, hold `wanted` rows; +inf where none does.

    A weighted quickselect: a heap of entries costs more than the scan of their rows.
    """
    n = 0
    score = np.empty(entry_score.shape[0], np.float32)
    weight = np.empty(entry_score.shape[0], np.int64)
    for i in range(entry_score.shape[0]):
        score[n] = entry_score[i]
        weight[n] = n_entry_rows[i]
        n += entry_score[i] > above
    first, stop = 0, n
    while stop - first > 1:
        x, y, z = score[first], score[(first + stop) // 2], score[stop - 1]
        pivot = max(min(x, y), min(max(x, y), z))
        n_below, rows_below = first, 0
        for i in range(first, stop):
            moved_score, moved_weight = score[i], weight[i]
            is_below = moved_score < pivot
            score[i], weight[i] = score[n_below], weight[n_below]
            score[n_below], weight[n_below] = moved_score, moved_weight
            n_below += is_below
            rows_below += moved_weight if is_below else 0
        if rows_below >= wanted:
            stop = n_below
            continue
        wanted -= rows_below
        n_equal, rows_equal = n_below, 0
        for i in range(n_below, stop):
            moved_score, moved_weight = score[i], weight[i]
            is_equal = moved_score == pivot
            score[i], weight[i] = score[n_equal], weight[n_equal]
            score[n_equal], weight[n_equal] = moved_score, moved_weight
            n_equal += is_equal
            rows_equal += moved_weight if is_equal else 0
        if rows_equal >= wanted:
            return np.float32(pivot)
        wanted -= rows_equal
        first = n_equal
    if stop > first and weight[first] >= wanted:
        return np.float32(score[first])
    return np.float32(np.inf)


@inlined
def sift_down(heap_score: Float32s, heap_row: UInt32s, size: int, score: np.float32, row: np.uint32) -> None:
    """Put (score, row) in place of the root of a max-heap."""
    slot = 0
    while True:
        child = 2 * slot + 1
        if child >= size:
            break
        if child + 1 < size and heap_score[child + 1] > heap_score[child]:
            child += 1
        if heap_score[child] <= score:
            break
        heap_score[slot] = heap_score[child]
        heap_row[slot] = heap_row[child]
        slot = child
    heap_score[slot] = score
    heap_row[slot] = row


@inlined
def keep_best(
    rows: UInt32s, score: Float32s, dead_at: UInt32s, added_at: UInt32s, expires_at: UInt32s, n_laid: int,
    sequence: int, now_s: int, may_repeat: bool, entered: UInt8s, heap_score: Float32s, heap_row: UInt32s,
) -> None:  # fmt: skip
    """Fold the rows that are there at `sequence` and `now_s` into a max-heap, each once where they may repeat.

    `entered` uint8: a bit per row, 0; (0,) where the heap is so small that it is looked through instead.
    What was evicted cannot come back: its score, the same again, is not below the worst. One function, because numba
    counts references to every array that a part is called with.
    """
    size = heap_row.shape[0]
    may_expire = expires_at.shape[0] > 0
    is_noted = entered.shape[0] > 0
    worst = heap_score[0]
    for i in range(score.shape[0]):
        entering = score[np.uint64(i)]
        if not entering < worst:
            continue
        row = rows[np.uint64(i)]
        at = np.int64(row)
        is_seen = np.int64(dead_at[at]) > sequence
        if at >= n_laid:
            is_seen &= np.int64(added_at[at - n_laid]) <= sequence
        if may_expire:
            is_seen &= expires_at[at] == 0 or np.int64(expires_at[at]) > now_s
        if is_noted:
            is_seen &= (entered[at >> 3] >> np.uint8(at & 7)) & np.uint8(1) == 0
        elif may_repeat:
            for slot in range(size):
                is_seen &= heap_row[slot] != row
        if not is_seen:
            continue
        if is_noted:
            entered[at >> 3] |= np.uint8(1) << np.uint8(at & 7)
        slot = 0
        child = 1
        while child < size:
            if child + 1 < size and heap_score[child + 1] > heap_score[child]:
                child += 1
            if heap_score[child] <= entering:
                break
            heap_score[slot], heap_row[slot] = heap_score[child], heap_row[child]
            slot, child = child, 2 * child + 1
        heap_score[slot], heap_row[slot] = entering, row
        worst = heap_score[0]


@inlined
def sort(heap_score: Float32s, heap_row: UInt32s) -> int:
    """Heap-sort ascending by score; returns how many slots are filled."""
    for size in range(heap_row.shape[0] - 1, 0, -1):
        score, row = heap_score[size], heap_row[size]
        heap_score[size], heap_row[size] = heap_score[0], heap_row[0]
        sift_down(heap_score, heap_row, size, score, row)
    n = 0
    while n < heap_row.shape[0] and heap_row[n] != EMPTY:
        n += 1
    return n


@inlined
def is_nearer(a: np.float32, row_a: int, b: np.float32, row_b: int, pids: UInt32s) -> bool:
    """Whether row a comes before row b by (distance, pid); no row, −1, comes last."""
    if row_a < 0 or row_b < 0:
        return row_b < 0 <= row_a
    return bool(a < b or (a == b and pids[row_a] < pids[row_b]))


@inlined
def enter(true: np.float32, candidate: int, pids: UInt32s, distance: Float32s, row: Int64s) -> None:
    """Put a candidate where (distance, pid) has it among the best, if it is one."""
    place = row.shape[0]
    while place > 0:
        before = row[place - 1]
        if not is_nearer(true, candidate, distance[place - 1], before, pids):
            break
        place -= 1
        if place + 1 < row.shape[0]:
            distance[place + 1] = distance[place]
            row[place + 1] = row[place]
    if place < row.shape[0]:
        distance[place] = true
        row[place] = candidate


@inlined
def replace_worst(true: np.float32, candidate: int, size: int, pids: UInt32s, distance: Float32s, row: Int64s) -> None:
    """Put a candidate in place of the root of a max-heap of `size` by (distance, pid)."""
    slot, child = 0, 1
    while child < size:
        if child + 1 < size and is_nearer(distance[child], row[child], distance[child + 1], row[child + 1], pids):
            child += 1
        if not is_nearer(true, candidate, distance[child], row[child], pids):
            break
        distance[slot], row[slot] = distance[child], row[child]
        slot, child = child, 2 * child + 1
    distance[slot], row[slot] = true, candidate


@inlined
def sort_places(pids: UInt32s, distance: Float32s, row: Int64s) -> None:
    """A max-heap by (distance, pid) becomes an ascending order."""
    for size in range(row.shape[0] - 1, 0, -1):
        true, candidate = distance[size], row[size]
        distance[size], row[size] = distance[0], row[0]
        replace_worst(true, candidate, size, pids, distance, row)
