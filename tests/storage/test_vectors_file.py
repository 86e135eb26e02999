"""The vectors file: rows by pid that stay readable as it grows, holes for the dead, marks that outlive a crash."""

import errno
import gc
import mmap
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from numpy.typing import NDArray

from vdb.errors import CorruptData, DiskFull, InternalError, StorageFailure
from vdb.storage.vectors_file import PAGE_BYTES, VectorsFile

D = 5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vectors"


@pytest.fixture
def file(path: Path) -> Iterator[VectorsFile]:
    file = VectorsFile(path, D)
    yield file
    file.close()


def pids(*numbers: int) -> NDArray[np.uint32]:
    return np.array(numbers, np.uint32)


def vectors_of(numbers: NDArray[np.uint32], dimension: int = D, shift: int = 0) -> NDArray[np.float32]:
    """Vectors that tell their pid, none of them zero."""
    return np.repeat((numbers.astype(np.float32) + 1 + shift)[:, None], dimension, axis=1)


def test_vectors_are_rows_by_pid_in_whatever_order_they_came(file: VectorsFile) -> None:
    found = pids(7, 3, 4, 900, 5, 0)
    file.put(found, vectors_of(found))
    assert (file.rows[found] == vectors_of(found)).all()
    others = np.setdiff1d(np.arange(file.n_slots), found)
    assert not file.rows[others].any(), "a pid without a vector has zeros"
    assert (str(file.rows.dtype), file.rows.shape[1], file.rows.flags.c_contiguous) == ("float32", D, True)


def test_a_vector_is_replaced_and_of_two_in_one_write_the_last_counts(file: VectorsFile) -> None:
    file.put(pids(2, 1, 2), np.array([[1] * D, [2] * D, [3] * D], np.float32))
    assert file.rows[1:3, 0].tolist() == [2, 3]
    file.put(pids(2), np.full((1, D), 9, np.float32))
    assert file.rows[1:3, 0].tolist() == [2, 9]
    file.put(pids(), np.empty((0, D), np.float32))


def test_vectors_in_another_order_of_memory_are_written_as_they_are(
    file: VectorsFile, rng: np.random.Generator
) -> None:
    block = np.asfortranarray(rng.standard_normal((4, D), np.float32))
    file.put(pids(0, 1, 2, 3), block)
    assert (file.rows[:4] == block).all()


def test_vectors_of_another_shape_are_refused(file: VectorsFile) -> None:
    for shape in ((2, D), (1, D + 1), (D,)):
        with pytest.raises(InternalError, match="have shape"):
            file.put(pids(1), np.zeros(shape, np.float32))


