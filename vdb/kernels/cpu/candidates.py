"""Parts of `search_cells`: which rows are scored, which are kept by their estimates, and the best by true distance."""

import numpy as np

from vdb.kernels.cpu.compiling import inlined
from vdb.kernels.reference import Float32s, Int64s, UInt8s, UInt32s

FEW_CANDIDATES = 512
"""Up to so many are compared with each row that may have come before; for more a bit per row says it."""
FEW_PLACES = 128
"""Up to so many answers are kept in their order; more in a heap, which is sorted at the end."""
FEW_SORTED = 96
"""Up to so many candidates are sorted by insertion."""
MANY_ROWS = 256
"""From so many on a sample of their scores says which rows need no look."""
N_SAMPLED = 32
"""Scores that tell about which rows, or entries, are near: of the others most are never copied."""
SPREADS = 2.0
"""Standard deviations of their number in the sample by which more are taken than are expected to do."""


@inlined
def gather(rows_from: UInt32s, is_run: bool, start: int, n: int, capacity: int, rows: UInt32s, place: int) -> int:
    """Append to `rows` what of [start, start + n) of a run or list is not revoked; returns the end."""
    if is_run:
        for i in range(n):
            rows[np.uint64(place + i)] = np.uint32(start + i)
        return place + n
    end = place
    for i in range(n):
        row = rows_from[np.uint64(start + i)]
        rows[np.uint64(end)] = row
        end += row < capacity  # else revoked, or newer than this state
    return end


@inlined
def sift_down(heap_score: Float32s, heap_row: UInt32s, root: int, size: int, score: np.float32, row: np.uint32) -> None:
    """Put (score, row) in place of `root` in a max-heap of `size`."""
    slot = root
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
def is_there(
    row: np.int64, dead_at: UInt32s, added_at: UInt32s, expires_at: UInt32s, n_laid: int, sequence: int, now_s: int
) -> bool:
    """Whether a row is seen at `sequence` and `now_s`."""
    if np.int64(dead_at[row]) <= sequence or (row >= n_laid and np.int64(added_at[row - n_laid]) > sequence):
        return False
    return bool(expires_at.shape[0] == 0 or expires_at[row] == 0 or np.int64(expires_at[row]) > now_s)


@inlined
def is_first(row: np.int64, may_repeat: bool, entered: UInt8s, heap_row: UInt32s, n_held: int) -> bool:
    """Whether a row that may have come before has not."""
    if entered.shape[0] > 0:
        return bool((entered[row >> 3] >> np.uint8(row & 7)) & np.uint8(1) == 0)
    is_new = True
    if may_repeat:
        for slot in range(n_held):
            is_new &= np.int64(heap_row[slot]) != row
    return is_new


@inlined
def shortlist(score: Float32s, above: np.float32, bound: np.float32, short: UInt32s) -> int:
    """The places of the scores in (above, bound], in their order; returns how many."""
    n = 0
    for i in range(score.shape[0]):
        short[np.uint64(n)] = np.uint32(i)
        n += above < score[np.uint64(i)] <= bound
    return n


@inlined
def bound_of_share(score: Float32s, share: float) -> np.float32:
    """A score that so large a share of all lie below, seldom much more of them; +inf where it takes most.

    Of a sample the score that as many lie below as are expected to, and some standard deviations of that number.
    """
    n = score.shape[0]
    expected = N_SAMPLED * share
    chosen = int(expected + SPREADS * np.sqrt(expected) + 1.0)
    if chosen >= N_SAMPLED:
        return np.float32(np.inf)
    nearest = np.full(N_SAMPLED, np.inf, np.float32)
    for i in range(N_SAMPLED):
        sampled = score[i * n // N_SAMPLED]
        place = i
        while place > 0 and nearest[place - 1] > sampled:
            nearest[place] = nearest[place - 1]
            place -= 1
        nearest[place] = sampled
    return np.float32(nearest[chosen])


@inlined
def keep_best(
    rows: UInt32s, score: Float32s, dead_at: UInt32s, added_at: UInt32s, expires_at: UInt32s, n_laid: int,
    sequence: int, now_s: int, may_repeat: bool, entered: UInt8s, heap_score: Float32s, heap_row: UInt32s,
) -> int:  # fmt: skip
    """Keep the best of the rows that are there at `sequence` and `now_s`, each once where they may repeat; returns how
    many.

    `entered` uint8: a bit per row, 0; (0,) where the heap is so small that it is looked through instead. First come
    those below a bound that most of many rows lie above, and the others only if too few of the first are there. Places
    are filled as rows come; once there is none left, the heap is a max-heap. What was evicted cannot come back: its
    score, the same again, is not below the worst.
    """
    size, n = heap_row.shape[0], score.shape[0]
    bound = np.float32(np.inf)
    if n >= MANY_ROWS:
        bound = bound_of_share(score, size / n)
    short = np.empty(n, np.uint32)
    above = np.float32(-np.inf)
    n_held = 0
    is_heap = False
    while True:
        n_short = shortlist(score, above, bound, short)
        for j in range(n_short):
            i = np.uint64(short[np.uint64(j)])
            entering = score[i]
            if is_heap and not entering < heap_score[0]:
                continue
            row = np.int64(rows[i])
            if not is_there(row, dead_at, added_at, expires_at, n_laid, sequence, now_s) or not is_first(
                row, may_repeat, entered, heap_row, n_held
            ):
                continue
            if entered.shape[0] > 0:
                entered[row >> 3] |= np.uint8(1) << np.uint8(row & 7)
            if is_heap:
                sift_down(heap_score, heap_row, 0, size, entering, np.uint32(row))
                continue
            heap_score[n_held], heap_row[n_held] = entering, np.uint32(row)
            n_held += 1
            if n_held == size:
                is_heap = True
                for slot in range(size // 2 - 1, -1, -1):
                    sift_down(heap_score, heap_row, slot, size, heap_score[slot], heap_row[slot])
        if is_heap or bound == np.inf:
            return n_held
        above, bound = bound, np.float32(np.inf)


@inlined
def sort(heap_score: Float32s, heap_row: UInt32s, n: int) -> None:
    """Sort the first `n` ascending by score: few by insertion, many as the max-heap that they are made to be."""
    if n <= FEW_SORTED:
        for i in range(1, n):
            score, row = heap_score[i], heap_row[i]
            place = i
            while place > 0 and heap_score[place - 1] > score:
                heap_score[place], heap_row[place] = heap_score[place - 1], heap_row[place - 1]
                place -= 1
            heap_score[place], heap_row[place] = score, row
        return
    for slot in range(n // 2 - 1, -1, -1):
        sift_down(heap_score, heap_row, slot, n, heap_score[slot], heap_row[slot])
    for size in range(n - 1, 0, -1):
        score, row = heap_score[size], heap_row[size]
        heap_score[size], heap_row[size] = heap_score[0], heap_row[0]
        sift_down(heap_score, heap_row, 0, size, score, row)


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
