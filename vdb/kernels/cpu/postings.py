"""Kernels of the text index: BM25 over lists of postings.

P = postings, l = lists (a term's, of one audience), k = points kept, n = points asked for. A posting is a u64: pid in
the upper half, then length and frequency, 16 bits each. Lists stand one behind the other, `starts` (l + 1,) says where;
each ascends by pid. A list's postings add weight · f / (f + flat + slope · length) to their points, in the order of the
lists: float64 without fastmath, so the sum of a point depends on its own postings alone, to the last bit, whatever
stands beside them.

Lists are walked side by side, a window of pids at a time: what a window gathers fits the cache, and points come out
with their whole score. Source of the measure: Robertson and Zaragoza 2009, in Lucene's form.
Twins: `vdb/kernels/reference_postings.py`.
"""

import numpy as np
from numba import types

from vdb.kernels.cpu.compiling import compiled_exactly, input_array
from vdb.kernels.reference import Int64s, UInt32s
from vdb.kernels.reference_clustering import Float64s
from vdb.kernels.reference_postings import UInt64s

WINDOW = 8_192
"""Pids of a window; its sums take 64 KiB."""

RANK_POSTINGS = types.int64(
    input_array(types.uint64),  # postings (P,)
    input_array(types.int64),  # starts (l + 1,)
    input_array(types.float64),  # weights (l,), positive
    types.float64,  # flat
    types.float64,  # slope
    input_array(types.uint32),  # allowed, ascending
    types.boolean,  # is_limited: only points that are allowed
    types.float64[::1],  # top_score (k,)
    types.uint32[::1],  # top_pid (k,)
)
SCORE_POINTS = types.void(
    input_array(types.uint64),  # postings (P,)
    input_array(types.int64),  # starts (l + 1,)
    input_array(types.float64),  # weights (l,)
    types.float64,  # flat
    types.float64,  # slope
    input_array(types.uint32),  # pids (n,)
    types.float64[::1],  # score (n,)
)


@compiled_exactly(RANK_POSTINGS)
def rank_postings(
    postings: UInt64s, starts: Int64s, weights: Float64s, flat: float, slope: float, allowed: UInt32s, is_limited: bool,
    top_score: Float64s, top_pid: UInt32s,
) -> int:  # fmt: skip
    """The best points by score, the smaller pid first where it is equal; how many there are, at most k.

    -1 where a list does not ascend, or a frequency is 0: what was found until then is of no use.
    """
    n_lists, k = len(weights), len(top_pid)
    at = starts[:n_lists].copy()
    sums = np.zeros(WINDOW, np.float64)
    seen = np.empty(WINDOW, np.int64)
    n_kept, end = 0, np.int64(0)
    while k > 0:
        base = np.int64(1) << 33
        for i in range(n_lists):
            if at[i] < starts[i + 1]:
                base = min(base, np.int64(postings[at[i]] >> np.uint64(32)))
        if base == np.int64(1) << 33:
            break
        if base < end:
            return -1
        end = base + WINDOW
        n_seen = 0
        for i in range(n_lists):
            place, stop, before = at[i], starts[i + 1], np.int64(-1)
            while place < stop:
                posting = postings[place]
                slot = np.int64(posting >> np.uint64(32)) - base
                if slot >= WINDOW:
                    break
                frequency = np.float64(posting & np.uint64(0xFFFF))
                if slot <= before or frequency == 0:
                    return -1
                before = slot
                length = np.float64((posting >> np.uint64(16)) & np.uint64(0xFFFF))
                if sums[slot] == 0:
                    seen[n_seen] = slot
                    n_seen += 1
                sums[slot] += weights[i] * (frequency / (frequency + (flat + slope * length)))
                place += 1
            at[i] = place
        for j in range(n_seen):
            score, pid = sums[seen[j]], np.uint32(base + seen[j])
            sums[seen[j]] = 0
            if not score > 0 or (
                n_kept == k and (score < top_score[0] or (score == top_score[0] and pid > top_pid[0]))
            ):
                continue
            if is_limited:
                where = np.searchsorted(allowed, pid)
                if where == len(allowed) or allowed[where] != pid:
                    continue
            if n_kept < k:  # sift up: the worst is on top
                child = n_kept
                n_kept += 1
                while child > 0:
                    parent = (child - 1) >> 1
                    if top_score[parent] < score or (top_score[parent] == score and top_pid[parent] > pid):
                        break
                    top_score[child], top_pid[child] = top_score[parent], top_pid[parent]
                    child = parent
                top_score[child], top_pid[child] = score, pid
                continue
            parent = 0  # it takes the place of the worst: sift down
            while True:
                child = 2 * parent + 1
                if child >= k:
                    break
                if child + 1 < k and (
                    top_score[child + 1] < top_score[child]
                    or (top_score[child + 1] == top_score[child] and top_pid[child + 1] > top_pid[child])
                ):
                    child += 1
                if score < top_score[child] or (score == top_score[child] and pid > top_pid[child]):
                    break
                top_score[parent], top_pid[parent] = top_score[child], top_pid[child]
                parent = child
            top_score[parent], top_pid[parent] = score, pid
    for last in range(n_kept - 1, 0, -1):  # the heap, worst last
        score, pid = top_score[last], top_pid[last]
        top_score[last], top_pid[last] = top_score[0], top_pid[0]
        parent = 0
        while True:
            child = 2 * parent + 1
            if child >= last:
                break
            if child + 1 < last and (
                top_score[child + 1] < top_score[child]
                or (top_score[child + 1] == top_score[child] and top_pid[child + 1] > top_pid[child])
            ):
                child += 1
            if score < top_score[child] or (score == top_score[child] and pid > top_pid[child]):
                break
            top_score[parent], top_pid[parent] = top_score[child], top_pid[child]
            parent = child
        top_score[parent], top_pid[parent] = score, pid
    return n_kept


@compiled_exactly(SCORE_POINTS)
def score_points(
    postings: UInt64s, starts: Int64s, weights: Float64s, flat: float, slope: float, pids: UInt32s, score: Float64s
) -> None:
    """The score of each point, 0 where it has none of the terms; equal to that of `rank_postings`, bit for bit."""
    for j in range(len(pids)):
        wanted = np.uint64(pids[j])
        total = 0.0
        for i in range(len(weights)):
            low, high = starts[i], starts[i + 1]
            while low < high:
                middle = (low + high) >> 1
                if postings[middle] >> np.uint64(32) < wanted:
                    low = middle + 1
                else:
                    high = middle
            if low < starts[i + 1] and postings[low] >> np.uint64(32) == wanted:
                frequency = np.float64(max(postings[low] & np.uint64(0xFFFF), np.uint64(1)))
                length = np.float64((postings[low] >> np.uint64(16)) & np.uint64(0xFFFF))
                total += weights[i] * (frequency / (frequency + (flat + slope * length)))
        score[j] = total
