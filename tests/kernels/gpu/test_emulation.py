"""What the emulation of a GPU finds: each fault of `faults.cu`, wrong arguments, memory that nobody wrote."""

from pathlib import Path

import numpy as np
import pytest

from tests.kernels.gpu.emulated.build import kernels_of
from tests.kernels.gpu.emulated.driver import EmulatedDriver, KernelFault
from vdb.kernels.device import DeviceLost, OutOfDeviceMemory
from vdb.kernels.gpu import sources

POISON = np.frombuffer(b"\xcd" * 4, np.int32)[0]
FAULTS = {
    "part_at_barrier": r"__syncthreads\(\)",
    "two_barriers": r"while other threads are at the one in line",
    "lane_is_missing": r"waits for lanes that do not come; 0xfffffff7 are there",
    "lane_is_not_in_mask": r"thread 31: .* lacks the lane itself",
    "from_lane_outside": r"a value of lane 20 is asked for, which mask 0x0000ffff lacks",
    "write_behind": r"a write around the block of argument 0",
    "write_before": r"a write around the block of argument 0",
    "read_far": r"outside of all memory: byte 400,000 of the block of argument 0, which has 128",
    "not_aligned": r"not at a multiple of its size",
    "behind_array": r"thread 31: an index outside of its array",
    "behind_dynamic": r"an access behind dynamic shared memory",
}


def _driver(backwards: bool = False) -> EmulatedDriver:
    text = Path(__file__).with_name("faults.cu").read_text(encoding="utf-8")
    return EmulatedDriver(text, backwards=backwards)


@pytest.mark.parametrize("kernel", FAULTS)
def test_what_a_gpu_does_not_define_is_a_fault_that_says_what(kernel: str) -> None:
    driver = _driver()
    with pytest.raises(KernelFault, match=FAULTS[kernel]):
        driver.launch(kernel, (1, 1), 32, 128, driver.make((32,), np.int32))
    driver.launch("by_order", (1, 1), 32, 0, driver.make((32,), np.int32))


def test_a_copy_that_was_not_waited_for_has_not_arrived() -> None:
    driver = _driver()
    out = driver.make((32,), np.int32)
    driver.fill(out, 0)
    driver.launch("no_wait", (1, 1), 32, 0, out)
    assert (driver.take(out) == POISON).all()


def test_threads_that_do_not_wait_for_each_other_are_seen_by_the_order_they_run_in() -> None:
    answers = []
    for backwards in (False, True):
        driver = _driver(backwards)
        out = driver.make((32,), np.int32)
        driver.launch("by_order", (1, 1), 32, 0, out)
        answers.append(driver.take(out))
    assert (answers[0][:16] == POISON).all()
    assert (answers[1][16:] == POISON).all()


def test_a_new_block_is_full_of_what_nobody_wrote() -> None:
    assert (_driver().take(_driver().make((5, 3), np.int32)) == POISON).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "takes 1 arguments, not 0"),
        ((np.int64(1),), "argument 0 is i8, the kernel takes p4"),
        (("int16",), "argument 0 is p2, the kernel takes p4"),
    ],
)
def test_arguments_that_the_kernel_does_not_take_are_refused(arguments: tuple[object, ...], message: str) -> None:
    driver = _driver()
    given = [driver.make((4,), argument) if isinstance(argument, str) else argument for argument in arguments]
    with pytest.raises(KernelFault, match=message):
        driver.launch("by_order", (1, 1), 32, 0, *given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("grid", "n_threads", "shared_bytes"),
    [((0, 1), 32, 0), ((1, 65_536), 32, 0), ((1, 1), 1_025, 0), ((1, 1), 32, 99_999_999)],
)
def test_a_launch_that_no_gpu_takes_is_refused(grid: tuple[int, int], n_threads: int, shared_bytes: int) -> None:
    driver = _driver()
    with pytest.raises(KernelFault, match="by_order: "):
        driver.launch("by_order", grid, n_threads, shared_bytes, driver.make((32,), np.int32))


def test_memory_ends_and_a_lost_device_answers_nothing() -> None:
    driver = EmulatedDriver(capacity_bytes=1_000)
    kept = driver.make((150,), np.int32)
    with pytest.raises(OutOfDeviceMemory):
        driver.make((101,), np.int32)
    assert driver.free_bytes() == 400
    del kept
    assert driver.free_bytes() == 1_000
    held = driver.make((250,), np.int32)
    driver.is_lost = True
    with pytest.raises(DeviceLost):
        driver.take(held)


def test_the_kernels_that_sources_name_are_those_that_a_compiler_finds() -> None:
    assert sources.kernels() == kernels_of(sources.text(without=sources.PRIMITIVES))
