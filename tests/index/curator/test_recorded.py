"""The reservoir of recent queries."""

import threading

import numpy as np

from vdb.index.curator.recorded import MAX_BYTES, MOST_KEPT, ONE_IN, RecordedQueries


def numbered(first: int, n: int, d: int = 3) -> np.ndarray:
    return np.repeat(np.arange(first, first + n, dtype=np.float32)[:, None], d, axis=1)


def test_the_first_queries_are_all_kept() -> None:
    recorded = RecordedQueries(3)
    for i in range(0, 300, 3):
        recorded.note(numbered(i, 3))
    assert len(recorded) == recorded.n_recorded == 300
    assert np.array_equal(recorded.rows, numbered(0, 300))


def test_later_queries_take_the_place_of_others_and_the_newest_are_there_most() -> None:
    recorded = RecordedQueries(3, seed=1)
    n = 4 * ONE_IN * MOST_KEPT
    for i in range(n):
        recorded.note(numbered(i, 1))
    kept = recorded.rows[:, 0]
    assert len(kept) == MOST_KEPT and len(np.unique(kept)) == MOST_KEPT
    assert (kept >= n / 2).sum() > 0.75 * MOST_KEPT
    assert abs(recorded.n_recorded - MOST_KEPT - n / ONE_IN) < 0.1 * n / ONE_IN


def test_a_request_of_many_queries_does_not_take_all_places() -> None:
    recorded = RecordedQueries(3, seed=1)
    recorded.note(numbered(0, MOST_KEPT))
    for _ in range(2 * ONE_IN):
        recorded.note(numbered(10_000, 1))
    recorded.note(numbered(20_000, 1_000))
    assert (recorded.rows[:, 0] >= 20_000).sum() <= 1 + 1_000 // ONE_IN


def test_switched_off_nothing_is_kept() -> None:
    recorded = RecordedQueries(3, is_on=False)
    recorded.note(numbered(0, 5_000))
    recorded.restore(numbered(0, 10))
    assert len(recorded) == 0 and recorded.rows.shape == (0, 3) and recorded.nbytes == 0


def test_long_queries_are_kept_in_bounded_memory() -> None:
    recorded = RecordedQueries(8192)
    for _ in range(20):
        recorded.note(np.zeros((64, 8192), np.float32))
    assert len(recorded) == MAX_BYTES // (4 * 8192) and recorded.nbytes <= MAX_BYTES


def test_what_was_saved_joins_what_was_kept_since() -> None:
    recorded = RecordedQueries(3)
    recorded.note(numbered(0, 10))
    recorded.restore(numbered(100, MOST_KEPT))
    assert len(recorded) == MOST_KEPT and recorded.n_recorded == 10
    assert set(recorded.rows[:10, 0]) == set(range(10))


def test_a_copy_is_handed_out() -> None:
    recorded = RecordedQueries(3)
    recorded.note(numbered(0, 2))
    recorded.rows[:] = -1
    assert np.array_equal(recorded.rows, numbered(0, 2))


def test_threads_note_at_once() -> None:
    recorded = RecordedQueries(2, seed=0)

    def ask(first: int) -> None:
        for i in range(3_000):
            recorded.note(numbered(first + i, 1, 2))

    threads = [threading.Thread(target=ask, args=(10_000 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = recorded.rows
    assert len(rows) == MOST_KEPT and np.array_equal(rows[:, 0], rows[:, 1])
