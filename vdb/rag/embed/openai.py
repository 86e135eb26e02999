"""Embedders over HTTP: anything that answers `/v1/embeddings` as OpenAI does.

Servers differ in what they call compatible, so each answer is checked: as many vectors as texts, in the order that
`index` says, of the dimension, finite; as numbers, as base64 of float32, or nested in a list of one. A list of several
is a model that does not pool: a vector per token.
"""

import base64
import binascii
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from vdb.errors import InvalidArgument, ModelMismatch, ModelUnavailable
from vdb.rag.embed.base import EmbedderOptions, Float32s, check_dimension
from vdb.rag.endpoint import Endpoint
from vdb.rag.model_names import AnsweringModel

__all__ = ["OpenAIEmbedder"]


class _Item(Struct):
    embedding: Any
    index: int | None = None


class _Answer(Struct):
    data: list[_Item]
    model: Any = None


class OpenAIEmbedder:
    """Any thread may call it; whoever made it closes it, and with it the endpoint."""

    is_quick = False

    def __init__(
        self,
        name: str,
        options: EmbedderOptions,
        endpoint: Endpoint,
        encoding_format: str = "float",
        send_dimension: bool = False,
        n_threads: int = 4,
    ) -> None:
        """`send_dimension`: whether `dimensions` is asked for, of models that shorten their vectors; `n_threads`: how
        many batches of one call are asked for at a time."""
        self.name, self.version = name, options.version
        self.least_dimension = self.most_dimension = options.dimension
        self._options, self._endpoint = options, endpoint
        self._asked: dict[str, Any] = {"encoding_format": encoding_format}
        if send_dimension:
            self._asked["dimensions"] = options.dimension
        self._threads = ThreadPoolExecutor(n_threads, f"vdb-embed-{name}")
        self._answering = AnsweringModel(name)

    def embed_queries(self, texts: Sequence[str], dimension: int) -> Float32s:
        """Float32 (n, dimension); raises ModelUnavailable, ModelMismatch, InvalidArgument (a text is refused)."""
        return self._embed(texts, dimension, True)

    def embed_documents(self, texts: Sequence[str], dimension: int) -> Float32s:
        """Float32 (n, dimension); raises ModelUnavailable, ModelMismatch, InvalidArgument (a text is refused)."""
        return self._embed(texts, dimension, False)

    def close(self) -> None:
        """Calls under way fail."""
        self._endpoint.close()
        self._threads.shutdown(cancel_futures=True)

    def _embed(self, texts: Sequence[str], dimension: int, is_query: bool) -> Float32s:
        check_dimension(self, dimension)
        model, prefix = self._options.side(is_query)
        n = self._options.batch
        batches = [[prefix + text for text in texts[first : first + n]] for first in range(0, len(texts), n)]
        if not batches:
            return np.empty((0, dimension), np.float32)
        if len(batches) == 1:
            return self._ask(batches[0], model)
        try:
            futures = [self._threads.submit(self._ask, batch, model) for batch in batches]
        except RuntimeError as exc:
            raise ModelUnavailable(f"model {self.name!r} is closed") from exc
        try:
            return np.concatenate([future.result() for future in futures])
        finally:
            for future in futures:
                future.cancel()

    def _ask(self, texts: list[str], model: str) -> Float32s:
        try:
            asked = msgspec.json.encode({"model": model, "input": texts, **self._asked})
        except UnicodeEncodeError as exc:
            raise InvalidArgument("a text is not valid Unicode") from exc
        try:
            answer = msgspec.json.decode(self._endpoint.post(asked), type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:  # what it says may quote the answer
            raise ModelUnavailable(f"model {self.name!r} gave an answer that holds no embeddings") from exc
        self._answering.compare(model, answer.model)
        return self._rows(answer.data, len(texts))

    def _rows(self, items: list[_Item], n: int) -> Float32s:
        if len(items) != n:
            raise ModelUnavailable(f"model {self.name!r} gave {len(items)} vectors for {n} texts")
        places = [place if item.index is None else item.index for place, item in enumerate(items)]
        if sorted(places) != list(range(n)):
            raise ModelUnavailable(f"model {self.name!r} gave vectors whose index does not number the texts")
        rows = np.empty((n, self._options.dimension), np.float32)
        for place, item in zip(places, items, strict=True):
            rows[place] = self._row(item.embedding)
        return rows

    def _row(self, given: Any) -> Float32s:
        if isinstance(given, list) and given and isinstance(given[0], list):
            if len(given) > 1:
                raise ModelMismatch(f"model {self.name!r} gives a vector per token: it is no model that embeds texts")
            given = given[0]
        row = _numbers(given)
        if row is None:
            raise ModelUnavailable(f"model {self.name!r} gave what is no vector of numbers")
        if row.shape != (self._options.dimension,):
            raise ModelMismatch(
                f"model {self.name!r} gives vectors of {len(row)} components, not the {self._options.dimension} "
                "that its dimension says"
            )
        if not np.isfinite(row).all():
            raise ModelUnavailable(f"model {self.name!r} gave a vector that is not finite")
        return row


def _numbers(given: Any) -> Float32s | None:
    """A row of float32; None for what is none. What float32 cannot hold becomes infinite."""
    if isinstance(given, str):
        try:
            data = base64.b64decode(given, validate=True)
        except (binascii.Error, ValueError):
            return None
        return None if len(data) % 4 else np.frombuffer(data, "<f4").astype(np.float32)
    if not isinstance(given, list):
        return None
    try:
        row = np.array(given)
    except ValueError:  # lists of several lengths
        return None
    if row.ndim != 1 or row.dtype.kind not in "fiu":
        return None
    with np.errstate(over="ignore"):
        return row.astype(np.float32)
