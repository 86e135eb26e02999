"""What a reranker is to those who use one."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Reranker"]


class Reranker(Protocol):
    """Says how well texts answer a query. Any thread may call it; whoever made it closes it."""

    name: str

    def rerank(self, query: str, texts: Sequence[str]) -> NDArray[np.float64]:
        """A score per text, float64 (n,), finite, higher is better; raises ModelUnavailable."""

    def close(self) -> None:
        """Let go of connections; calls under way may fail."""
