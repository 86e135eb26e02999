"""What an embedder is to those who use one."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vdb.errors import ModelMismatch

__all__ = ["Embedder", "Float32s", "check_dimension"]

Float32s = NDArray[np.float32]


class Embedder(Protocol):
    """Makes vectors of texts. Any thread may call it; whoever made it closes it."""

    name: str
    version: str
    """Another version gives other vectors: those of two versions are never compared."""
    least_dimension: int
    most_dimension: int
    is_quick: bool
    """Whether it works in process, in microseconds to a few milliseconds, and so waits for nobody."""

    def embed_queries(self, texts: Sequence[str], dimension: int) -> Float32s:
        """Vectors of what is asked, float32 (n, dimension), finite; raises ModelUnavailable, ModelMismatch."""

    def embed_documents(self, texts: Sequence[str], dimension: int) -> Float32s:
        """Vectors of what is stored, float32 (n, dimension), finite; raises ModelUnavailable, ModelMismatch."""

    def close(self) -> None:
        """Let go of connections and models; calls under way may fail."""


def check_dimension(embedder: Embedder, dimension: int) -> None:
    """Raise ModelMismatch where the embedder makes no vectors of that many components."""
    least, most = embedder.least_dimension, embedder.most_dimension
    if not least <= dimension <= most:
        made = f"{least}" if least == most else f"{least} to {most}"
        raise ModelMismatch(f"model {embedder.name!r} makes vectors of {made} components")