def test_rows_cannot_be_written_to(file: VectorsFile) -> None:
    file.put(pids(0), vectors_of(pids(0)))
    with pytest.raises(ValueError, match="read-only"):
        file.rows[0, 0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        file.rows.flags.writeable = True


def test_rows_that_are_held_stay_valid_while_the_file_grows_and_after_it_is_closed(path: Path) -> None:
    file = VectorsFile(path, D)
    file.put(pids(1), vectors_of(pids(1)))
    held = file.rows
    file.put(pids(10_000_000), vectors_of(pids(10_000_000)))
    assert len(file.rows) > 10_000_000 > len(held)
    assert (held[1] == file.rows[1]).all() and held.base is not file.rows.base
    file.put(pids(1), vectors_of(pids(1), shift=5))
    assert held[1, 0] == 7, "older rows show what is written"
    latest = file.rows
    file.close()
    del file
    gc.collect()
    assert (latest[10_000_000, 0], held[1, 0], latest[1, 0]) == (10_000_001, 7, 7)


def test_a_file_asked_for_as_a_whole_is_as_it_was(file: VectorsFile) -> None:
    file.prefault()
    file.put(pids(3, 900), vectors_of(pids(3, 900)))
    file.prefault()
    np.testing.assert_array_equal(file.rows[[3, 900]], vectors_of(pids(3, 900)))


def test_mappings_that_nobody_holds_any_more_go(file: VectorsFile) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("the system does not list a process's descriptors")
    n_before = len(os.listdir("/proc/self/fd"))
    for i in range(20):
        file.put(pids(i * 1_000_000), vectors_of(pids(i * 1_000_000)))
    assert len(os.listdir("/proc/self/fd")) == n_before


def test_a_file_opens_again_with_what_was_in_it(path: Path) -> None:
    found = np.arange(1000, dtype=np.uint32)
    for round_number in range(3):
        file = VectorsFile(path, D)
        assert file.marked_sequence == 10 * round_number
        if round_number:
            assert (file.rows[:1000] == vectors_of(found, shift=round_number - 1)).all()
        file.put(found, vectors_of(found, shift=round_number))
        file.mark(10 * (round_number + 1))
        file.close()


def test_readers_in_threads_see_whole_vectors_while_the_file_grows(file: VectorsFile) -> None:
    done, wrong = threading.Event(), []
    last = -1

    def read() -> None:
        while not done.is_set():
            n = last + 1  # written before
            rows = file.rows[:n]
            if not (rows == vectors_of(np.arange(n, dtype=np.uint32))).all():
                wrong.append(n)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for first in range(0, 40_000, 400):
        found = np.arange(first, first + 400, dtype=np.uint32)
        file.put(found, vectors_of(found))
        file.put(found[:1] + 3_000_000 + first * 1000, np.ones((1, D), np.float32))
        last = first + 399
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []


# Marks and crashes


CRASHING = """
import os, signal, sys
from pathlib import Path
import numpy as np
from vdb.storage.vectors_file import VectorsFile

file = VectorsFile(Path(sys.argv[1]), 5)
pids = np.arange(3000, dtype=np.uint32)
file.put(pids, np.full((3000, 5), 1, np.float32))
file.mark(41)
file.put(pids[:10] + 1_000_000, np.full((10, 5), 2, np.float32))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_its_mark_and_all_up_to_it(path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", CRASHING, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    file = VectorsFile(path, D)
    assert file.marked_sequence == 41 and (file.rows[:3000] == 1).all()
    file.close()


def test_a_mark_is_written_after_the_vectors_are_synced(file: VectorsFile, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    pwrite, fsync = os.pwrite, os.fsync

    def writing(handle: int, data: Any, at: int) -> int:
        calls.append(at)
        return pwrite(handle, data, at)

    def syncing(handle: int) -> None:
        calls.append("sync")
        fsync(handle)

    monkeypatch.setattr(os, "pwrite", writing)
    monkeypatch.setattr(os, "fsync", syncing)
    file.put(pids(0), vectors_of(pids(0)))
    file.mark(3)
    assert calls == [PAGE_BYTES, "sync", 0, "sync"]


def test_a_file_that_could_not_be_synced_is_never_marked_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    file = VectorsFile(path, D)
    file.mark(5)
    with monkeypatch.context() as patched, pytest.raises(StorageFailure, match="cannot be synced"):
        patched.setattr(os, "fsync", fail)
        file.mark(6)
    with pytest.raises(StorageFailure, match="has to be made anew"):
        file.mark(7)
    with pytest.raises(StorageFailure, match="has to be made anew"):
        file.flush()
    assert file.marked_sequence == 5
    file.close()
    assert VectorsFile(path, D).marked_sequence == 5


# A full disk


def test_a_full_disk_is_an_error_and_not_a_signal(file: VectorsFile, monkeypatch: pytest.MonkeyPatch) -> None:
    file.put(pids(0), vectors_of(pids(0)))
    pwrite = os.pwrite
    for number, error in ((errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EIO, StorageFailure)):

        def fail(handle: int, data: Any, at: int, number: int = number) -> int:
            if at > PAGE_BYTES:
                raise OSError(number, os.strerror(number))
            return pwrite(handle, data, at)

        with monkeypatch.context() as patched, pytest.raises(StorageFailure) as raised:
            patched.setattr(os, "pwrite", fail)
            file.put(pids(0, 9_000_000), vectors_of(pids(0, 9_000_000)))
        assert type(raised.value) is error
    assert (file.rows[0] == vectors_of(pids(0))).all() and not file.rows[9_000_000].any()
    file.put(pids(9_000_000), vectors_of(pids(9_000_000)))
    assert (file.rows[9_000_000] == vectors_of(pids(9_000_000))).all(), "once there is room it goes on"


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB, in memory."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system needs root and Linux")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def test_on_a_disk_that_is_full_nothing_that_was_put_is_lost_or_ends_the_process(tiny_disk: Path) -> None:
    file = VectorsFile(tiny_disk / "vectors", 256)
    every = np.arange(10_000, dtype=np.uint32)
    with pytest.raises(DiskFull):
        file.put(every, vectors_of(every, 256))
    file.put(every[:100], vectors_of(every[:100], 256, shift=1))
    file.free(every[:1000])
    assert file.rows[:1500].all(), "freed slots are no holes here: reading one on a full tmpfs is SIGBUS"
    assert (file.rows[100:1500] == vectors_of(every[100:1500], 256)).all()
    file.mark(4)
    file.close()


def test_a_file_that_cannot_grow_is_a_storage_failure_and_stays_as_it_was(
    file: VectorsFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    n_slots = file.n_slots
    with monkeypatch.context() as patched, pytest.raises(StorageFailure, match="cannot be written"):
        patched.setattr(os, "ftruncate", fail)
        file.put(pids(1), vectors_of(pids(1)))
    assert file.n_slots == n_slots


def test_writes_that_the_system_cuts_short_are_gone_on_with(file: VectorsFile, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda handle, data, at: pwrite(handle, data[:13], at))
    found = np.arange(50, dtype=np.uint32)
    file.put(found, vectors_of(found))
    assert (file.rows[:50] == vectors_of(found)).all()


# Damage


@pytest.fixture
def made(path: Path) -> Path:
    """A file with vectors and a mark."""
    file = VectorsFile(path, D)
    file.put(pids(0, 1, 2), vectors_of(pids(0, 1, 2)))
    file.mark(9)
    file.close()
    return path


def test_every_byte_of_the_head_is_watched(made: Path) -> None:
    whole = made.read_bytes()
    for position in range(36):
        made.write_bytes(whole[:position] + bytes((whole[position] ^ 1,)) + whole[position + 1 :])
        with pytest.raises(CorruptData):
            VectorsFile(made, D)


@pytest.mark.parametrize("n_bytes", [1, 35, 36, PAGE_BYTES - 1, PAGE_BYTES, PAGE_BYTES + 12, (4 << 20)])
def test_a_file_cut_short_is_corrupt(made: Path, n_bytes: int) -> None:
    os.truncate(made, n_bytes)
    with pytest.raises(CorruptData):
        VectorsFile(made, D)


def test_a_file_of_another_dimension_or_layout_or_of_something_else_is_corrupt(made: Path) -> None:
    with pytest.raises(CorruptData, match="dimension 5"):
        VectorsFile(made, D + 1)
    body = struct.pack("<8sIIQQ", b"vdbvects", 2, D, 9, PAGE_BYTES)
    made.write_bytes((body + struct.pack("<I", crc32(body))).ljust(PAGE_BYTES, b"\0"))
    with pytest.raises(CorruptData, match="layout 2"):
        VectorsFile(made, D)
    made.write_bytes(b"x" * 3 * PAGE_BYTES)
    with pytest.raises(CorruptData, match="no file of vectors"):
        VectorsFile(made, D)


def test_a_file_that_a_crash_left_empty_is_made_anew(path: Path) -> None:
    path.touch()
    file = VectorsFile(path, D)
    assert (file.marked_sequence, file.n_slots) == (0, 0)
    file.close()


def test_what_cannot_be_opened_is_a_storage_failure_and_holds_no_descriptor(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageFailure, match="cannot be opened"):
        VectorsFile(made.parent / "missing" / "vectors", D)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    if Path("/proc/self/fd").exists():
        n_before = len(os.listdir("/proc/self/fd"))
        with monkeypatch.context() as patched, pytest.raises(StorageFailure, match="cannot be opened"):
            patched.setattr(mmap, "mmap", fail)
            VectorsFile(made, D)
        with pytest.raises(CorruptData):
            VectorsFile(made, D + 1)
        assert len(os.listdir("/proc/self/fd")) == n_before
