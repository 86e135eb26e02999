"""Opens the accelerator that the settings ask for, if the machine has one, for searches and builds; closes it."""

import logging
from typing import Final

from vdb.config import Settings
from vdb.engine.acceleration.accelerator import Accelerator
from vdb.errors import InvalidArgument
from vdb.kernels import acceleration
from vdb.kernels.device import Device, DeviceFailed
from vdb.kernels.gpu.cuda_device import CudaDevice
from vdb.kernels.gpu.cupy_driver import open_driver

__all__ = ["SHARE", "close_accelerator", "open_accelerator"]

logger = logging.getLogger(__name__)

SHARE: Final = 0.8
"""Of the memory that is free at the start: the rest is for what kernels work with."""


def open_accelerator(settings: Settings, device: Device | None = None) -> Accelerator | None:
    """The accelerator, on `device` where one is given, else on the machine's GPU; None with backend cpu, and with auto
    where there is none. Raises InvalidArgument with backend gpu where there is none, saying why."""
    if settings.backend == "cpu":
        return None
    try:
        chosen = device if device is not None else CudaDevice(open_driver(None))
        most_bytes = settings.gpu_memory_bytes or int(SHARE * chosen.free_bytes())
    except DeviceFailed as exc:
        if settings.backend == "gpu":
            raise InvalidArgument(f"backend is gpu, but there is none to use: {exc}") from exc
        logger.info("no GPU, the CPU answers: %s", exc)
        return None
    logger.info("searches use a GPU", extra={"device": chosen.name, "most_bytes": most_bytes})
    acceleration.set_device(chosen)
    return Accelerator(chosen, most_bytes, settings.gpu_wait_s, turn=acceleration.for_search)


def close_accelerator(accelerator: Accelerator | None) -> None:
    """Answer all that wait for it, and close it and its device, which builds do without from now on."""
    if accelerator is None:
        return
    if acceleration.device() is accelerator.device:
        acceleration.set_device(None)
    accelerator.close()
