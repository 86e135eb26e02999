"""Array files mapped privately: what is read is the file's, what is written is not, and room follows."""

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vdb.errors import CorruptData
from vdb.storage import arrays as module
from vdb.storage.arrays import LEAST_MAPPED_BYTES, map_arrays, save_arrays
from vdb.storage.private_map import map_privately

HEAD = {"sequence": 7}
N = LEAST_MAPPED_BYTES // 4 + 10
ARRAYS: dict[str, Any] = {
    "rows": np.arange(3 * N, dtype=np.uint32).reshape(N, 3),
    "few": np.arange(5, dtype=np.int64),
    "one": np.array(3.5),
    "none": np.empty((0, 5), np.uint32),
    "last": np.arange(N, dtype=np.float32),
}
MORE = {"rows": 2 * N, "few": 9, "none": 4}


def room(name: str, n: int) -> int:
    return MORE.get(name, n)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "x.arrays"
    save_arrays(path, HEAD, ARRAYS)
    return path


def is_mapped(array: Any) -> bool:
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, memoryview) and isinstance(array.obj, mmap.mmap)


def assert_as_saved(path: Path) -> None:
    head, arrays, roomy = map_arrays(path, room)
    assert head == HEAD and list(arrays) == list(roomy) == list(ARRAYS)
    for name, wanted in ARRAYS.items():
        assert np.array_equal(arrays[name], wanted) and arrays[name].dtype == wanted.dtype
        assert roomy[name].shape == ((room(name, len(wanted)), *wanted.shape[1:]) if wanted.shape else ())
        assert np.shares_memory(arrays[name], roomy[name]) or not wanted.size


def test_large_arrays_are_mapped_with_room_behind(saved: Path) -> None:
    assert_as_saved(saved)
    _, arrays, roomy = map_arrays(saved, room)
    assert [name for name in ARRAYS if is_mapped(arrays[name])] == ["rows", "last"]
    assert not roomy["rows"][-1].any()


def test_what_is_written_stays_in_memory(saved: Path) -> None:
    _, arrays, roomy = map_arrays(saved, room)
    for array in roomy.values():
        assert array.flags.c_contiguous and array.flags.writeable and array.flags.aligned
        array[...] = 1
    assert (arrays["rows"] == 1).all() and (roomy["rows"] == 1).all()
    assert_as_saved(saved)


def test_what_was_mapped_outlives_its_file(saved: Path) -> None:
    _, arrays, _ = map_arrays(saved, room)
    save_arrays(saved, {}, {"rows": np.zeros(3)})
    assert np.array_equal(arrays["rows"], ARRAYS["rows"])
    saved.unlink()
    assert np.array_equal(arrays["last"], ARRAYS["last"])


def test_reading_takes_no_memory_of_the_processs_own(tmp_path: Path) -> None:
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("anonymous memory is counted on Linux")

    def anonymous_bytes() -> int:
        line = next(line for line in status.read_text().splitlines() if line.startswith("RssAnon:"))
        return int(line.split()[1]) << 10

    path = tmp_path / "x.arrays"
    save_arrays(path, {}, {"rows": np.ones(64 << 20, np.uint8)})
    before = anonymous_bytes()
    _, arrays, roomy = map_arrays(path, lambda _, n: 2 * n)
    assert int(arrays["rows"].sum()) == 64 << 20
    assert anonymous_bytes() - before < 16 << 20
    roomy["rows"][64 << 20 :] = 1
    assert anonymous_bytes() - before > 48 << 20


@pytest.mark.parametrize("granularity", [1 << 14, 1 << 16])
def test_pages_may_be_larger_than_those_of_the_file(
    saved: Path, monkeypatch: pytest.MonkeyPatch, granularity: int
) -> None:
    monkeypatch.setattr(mmap, "ALLOCATIONGRANULARITY", granularity)
    assert_as_saved(saved)


def test_where_files_cannot_be_mapped_they_are_read(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("not here")

    monkeypatch.setattr(module, "map_privately", fail)
    assert_as_saved(saved)
    assert not is_mapped(map_arrays(saved)[1]["rows"])


def test_a_mapping_that_fails_leaves_its_memory_alone(tmp_path: Path) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match=r"No such device|Permission denied|Invalid argument"):
            map_privately(handle, 0, 4096, 4096)
    finally:
        os.close(handle)


def test_damage_is_found_unless_it_is_not_looked_for(saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    data[-1] ^= 1
    saved.write_bytes(data)
    with pytest.raises(CorruptData, match="damaged array last"):
        map_arrays(saved)
    assert np.array_equal(map_arrays(saved, is_checked=False)[1]["rows"], ARRAYS["rows"])
    saved.write_bytes(data[:-1])
    with pytest.raises(CorruptData, match="cut short"):
        map_arrays(saved, is_checked=False)
