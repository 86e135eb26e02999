"""The devices that suites of `tests/kernels` run on: plain arrays, the CUDA sources on this CPU, a GPU."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.kernels.gpu.emulated.driver import EmulatedDriver
from vdb.kernels.device import DeviceFailed
from vdb.kernels.gpu.cuda_device import CudaDevice
from vdb.kernels.gpu.cupy_driver import open_driver
from vdb.kernels.gpu.driver import Driver
from vdb.kernels.numpy_device import NumpyDevice

__all__ = ["DEVICES", "gpu_driver"]


def gpu_driver(text: str | None = None) -> Driver:
    """A driver of this machine's GPU; skips the test where there is none, and says why."""
    try:
        return open_driver(None, text)
    except DeviceFailed as failure:
        pytest.skip(f"no GPU: {failure}")


DEVICES: Final[dict[str, Callable[[], Any]]] = {
    "numpy": NumpyDevice,
    "emulated": lambda: CudaDevice(EmulatedDriver()),
    "backwards": lambda: CudaDevice(EmulatedDriver(backwards=True)),
    "gpu": lambda: CudaDevice(gpu_driver()),
}
"""How each is opened, by its name. Backwards is the emulation from the last thread to the first."""
