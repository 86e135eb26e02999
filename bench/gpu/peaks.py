"""What the machine can do at most: copies in its memory, matrix products, the way to the host. By CuPy, or by NumPy.

Copies count bytes read and written. Products are of random numbers: of zeros a chip computes faster, as it takes less
power. Everything is measured in the process that compares with it, within the same minute.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.gpu.clock import runs_of

__all__ = ["Ceilings", "measured_by_cupy", "measured_by_numpy"]

_COPIED_BYTES = 4 << 30
"""Of each of the two arrays: eighty times what a last-level cache of 50 MB holds."""
_SIDE = 8_192
"""Of square matrices: 1.1 T operations a product, long against its launch."""
_N_OPERATIONS = 2.0 * _SIDE**3
_CARRIED_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Ceilings:
    """`copied_bytes_per_s` read and written; operations per second of products of float16, of bfloat16 (0: not
    measured) and of float32; `carried_bytes_per_s` from the device to the host."""

    copied_bytes_per_s: float
    float16_per_s: float
    bfloat16_per_s: float
    float_per_s: float
    carried_bytes_per_s: float

    @property
    def half_per_s(self) -> float:
        """Of 16-bit products: the better of the two formats."""
        return max(self.float16_per_s, self.bfloat16_per_s)


def _best(call: Callable[[int], object], n_calls: int, settle: Callable[[], None], repeats: int = 3) -> float:
    """Seconds of a call at best: a ceiling is what was reached once."""
    return min(runs_of(call, repeats, n_calls, settle))


def _random(side: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((side, side), dtype=np.float32)


def measured_by_cupy() -> Ceilings:
    """About 5 s, most of them for drawing. Raises what CuPy raises; all memory is given back."""
    import cupy

    copied, carried = _copies_by_cupy()
    rates = [_products_by_cupy(dtype, n_calls) for dtype, n_calls in ((cupy.float16, 20), (cupy.float32, 3))]
    cupy.get_default_memory_pool().free_all_blocks()
    return Ceilings(copied, rates[0], _bfloat16_by_torch(), rates[1], carried)


def _copies_by_cupy() -> tuple[float, float]:
    """Bytes per second of copies in device memory, the better of a kernel and of the driver's; and to the host."""
    import cupy

    settle = cupy.cuda.Device().synchronize
    source = cupy.arange(_COPIED_BYTES // 8, dtype=cupy.uint64)
    target = cupy.empty_like(source)
    copy_s = min(
        _best(lambda i: cupy.copyto(target, source), 10, settle),
        _best(lambda i: target.data.copy_from_device_async(source.data, source.nbytes), 10, settle),
    )
    some = target.view(cupy.uint8)[:_CARRIED_BYTES]
    carried_s = _best(lambda i: some.get(), 2, settle)
    return 2.0 * _COPIED_BYTES / copy_s, _CARRIED_BYTES / carried_s


def _products_by_cupy(dtype: Any, n_calls: int) -> float:
    """Operations per second of products of square matrices, summed in float32."""
    import cupy

    a, b = (cupy.asarray(_random(_SIDE, seed)).astype(dtype) for seed in (1, 2))
    out = cupy.empty_like(a)
    return _N_OPERATIONS / _best(lambda i: cupy.dot(a, b, out=out), n_calls, cupy.cuda.Device().synchronize)


def _bfloat16_by_torch() -> float:
    """The same of bfloat16, which CuPy may not have; 0 where PyTorch or its device is not there."""
    if find_spec("torch") is None:
        return 0.0
    import torch

    if not torch.cuda.is_available():
        return 0.0
    a, b = (torch.from_numpy(_random(_SIDE, seed)).to("cuda", torch.bfloat16) for seed in (1, 2))
    out = torch.empty_like(a)
    return _N_OPERATIONS / _best(lambda i: torch.matmul(a, b, out=out), 20, torch.cuda.synchronize)


def measured_by_numpy() -> Ceilings:
    """The same of plain arrays, small: for a run that shows that all works, whose shares say nothing."""
    source = np.ones(1 << 20, np.uint64)
    target = np.empty_like(source)
    copy_s = _best(lambda i: np.copyto(target, source), 2, _nothing, 1)
    a, b = _random(256, 1), _random(256, 2)
    out = np.empty_like(a)
    product_s = _best(lambda i: np.matmul(a, b, out=out), 2, _nothing, 1)
    rate = 2.0 * 256**3 / product_s
    copied = 2.0 * source.nbytes / copy_s
    return Ceilings(copied, rate, 0.0, rate, copied / 2)


def _nothing() -> None:
    """Plain arrays leave nothing running."""
