"""Exact search as PyTorch does it: products of chunks of rows, `topk` of each, `topk` of what they left."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdb.kernels.reference import Float32s, Int64s

__all__ = ["TorchSearch", "is_available"]

_CHUNK_ROWS = 1 << 20
"""Its products with 1,024 queries are 2 GB of float16; on smaller chunks `topk` has more to merge."""


def is_available() -> bool:
    """Whether PyTorch is installed and sees a device."""
    if find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())


class TorchSearch:
    """Rows float16 (n, d) on PyTorch's device; `where` is "cuda", or "cpu" in tests."""

    def __init__(self, rows: NDArray[np.float16], where: str = "cuda", chunk_rows: int = _CHUNK_ROWS) -> None:
        import torch

        self._torch: Any = torch
        self._where, self._chunk_rows = where, chunk_rows
        self._rows = torch.from_numpy(rows).to(where)

    def queries(self, queries: NDArray[np.float16]) -> Any:
        """Queries where the rows are."""
        return self._torch.from_numpy(queries).to(self._where)

    def search(self, queries: Any, k: int) -> tuple[Any, Any]:
        """Products, largest first, and rows, (q, k) each, on the device: nothing is waited for."""
        torch = self._torch
        values, rows = [], []
        for first in range(0, len(self._rows), self._chunk_rows):
            part = self._rows[first : first + self._chunk_rows]
            found = torch.topk(queries @ part.T, min(k, len(part)), dim=1)
            values.append(found.values)
            rows.append(found.indices + first)
        best = torch.topk(torch.cat(values, dim=1), k, dim=1)
        return best.values, torch.cat(rows, dim=1).gather(1, best.indices)

    def taken(self, found: tuple[Any, Any]) -> tuple[Float32s, Int64s]:
        """What `search` found, on the host."""
        values, rows = found
        return values.float().cpu().numpy(), rows.cpu().numpy()

    @property
    def settle(self) -> Callable[[], None]:
        """Waits for what was launched."""
        return self._torch.cuda.synchronize if self._where == "cuda" else _nothing


def _nothing() -> None:
    """The CPU has finished when it returns."""
