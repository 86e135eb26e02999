"""PyTorch's exact search, which `bench gpu` compares with: the same rows as plain arrays, whatever the chunks."""

import numpy as np
import pytest

from bench.gpu.generated import normal
from vdb.kernels.numpy_device import NumpyDevice
from vdb.kernels.reference import IP

pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.mark.parametrize("chunk_rows", [100, 333, 4_096])
def test_it_finds_the_nearest_of_all_rows(chunk_rows: int) -> None:
    from bench.gpu.torch_peer import TorchSearch

    rows, queries = normal(1_000, 32, 1, np.float16), normal(5, 32, 2, np.float16)
    peer = TorchSearch(rows, "cpu", chunk_rows)
    values, _ = peer.taken(peer.search(peer.queries(queries), 10))
    twin = NumpyDevice()
    distance, _ = twin.nearest(queries, twin.put(rows), None, None, IP, 10)
    np.testing.assert_allclose(-values, distance, atol=2e-3)  # its products are rounded to float16
