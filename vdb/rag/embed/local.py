"""Embedders that run in this process: sentence-transformers and fastembed, each an extra, loaded at the first call.

One call at a time per model: they use all cores by themselves. What a library has not in its cache it downloads; code
that comes with a model is not run.
"""

import importlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from vdb.errors import ModelMismatch, ModelUnavailable
from vdb.rag.embed.base import EmbedderOptions, Float32s, check_dimension

__all__ = ["KINDS", "PAUSE_S", "Library", "LocalEmbedder"]

logger = logging.getLogger(__name__)

PAUSE_S = 30.0
"""After a model could not be loaded, until it is tried again: a library may look for it on the network for long."""


class Library(Protocol):
    """How one library embeds; `is_query` for the model's own instructions, where it has them."""

    def __call__(self, texts: Sequence[str], is_query: bool, batch: int) -> Any:
        """Rows of numbers, one per text."""


def _sentence_transformers(model: str) -> Library:
    library = importlib.import_module("sentence_transformers")
    loaded = library.SentenceTransformer(model, trust_remote_code=False)

    def embed(texts: Sequence[str], is_query: bool, batch: int) -> Any:
        encode = getattr(loaded, "encode_query" if is_query else "encode_document", loaded.encode)
        return encode(list(texts), batch_size=batch, show_progress_bar=False, convert_to_numpy=True)

    return embed


def _fastembed(model: str) -> Library:
    library = importlib.import_module("fastembed")
    loaded = library.TextEmbedding(model_name=model)

    def embed(texts: Sequence[str], is_query: bool, batch: int) -> Any:
        side = loaded.query_embed if is_query else loaded.passage_embed
        return list(side(list(texts), batch_size=batch))

    return embed


KINDS: dict[str, Callable[[str], Library]] = {
    "sentence-transformers": _sentence_transformers,
    "fastembed": _fastembed,
}
"""Each kind has the name of its extra."""


class LocalEmbedder:
    """Any thread may call it; whoever made it closes it."""

    is_quick = False

    def __init__(
        self, name: str, kind: str, options: EmbedderOptions, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name, self.version = name, options.version
        self.least_dimension = self.most_dimension = options.dimension
        self._kind, self._options, self._clock = kind, options, clock
        self._lock = threading.Lock()
        self._loaded: dict[str, Library] = {}
        self._tried_from = 0.0
        self._is_closed = False

    def embed_queries(self, texts: Sequence[str], dimension: int) -> Float32s:
        """Float32 (n, dimension); raises ModelUnavailable, ModelMismatch."""
        return self._embed(texts, dimension, True)

    def embed_documents(self, texts: Sequence[str], dimension: int) -> Float32s:
        """Float32 (n, dimension); raises ModelUnavailable, ModelMismatch."""
        return self._embed(texts, dimension, False)

    def close(self) -> None:
        """Let go of the model; a call under way ends first, later ones are refused."""
        self._is_closed = True
        with self._lock:
            self._loaded.clear()

    def _embed(self, texts: Sequence[str], dimension: int, is_query: bool) -> Float32s:
        check_dimension(self, dimension)
        if not texts:
            return np.empty((0, dimension), np.float32)
        model, prefix = self._options.side(is_query)
        with self._lock:
            embed = self._library(model)
            try:
                found = embed([prefix + text for text in texts], is_query, self._options.batch)
                rows = np.ascontiguousarray(found, np.float32)
            except Exception as exc:  # whatever the library raises
                raise ModelUnavailable(f"model {self.name!r} failed: {type(exc).__name__}") from exc
        return self._checked(rows, len(texts))

    def _library(self, model: str) -> Library:
        """The model, loaded; the lock is held."""
        if self._is_closed:
            raise ModelUnavailable(f"model {self.name!r} is not asked any more: the server is shutting down")
        found = self._loaded.get(model)
        if found is not None:
            return found
        left_s = self._tried_from - self._clock()
        if left_s > 0.0:
            raise ModelUnavailable(f"model {self.name!r} could not be loaded", retry_after_s=left_s)
        try:
            found = self._loaded[model] = KINDS[self._kind](model)
        except ImportError as exc:
            self._tried_from = self._clock() + PAUSE_S
            raise ModelUnavailable(
                f"model {self.name!r} needs the extra {self._kind!r} on the server: pip install 'vdb[{self._kind}]'"
            ) from exc
        except Exception as exc:  # whatever the library raises: no such model, no network, no memory
            self._tried_from = self._clock() + PAUSE_S
            logger.error("model %r could not be loaded", self.name, exc_info=exc)
            raise ModelUnavailable(f"model {self.name!r} could not be loaded: {type(exc).__name__}") from exc
        return found

    def _checked(self, rows: Float32s, n: int) -> Float32s:
        if rows.ndim != 2 or len(rows) != n:
            raise ModelUnavailable(f"model {self.name!r} gave {len(rows)} vectors for {n} texts")
        if rows.shape[1] != self._options.dimension:
            raise ModelMismatch(
                f"model {self.name!r} gives vectors of {rows.shape[1]} components, not the {self._options.dimension} "
                "that its dimension says"
            )
        if not np.isfinite(rows).all():
            raise ModelUnavailable(f"model {self.name!r} gave a vector that is not finite")
        return rows
