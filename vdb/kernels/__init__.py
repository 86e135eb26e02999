"""Kernels: pure functions on arrays, compiled for the CPU or GPU, each with a NumPy twin. Importing this is cheap."""

from vdb.kernels.dispatch import (
    METRIC_NUMBER,
    Kernels,
    cpu_kernels,
    current,
    is_ready,
    reference_kernels,
    wait_ready,
    warm,
)
from vdb.kernels.reference import ALIVE, row_scales

__all__ = [
    "ALIVE",
    "METRIC_NUMBER",
    "Kernels",
    "cpu_kernels",
    "current",
    "is_ready",
    "reference_kernels",
    "row_scales",
    "wait_ready",
    "warm",
]
