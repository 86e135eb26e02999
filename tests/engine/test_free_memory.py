"""Free memory goes back to the system, where there is a call for it."""

import sys

import numpy as np
import pytest

from vdb.engine.free_memory import release_free_memory


@pytest.mark.skipif(sys.platform != "linux", reason="the call is glibc's")
def test_what_was_freed_between_what_is_in_use_goes_back() -> None:
    blocks = [np.ones(12_000, np.uint8) for _ in range(4_000)]
    kept = blocks[::10]
    with open("/proc/self/statm", encoding="ascii") as statm:
        blocks.clear()
        before = int(statm.read().split()[1])
        release_free_memory()
        statm.seek(0)
        after = int(statm.read().split()[1])
    assert len(kept) == 400
    assert (before - after) * 4096 > 20e6
