"""What parts are measured on: a device, whether it is an accelerator, and its ceilings."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bench.gpu.peaks import Ceilings, measured_by_cupy, measured_by_numpy
from bench.report import Figure
from vdb.kernels.device import Device, DeviceFailed
from vdb.kernels.numpy_device import NumpyDevice

__all__ = ["Machine", "PartLeftOut", "opened"]


class PartLeftOut(Exception):
    """A part cannot be measured here; the message says why, in words for the report."""


@dataclass
class Machine:
    """A device, used by one thread. `is_quick`: small inputs, no bars; `repeats` of each measurement."""

    device: Device
    is_accelerator: bool
    is_quick: bool
    seed: int
    repeats: int = 5
    measured: Callable[[], Ceilings] = field(default=measured_by_numpy)

    @cached_property
    def ceilings(self) -> Ceilings:
        """Measured at the first use, in this process."""
        return self.measured()

    def sized(self, full: int, quick: int) -> int:
        """A number of things: as many as the bar asks for, or few."""
        return quick if self.is_quick else full

    def figure(self, name: str, value: float, unit: str, bar: float | None = None, at_least: bool = True) -> Figure:
        """A figure whose bar is that of an H200-class accelerator: none in a quick run, nor without one."""
        judged = bar if self.is_accelerator and not self.is_quick else None
        return Figure(name, value, unit, judged, at_least)

    @property
    def about(self) -> dict[str, Any]:
        """What stands in a row of the results."""
        return {"name": self.device.name, "free_gib_at_start": round(self.device.free_bytes() / 2**30, 1)}


@contextmanager
def opened(device: str, is_quick: bool, seed: int, repeats: int) -> Iterator[Machine]:
    """`auto`: the accelerator of this machine; raises DeviceFailed with the reason where there is none. `numpy`: plain
    arrays."""
    if device == "numpy":
        yield Machine(NumpyDevice(), False, is_quick, seed, repeats)
        return
    from vdb.kernels.gpu.cuda_device import CudaDevice
    from vdb.kernels.gpu.cupy_driver import open_driver

    found = CudaDevice(open_driver(None))
    try:
        yield Machine(found, True, is_quick, seed, repeats, measured_by_cupy)
    finally:
        with suppress(DeviceFailed):  # what is lost need not be closed; its part has said so
            found.close()
