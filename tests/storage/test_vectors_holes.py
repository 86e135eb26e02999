"""Holes in the vectors file: pages that hold nothing but freed slots take no disk, and no other vector is touched."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.storage.test_vectors_file import D, pids, vectors_of
from vdb.storage import vectors_file as module
from vdb.storage.holes import punch_hole
from vdb.storage.vectors_file import PAGE_BYTES, VectorsFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vectors"


@pytest.fixture
def file(path: Path) -> Iterator[VectorsFile]:
    file = VectorsFile(path, D)
    yield file
    file.close()


def disk_bytes(path: Path) -> int:
    return path.stat().st_blocks * 512


def has_holes(folder: Path) -> bool:
    handle = os.open(folder / "try", os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(handle, b"x" * 64 * PAGE_BYTES, 0)
        return punch_hole(handle, 0, 64 * PAGE_BYTES)
    finally:
        os.close(handle)


def test_growth_takes_no_disk(file: VectorsFile, path: Path, tmp_path: Path) -> None:
    if not has_holes(tmp_path):
        pytest.skip("the file system has no holes")
    file.put(pids(50_000_000), vectors_of(pids(50_000_000)))
    file.flush()
    assert path.stat().st_size > 1_000_000_000 and disk_bytes(path) < 64 * PAGE_BYTES


@pytest.mark.parametrize("dimension", [1, 3, 384, 1024, 1500])
def test_pages_that_hold_only_freed_slots_take_no_disk(path: Path, tmp_path: Path, dimension: int) -> None:
    if not has_holes(tmp_path):
        pytest.skip("the file system has no holes")
    n = 400 * PAGE_BYTES // (4 * dimension)
    every = np.arange(n, dtype=np.uint32)
    file = VectorsFile(path, dimension)
    file.put(every, vectors_of(every, dimension))
    file.flush()
    before = disk_bytes(path)
    kept = np.array([0, n // 2, n - 1], np.uint32)
    file.free(np.setdiff1d(every, kept))
    n_pages_kept = 1 + 3 * (4 * dimension // PAGE_BYTES + 2)
    assert before >= 400 * PAGE_BYTES and disk_bytes(path) <= n_pages_kept * PAGE_BYTES
    assert (file.rows[kept] == vectors_of(kept, dimension)).all()
    assert np.flatnonzero(file.rows.any(axis=1)).size <= 3 * (PAGE_BYTES // (4 * dimension) + 2) * 2
    file.close()


def test_slots_freed_one_by_one_give_their_page_back_with_the_last(path: Path, tmp_path: Path) -> None:
    if not has_holes(tmp_path):
        pytest.skip("the file system has no holes")
    file = VectorsFile(path, 256)  # four to a page
    every = np.arange(64, dtype=np.uint32)
    file.put(every, vectors_of(every, 256))
    file.flush()
    sizes = []
    for pid in (20, 22, 23, 21):
        file.free(pids(pid))
        sizes.append(disk_bytes(path))
    assert sizes[0] == sizes[1] == sizes[2] == sizes[3] + PAGE_BYTES
    file.put(pids(21), vectors_of(pids(21), 256))
    file.free(pids(20, 22, 23))
    assert (file.rows[21] == vectors_of(pids(21), 256)).all(), "a slot that is used again keeps its page"
    file.close()


def test_pids_beyond_the_file_are_freed_already(file: VectorsFile) -> None:
    file.free(pids(1, 2**32 - 1))
    file.put(pids(1), vectors_of(pids(1)))
    file.free(pids(5, file.n_slots, 2**32 - 1))
    assert (file.rows[1] == vectors_of(pids(1))).all()


def test_without_holes_freeing_changes_nothing(file: VectorsFile, monkeypatch: pytest.MonkeyPatch) -> None:
    every = np.arange(5_000, dtype=np.uint32)
    file.put(every, vectors_of(every))
    monkeypatch.setattr(module, "punch_hole", lambda *_: False)
    file.free(every)
    assert (file.rows[every] == vectors_of(every)).all()


@pytest.mark.parametrize("dimension", [1, 7, 300, 1024])
def test_random_writes_and_frees_leave_every_vector_that_is_there_right(
    path: Path, dimension: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FREED_AT_ONCE", 7)
    monkeypatch.setattr(module, "GROWTH_BYTES", PAGE_BYTES)
    n = 3_000 // dimension + 60
    live: dict[int, float] = {}
    file = VectorsFile(path, dimension)
    for step in range(120):
        chosen = rng.integers(0, n, int(rng.integers(0, 40))).astype(np.uint32)
        if rng.random() < 0.5:
            file.put(chosen, np.full((len(chosen), dimension), step + 1, np.float32))
            live |= dict.fromkeys(chosen.tolist(), step + 1)
        else:
            start = int(rng.integers(0, n))
            chosen = np.append(chosen, np.arange(start, start + n // 4, dtype=np.uint32))
            file.free(chosen)
            for pid in chosen.tolist():
                live.pop(pid, None)
        if step % 10 == 9:
            file.close()
            file = VectorsFile(path, dimension)
        found = np.array(sorted(live), np.int64)
        wanted = np.array([live[pid] for pid in found.tolist()], np.float32)
        assert (file.rows[found] == wanted[:, None]).all()
    file.close()


def test_holes_are_reported_as_made_or_not_to_be_had(path: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        handle = os.open(path, os.O_RDWR | os.O_CREAT)
        os.close(handle)
        if not punch_hole(handle, 0, PAGE_BYTES):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))  # a system without holes looks at nothing
