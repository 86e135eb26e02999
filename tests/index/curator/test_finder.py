"""The row of a pid, whatever order points come and are replaced in, and what it takes to know it."""

from dataclasses import replace

import numpy as np
import pytest

from vdb.index.curator import finder as module
from vdb.index.curator.finder import Finder
from vdb.index.curator.state import ALIVE, NO_PLACES, Rows


def some_rows(pids: np.ndarray, n_laid: int) -> Rows:
    n = len(pids)
    of_rows = np.zeros(n, np.uint32)
    return Rows(
        codes=np.zeros((n, 4), np.uint8), offsets=np.zeros(0, np.float32),
        pids=pids.astype(np.uint32), slots=of_rows, owners=of_rows, cells=of_rows, dead_at=np.full(n, ALIVE, np.uint32),
        added_at=np.zeros(n - n_laid, np.uint32), expires_at=NO_PLACES, n_laid=n_laid, base_sequence=0,
    )  # fmt: skip


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
def test_the_newest_live_row_of_each_pid_is_found(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """`share` of what is written replaces points."""
    monkeypatch.setattr(module, "MOST_LOOSE", 7)
    n_laid, n = 50, 800
    pids = np.concatenate((rng.permutation(n_laid), np.zeros(n - n_laid, np.int64)))
    rows = some_rows(pids, n_laid)
    finder = Finder(rows)
    truth = {int(pid): row for row, pid in enumerate(pids[:n_laid])}
    next_pid, first = n_laid, n_laid
    while first < n:
        size = min(int(rng.integers(1, 12)), n - first)
        new = [next_pid + i for i in range(size)]
        if rng.random() < share:
            new = rng.choice(next_pid, min(size, next_pid), replace=False).tolist()
        next_pid = max(next_pid, max(new) + 1)
        old = finder.find(rows, np.array(new, np.uint32))
        assert old.tolist() == [truth.get(pid, -1) for pid in new]
        rows.dead_at[old[old >= 0]] = 1
        stop = first + len(new)
        rows.pids[first:stop] = new
        finder.add(rows, first, stop)
        truth |= {pid: first + i for i, pid in enumerate(new)}
        if rng.random() < 0.2:
            gone = int(rng.choice(list(truth)))
            rows.dead_at[truth.pop(gone)] = 1
        first = stop
    asked = np.arange(next_pid + 5, dtype=np.uint32)
    assert finder.find(rows, asked).tolist() == [truth.get(pid, -1) for pid in asked.tolist()]


def test_new_points_after_a_replaced_one_take_few_bytes(rng: np.random.Generator) -> None:
    """One replaced point sent every later one to a dict, 100 bytes each."""
    n_laid, n_late = 1_000, 50_000
    pids = np.arange(n_laid + n_late)
    pids[n_laid] = 5
    rows = some_rows(pids, n_laid)
    finder = Finder(rows)
    before = finder.nbytes
    for first in range(n_laid, n_laid + n_late, 100):
        finder.add(rows, first, first + 100)
    assert finder.nbytes - before < 10 * n_late + 100 * 2 * module.MOST_LOOSE
    assert len(finder._blocks) < 10
    found = finder.find(replace(rows), np.array([5, 6, 700, 20_000, 50_999], np.uint32))
    assert found.tolist() == [n_laid, 6, 700, 20_000, 50_999]
