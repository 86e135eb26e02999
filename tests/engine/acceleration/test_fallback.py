"""What becomes of searches, and of the device, when it fails them."""

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.engine.acceleration.fakes import Script, accelerated, ask, small_index, tags
from tests.engine.driver import wait_until
from vdb.engine.acceleration.accelerator import MOST_FAILURES
from vdb.engine.acceleration.backoff import FIRST_S, LONGEST_S, Backoff
from vdb.engine.acceleration.figures import Declined
from vdb.index.curator.index import CuratorIndex
from vdb.index.curator.resident import Refusal
from vdb.kernels import acceleration
from vdb.kernels.device import DeviceFailed, DeviceLost, OutOfDeviceMemory
from vdb.kernels.numpy_device import NumpyDevice


@pytest.fixture
def index() -> CuratorIndex:
    return small_index()


def test_out_of_memory_is_answered_by_the_cpu_and_less_is_kept_there(index: CuratorIndex) -> None:
    script = Script(failures=[None, OutOfDeviceMemory("none left")])
    with accelerated(script) as accelerator:
        before = accelerator.residents.most_bytes
        assert tags(accelerator.search(index, 1, [ask(index, 1)])) == [1]
        assert tags(accelerator.search(index, 1, [ask(index, 2), ask(index, 3)])) == [Declined.MEMORY] * 2
        assert accelerator.residents.most_bytes < before
        assert accelerator.figures.n_out_of_memory == 1
        assert tags(accelerator.search(index, 1, [ask(index, 4)])) == [4], "the first time it is tried again at once"
        assert accelerator.figures.declined == {Declined.MEMORY: 2}


def test_memory_that_stays_short_is_left_alone_for_longer_and_longer(index: CuratorIndex) -> None:
    script = Script(failures=[OutOfDeviceMemory("none left")] * 2)
    with accelerated(script) as accelerator:
        found = [tags(accelerator.search(index, 1, [ask(index, 1)])) for _ in range(20)]
        assert found == [[Declined.MEMORY]] * 20
        assert len(script.batches) == 2, "the others did not ask the device"


def test_a_lost_device_is_used_no_more_and_said_to_be_lost_once(
    index: CuratorIndex, caplog: pytest.LogCaptureFixture
) -> None:
    device = NumpyDevice()
    script = Script()
    with accelerated(script, device) as accelerator, caplog.at_level(logging.ERROR):
        accelerator.search(index, 1, [ask(index, 1)])
        device.is_lost = True
        found = [tags(accelerator.search(index, 1, [ask(index, 1)])) for _ in range(5)]
        assert found == [[Declined.LOST]] * 5
        assert accelerator.is_lost and accelerator.residents.nbytes == 0
    assert len(script.batches) == 2
    assert [record.message for record in caplog.records] == ["a device is lost, the CPU answers from now on"]
    assert device.n_bytes == 0


def test_a_device_that_fails_otherwise_fails_no_search_and_its_copy_is_made_anew(index: CuratorIndex) -> None:
    script = Script(failures=[AssertionError("a bug"), None])
    with accelerated(script) as accelerator:
        assert tags(accelerator.search(index, 1, [ask(index, 1)])) == [Declined.FAILED]
        assert tags(accelerator.search(index, 1, [ask(index, 2)])) == [2]
        assert (script.n_made, script.n_closed) == (2, 1)
        assert accelerator.figures.n_failures == 1


def test_a_device_that_goes_on_failing_is_taken_for_lost(index: CuratorIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "is_pausing", property(lambda self: False))
    script = Script(failures=[DeviceFailed("again")] * MOST_FAILURES)
    with accelerated(script) as accelerator:
        for _ in range(MOST_FAILURES):
            assert tags(accelerator.search(index, 1, [ask(index, 1)])) == [Declined.FAILED]
        assert tags(accelerator.search(index, 1, [ask(index, 1)])) == [Declined.LOST]


