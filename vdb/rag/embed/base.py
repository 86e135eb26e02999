"""What an embedder is to those who use one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vdb.errors import ModelMismatch

__all__ = ["Embedder", "EmbedderOptions", "Float32s", "check_dimension"]

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


@dataclass(frozen=True, slots=True)
class EmbedderOptions:
    """Which model, for vectors of which dimension; the two sides may differ in model and prefix."""

    model: str
    version: str
    dimension: int
    query_model: str = ""
    """For what is asked; empty: `model`."""
    query_prefix: str = ""
    document_prefix: str = ""
    batch: int = 64
    """Texts that a model gets at a time."""

    def side(self, is_query: bool) -> tuple[str, str]:
        """The model and the prefix of one side."""
        if is_query:
            return self.query_model or self.model, self.query_prefix
        return self.model, self.document_prefix
