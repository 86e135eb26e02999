"""After the start the collector leaves alone what the libraries have made."""

import gc
import threading
from collections.abc import Iterator

import pytest

from vdb_api import heap


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_is_there_after_the_start_is_frozen() -> None:
    heap.settle(lambda _: None).join(20)
    assert gc.get_freeze_count() > 10_000 > len(gc.get_objects())


def test_the_kernels_are_waited_for() -> None:
    loaded = threading.Event()

    def await_kernels(timeout_s: float) -> None:
        loaded.wait(min(timeout_s, 20))

    thread = heap.settle(await_kernels)
    assert gc.get_freeze_count() == 0
    loaded.set()
    thread.join(20)
    assert gc.get_freeze_count() > 0