def test_a_lost_device_is_closed_in_its_turn_and_builds_do_without_it(
    index: CuratorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Backoff, "is_pausing", property(lambda self: False))
    device, has_turn, closed_in_turn = NumpyDevice(), [False], []
    script = Script(failures=[DeviceFailed("again")] * MOST_FAILURES)

    @contextmanager
    def turn() -> Iterator[None]:
        has_turn[0] = True
        yield
        has_turn[0] = False

    def close() -> None:
        closed_in_turn.append(has_turn[0])

    device.close = close  # type: ignore[method-assign]
    acceleration.set_device(device)
    try:
        with accelerated(script, device, turn=turn) as accelerator:
            for _ in range(MOST_FAILURES + 1):
                accelerator.search(index, 1, [ask(index, 1)])
            assert accelerator.is_lost and acceleration.device() is None
    finally:
        acceleration.set_device(None)
    assert closed_in_turn and all(closed_in_turn)


def test_a_device_that_is_lost_while_memory_is_given_back_is_lost(index: CuratorIndex) -> None:
    device = NumpyDevice()
    script = Script(failures=[OutOfDeviceMemory("none left")])
    with accelerated(script, device) as accelerator:

        def lose() -> None:
            raise DeviceLost("gone")

        accelerator.residents.shrink = lose  # type: ignore[method-assign]
        assert tags(accelerator.search(index, 1, [ask(index, 1)])) == [Declined.MEMORY]
        assert tags(accelerator.search(index, 1, [ask(index, 1)])) == [Declined.LOST]


def test_what_a_copy_refuses_is_told_query_by_query(index: CuratorIndex) -> None:
    script = Script(refuses=lambda one: Refusal.NOT_RESIDENT if one.query[0] == 1 else None)
    with accelerated(script) as accelerator:
        found = accelerator.search(index, 1, [ask(index, tag) for tag in range(3)])
        assert tags(found) == [0, Refusal.NOT_RESIDENT, 2]
        assert (accelerator.figures.n_searched, accelerator.figures.declined) == (2, {Refusal.NOT_RESIDENT: 1})


def test_a_copy_goes_with_its_index(index: CuratorIndex) -> None:
    script, other = Script(), small_index(1)
    with accelerated(script) as accelerator:
        accelerator.search(other, 1, [ask(other, 1)])
        del other
        gc.collect()
        accelerator.search(index, 1, [ask(index, 1)])
        assert (script.n_made, script.n_closed) == (2, 1)
    assert script.n_closed == 2


def test_what_is_to_be_there_comes_while_nobody_waits(index: CuratorIndex) -> None:
    script = Script(n_to_bring=5)
    with accelerated(script) as accelerator:
        accelerator.search(index, 1, [ask(index, 1)])
        wait_until(lambda: script.n_brought == 5)
        assert accelerator.residents.traffic().n_pages_in == 1
        accelerator.search(index, 1, [ask(index, 1)])
        wait_until(lambda: script.n_brought == 6)


def test_nothing_is_left_on_the_device_in_the_end(index: CuratorIndex) -> None:
    device = NumpyDevice()
    with accelerated(Script(), device) as accelerator:
        accelerator.search(index, 1, [ask(index, 1)])
        assert device.n_bytes > 0
        assert accelerator.residents.nbytes_of(index) == accelerator.residents.nbytes == device.n_bytes
    assert device.n_bytes == 0 and device.is_lost


def test_pauses_double_up_to_a_minute() -> None:
    now = [0.0]
    backoff = Backoff(lambda: now[0])

    def is_pausing() -> bool:
        return backoff.is_pausing

    backoff.fail()
    assert not is_pausing()
    pauses = []
    for _ in range(14):
        backoff.fail()
        began = now[0]
        while is_pausing():
            now[0] += FIRST_S / 100
        pauses.append(now[0] - began)
    assert pauses[:3] == pytest.approx([FIRST_S, 2 * FIRST_S, 4 * FIRST_S], rel=0.05)
    assert pauses[-1] == pytest.approx(LONGEST_S, abs=FIRST_S)
    backoff.succeed()
    assert not backoff.is_pausing and backoff.n_in_a_row == 0


def test_a_cap_that_holds_no_page_leaves_the_cpu_to_answer(index: CuratorIndex) -> None:
    script = Script()
    with accelerated(script) as accelerator:
        accelerator.residents.most_bytes = accelerator.residents._first_bytes = 10
        assert tags(accelerator.search(index, 1, [ask(index, 1)])) == [Declined.MEMORY]
    assert script.n_made == 0
