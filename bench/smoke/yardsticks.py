"""What calls are held against: work that no change of ours makes slower or faster.

Frozen: a changed yardstick makes every recorded row worthless. One is a loop of plain Python, for what is mostly
interpreter; one is a product of NumPy, for compiled searches; one is a copy of as many bytes as a kernel reads.
"""

from collections.abc import Callable

import numpy as np

__all__ = ["Yardstick", "copy_of", "loop", "product"]

Yardstick = tuple[str, Callable[[], object]]
"""Its name in a unit, and the call."""
_N_TURNS = 2_000


def loop() -> Yardstick:
    """Some 0.3 ms of dictionaries, texts, numbers and calls."""

    def step(number: int) -> str:
        return f"key {number % 97}"

    def turn() -> int:
        counts: dict[str, int] = {}
        total = 0
        for number in range(_N_TURNS):
            key = step(number)
            counts[key] = counts.get(key, 0) + number
            total += len(key) * (number & 7)
        return total + len(sorted(counts.values()))

    return "loop", turn


def product() -> Yardstick:
    """2,048 inner products of 128 float32: 1 MiB that stays in the cache."""
    rng = np.random.default_rng(1)
    matrix = rng.standard_normal((2_048, 128)).astype(np.float32)
    vector = rng.standard_normal(128).astype(np.float32)
    out = np.empty(2_048, np.float32)
    return "product", lambda: np.dot(matrix, vector, out=out)


def copy_of(n_bytes: int) -> Yardstick:
    """A copy of `n_bytes` of memory, over and over the same."""
    source, target = np.ones(n_bytes, np.uint8), np.zeros(n_bytes, np.uint8)
    return "copy", lambda: np.copyto(target, source)
