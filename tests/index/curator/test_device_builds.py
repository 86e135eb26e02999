"""An index that a device helped to build is as good as one of the CPU's, whether the device lasts or not."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.index.curator.test_growth import DIMENSION, N_POINTS, N_QUERIES, Floats, built, mixture, recall
from vdb.index.curator.model import prepared
from vdb.kernels import acceleration
from vdb.kernels.device import Block, DeviceLost
from vdb.kernels.numpy_device import NumpyDevice
from vdb.types import Metric

MOST_APART = 0.01
"""Recall@10 between two builds."""


class Lasting(NumpyDevice):
    """Assigns `n_blocks`, then is lost. Its sums come in another order than the CPU's: reversed components."""

    def __init__(self, n_blocks: int) -> None:
        super().__init__()
        self.n_left = self.n_blocks = n_blocks

    def assign(self, rows: Block, centroids: Floats) -> tuple[NDArray[np.int32], Floats]:
        self.n_left -= 1
        if self.n_left < 0:
            raise DeviceLost("it fell off")
        turned = np.ascontiguousarray(self.take(rows)[:, ::-1])
        return super().assign(self.put(turned), np.ascontiguousarray(centroids[:, ::-1]))


@pytest.fixture(autouse=True)
def no_device_after() -> Iterator[None]:
    """Each test sets its own."""
    yield
    acceleration.set_device(None)


@pytest.mark.parametrize("n_blocks", [1_000, 2])
def test_an_index_built_with_a_device_finds_what_the_cpus_finds(rng: np.random.Generator, n_blocks: int) -> None:
    collection, pids = mixture(rng), np.arange(N_POINTS, dtype=np.uint32)
    asked = collection.vectors[rng.choice(N_POINTS, N_QUERIES)] + 0.05 * rng.standard_normal((N_QUERIES, DIMENSION))
    queries = prepared(asked.astype(np.float32), Metric.COSINE)
    of_cpu = recall(built(collection, pids, 1), collection, 1, queries)
    device = Lasting(n_blocks)
    always = acceleration.Costs(copied_bytes_per_s=np.inf, call_s=0, n_cpus=1, least_saved_s=0)
    acceleration.set_device(device, always)
    of_device = recall(built(collection, pids, 1), collection, 1, queries)
    assert device.n_left < n_blocks - 1, "the device was asked"
    assert (acceleration.device() is None) == (n_blocks == 2)
    assert of_device >= of_cpu - MOST_APART, f"{of_device:.4f} with a device, {of_cpu:.4f} without"
