"""The ceilings: bandwidth of copies in device memory, rates of matrix products, the way to the host.

About 15 s on an H200-class machine, most of them for starting and for drawing matrices.
"""

from bench.gpu.machine import Machine
from bench.report import Figure

__all__ = ["measure"]


def measure(machine: Machine) -> list[Figure]:
    """The figures, without bars: the others are judged by them."""
    print("copies count bytes read and written; products are of random numbers, 2 operations each", flush=True)
    ceilings = machine.ceilings
    figures = [
        machine.figure("copies in device memory, read and written", ceilings.copied_bytes_per_s / 1e9, "GB/s"),
        machine.figure("matrix products, float16", ceilings.float16_per_s / 1e12, "TFLOP/s"),
        machine.figure("matrix products, float32", ceilings.float_per_s / 1e12, "TFLOP/s"),
        machine.figure("from the device to the host", ceilings.carried_bytes_per_s / 1e9, "GB/s"),
    ]
    if ceilings.bfloat16_per_s:
        figures.append(machine.figure("matrix products, bfloat16", ceilings.bfloat16_per_s / 1e12, "TFLOP/s"))
    return figures
