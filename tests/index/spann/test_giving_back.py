"""Large arrays give their memory back before they are freed; what is another's stays."""

import sys
from pathlib import Path

import numpy as np
import pytest

from vdb.index.spann.giving_back import LEAST_BYTES, give_back


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * 4096


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere arrays are freed as they are")
def test_the_memory_is_gone_and_the_array_is_freed_as_ever() -> None:
    array = np.ones(64 << 20, np.uint8)
    before = resident_bytes()
    assert give_back(array)
    assert before - resident_bytes() > 48 << 20
    del array
    assert np.ones(64 << 20, np.uint8).all(), "memory that is taken anew is whole"


def test_small_arrays_views_and_files_are_left_alone(tmp_path: Path) -> None:
    small, large = np.ones(LEAST_BYTES // 2, np.uint8), np.ones(4 * LEAST_BYTES, np.uint8)
    np.save(tmp_path / "mapped.npy", large)
    mapped = np.load(tmp_path / "mapped.npy", mmap_mode="c")
    for array in (small, large[:-1], mapped, np.asarray(mapped), large.reshape(2, -1).T):
        assert not give_back(array)
        assert array.all()
