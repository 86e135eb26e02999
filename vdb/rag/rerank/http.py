"""Rerankers over HTTP, in the shapes of Cohere (v1 and v2), Jina, vLLM and text-embeddings-inference.

The first four take `{model, query, documents, top_n}` and answer `{"results": [{"index", "relevance_score"}]}`; `tei`
takes `{query, texts}` and answers `[{"index", "score"}]`. Both ways of answering are understood of all.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from vdb.errors import InvalidArgument, ModelUnavailable
from vdb.rag.endpoint import Endpoint

__all__ = ["SHAPES", "HttpReranker"]

SHAPES: Final = ("cohere", "jina", "vllm", "tei")


class _Result(Struct):
    index: int
    relevance_score: float | None = None
    score: float | None = None


class _Answer(Struct):
    results: list[_Result] = field(default_factory=list)
    data: list[_Result] = field(default_factory=list)


class HttpReranker:
    """Any thread may call it; whoever made it closes it, and with it the endpoint."""

    def __init__(self, name: str, model: str, shape: str, endpoint: Endpoint) -> None:
        self.name = name
        self._model, self._shape, self._endpoint = model, shape, endpoint

    def rerank(self, query: str, texts: Sequence[str]) -> NDArray[np.float64]:
        """A score per text, float64 (n,), finite; what the model left out is below all that it named.

        Raises ModelUnavailable, InvalidArgument (a text is refused).
        """
        if not texts:
            return np.empty(0, np.float64)
        try:
            asked = msgspec.json.encode(self._request(query, list(texts)))
        except UnicodeEncodeError as exc:
            raise InvalidArgument("a text is not valid Unicode") from exc
        try:
            answer = msgspec.json.decode(self._endpoint.post(asked), type=_Answer | list[_Result])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:  # what it says may quote the answer
            raise ModelUnavailable(f"reranker {self.name!r} gave an answer that holds no scores") from exc
        results = answer if isinstance(answer, list) else answer.results or answer.data
        return self._scores(results, len(texts))

    def close(self) -> None:
        """Calls under way fail."""
        self._endpoint.close()

    def _request(self, query: str, texts: list[str]) -> dict[str, Any]:
        if self._shape == "tei":
            return {"query": query, "texts": texts, "raw_scores": False}
        request: dict[str, Any] = {"model": self._model, "query": query, "documents": texts, "top_n": len(texts)}
        if self._shape == "jina":
            request["return_documents"] = False
        return request

    def _scores(self, results: list[_Result], n: int) -> NDArray[np.float64]:
        scores = np.full(n, np.nan)
        for result in results:
            score = result.relevance_score if result.relevance_score is not None else result.score
            if score is None or not np.isfinite(score):
                raise ModelUnavailable(f"reranker {self.name!r} gave a result without a score")
            if not 0 <= result.index < n or not np.isnan(scores[result.index]):
                raise ModelUnavailable(f"reranker {self.name!r} gave results whose index does not number the texts")
            scores[result.index] = score
        if np.isnan(scores).all():
            raise ModelUnavailable(f"reranker {self.name!r} gave no results")
        return np.where(np.isnan(scores), np.nanmin(scores) - 1.0, scores)
