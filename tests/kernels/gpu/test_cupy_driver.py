"""The driver by CuPy: what it makes of errors, with a stand-in for CuPy; the names it uses, where CuPy is installed."""

import sys
from collections.abc import Callable

import numpy as np
import pytest

from tests.kernels.gpu.fake_cupy import CompileError, CUBLASError, CUDAError, FakeCupy, MemoryIsFull
from vdb.kernels.device import DeviceFailed, DeviceLost, OutOfDeviceMemory
from vdb.kernels.gpu.cupy_driver import CupyDriver, open_driver


def _raiser(what: str, error: Exception) -> Callable[[str], None]:
    def fail(done: str) -> None:
        if done == what:
            raise error

    return fail


def _opened(monkeypatch: pytest.MonkeyPatch, cupy: FakeCupy, most_bytes: int | None = None) -> CupyDriver:
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return open_driver(most_bytes)


@pytest.mark.parametrize(
    ("cupy", "reason"),
    [
        (None, "CuPy is not installed, or cannot be loaded"),
        (FakeCupy(_raiser("count", CUDAError(35))), "driver is missing or older than CuPy's CUDA needs: cudaError 35"),
        (FakeCupy(n_devices=0), "no NVIDIA GPU is there$"),
        (FakeCupy(capability="75"), "compute capability 75; 80 .* or later is needed"),
        (FakeCupy(_raiser("compile", CompileError("line 7: what"))), "the kernels do not compile: line 7: what"),
        (FakeCupy(_raiser("compile", ImportError("libnvrtc.so.13"))), "a library of CUDA is missing: libnvrtc"),
    ],
)
def test_a_gpu_that_is_not_there_is_refused_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, cupy: FakeCupy | None, reason: str
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    with pytest.raises(DeviceFailed, match=reason) as failure:
        open_driver(None)
    assert type(failure.value) is DeviceFailed


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryIsFull("out of memory"), OutOfDeviceMemory),
        (CUDAError(2), OutOfDeviceMemory),
        (CUDAError(9), DeviceFailed),
        (CUDAError(701), DeviceFailed),
        (CUDAError(700), DeviceLost),
        (CUDAError(719), DeviceLost),
        (CUDAError(214), DeviceLost),
        (CUDAError(46), DeviceLost),
        (CUBLASError(3), OutOfDeviceMemory),
        (CUBLASError(13), DeviceFailed),
    ],
)
@pytest.mark.parametrize("what", ["empty", "launch", "synchronize"])
def test_errors_of_cuda_are_those_of_devices(
    monkeypatch: pytest.MonkeyPatch, what: str, error: Exception, kind: type[DeviceFailed]
) -> None:
    cupy = FakeCupy()
    driver = _opened(monkeypatch, cupy)
    cupy.fail = _raiser(what, error)
    asks: dict[str, Callable[[], object]] = {
        "empty": lambda: driver.make((3,), np.int32),
        "launch": lambda: driver.launch("scatter_words", (1, 1), 32, 0),
        "synchronize": driver.synchronize,
    }
    with pytest.raises(DeviceFailed) as failure:
        asks[what]()
    assert type(failure.value) is kind
    assert failure.value.__cause__ is error
    assert "\n" not in str(failure.value)


def test_an_error_of_our_own_is_not_taken_for_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = FakeCupy()
    driver = _opened(monkeypatch, cupy)
    cupy.fail = _raiser("launch", RuntimeError("ours"))
    with pytest.raises(RuntimeError, match="ours"):
        driver.launch("scatter_words", (1, 1), 32, 0)


def test_arrays_go_there_and_back_on_the_drivers_own_stream_and_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = FakeCupy()
    driver = _opened(monkeypatch, cupy)
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    block = driver.put(array[:, ::2])
    np.testing.assert_array_equal(driver.take(block), array[:, ::2])
    driver.write(block, 1, array[:1, :2])
    np.testing.assert_array_equal(driver.take(block, 1, 2), array[:1, :2])
    driver.fill(block, 0)
    np.testing.assert_array_equal(driver.take(block), np.zeros((3, 2), np.float32))
    assert driver.take(driver.make((0, 4), np.int64)).shape == (0, 4)
    assert cupy.entered == 0
    assert (driver.name, driver.n_processors, driver.shared_bytes) == ("GPU", 132, 232_448)


def test_a_kernel_is_allowed_more_than_48_kb_of_shared_memory_once_it_needs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cupy = FakeCupy()
    driver = _opened(monkeypatch, cupy)
    for shared_bytes in (0, 47 * 1024, 47 * 1024 + 1, 100_000, 60_000):
        driver.launch("scatter_words", (2, 3), 64, shared_bytes, np.int32(1))
    assert [launch[5] for launch in cupy.launches] == [0, 0, 47 * 1024 + 1, 100_000, 100_000]
    assert cupy.launches[0][:5] == ("scatter_words", (2, 3), (64,), (np.int32(1),), 0)


@pytest.mark.parametrize(("most_bytes", "limit", "free"), [(None, 0, 1_050), (500, 500, 200), (10_000, 10_000, 1_050)])
def test_memory_is_limited_to_what_was_allowed(
    monkeypatch: pytest.MonkeyPatch, most_bytes: int | None, limit: int, free: int
) -> None:
    cupy = FakeCupy()
    driver = _opened(monkeypatch, cupy, most_bytes)
    assert (cupy.limit, driver.free_bytes()) == (limit, free)


def test_closing_gives_memory_back_and_a_closed_driver_answers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = FakeCupy()
    driver = _opened(monkeypatch, cupy)
    driver.close()
    driver.close()
    assert cupy.n_freed == 1
    with pytest.raises(DeviceLost):
        driver.free_bytes()


def test_a_lost_device_can_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = FakeCupy()
    driver = _opened(monkeypatch, cupy)
    cupy.fail = _raiser("synchronize", CUDAError(700))
    driver.close()
    assert driver.is_closed


def test_the_names_that_the_driver_uses_are_those_of_cupy() -> None:
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    assert issubclass(cupy.cuda.memory.OutOfMemoryError, MemoryError)
    assert issubclass(cupy.cuda.runtime.CUDARuntimeError, RuntimeError)
    assert issubclass(cupy.cuda.driver.CUDADriverError, RuntimeError)
    assert issubclass(cupy.cuda.compiler.CompileException, Exception)
    for owner, names in {
        cupy: ["RawModule", "empty", "ndarray"],
        cupy.RawModule: ["compile", "get_function"],
        cupy.RawKernel: ["max_dynamic_shared_size_bytes", "shared_size_bytes"],
        cupy.ndarray: ["get", "set", "data"],
        cupy.cuda: ["Device", "MemoryPool", "Stream", "using_allocator"],
        cupy.cuda.Device: ["attributes", "compute_capability", "mem_info"],
        cupy.cuda.MemoryPool: ["free_all_blocks", "free_bytes", "malloc", "set_limit", "used_bytes"],
        cupy.cuda.MemoryPointer: ["memset_async"],
        cupy.cuda.runtime: ["getDeviceCount", "getDeviceProperties"],
    }.items():
        assert [name for name in names if not hasattr(owner, name)] == []
