"""The models that a server can ask, by name: embedders, and rerankers."""

from collections.abc import Iterable

from vdb.rag.embed.base import Embedder
from vdb.rag.embed.lexical import Lexical
from vdb.rag.rerank.base import Reranker

__all__ = ["Models"]


class Models:
    """What is there by name; `lexical` always is. Any thread may ask; whoever made it closes it."""

    def __init__(self, embedders: Iterable[Embedder] = (), rerankers: Iterable[Reranker] = ()) -> None:
        self._embedders: dict[str, Embedder] = {embedder.name: embedder for embedder in (Lexical(), *embedders)}
        self._rerankers = {reranker.name: reranker for reranker in rerankers}

    def embedder(self, name: str) -> Embedder | None:
        """The embedder of a name; None where there is none."""
        return self._embedders.get(name)

    def reranker(self, name: str) -> Reranker | None:
        """The reranker of a name; None where there is none."""
        return self._rerankers.get(name)

    @property
    def embedder_names(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(sorted(self._embedders))

    @property
    def reranker_names(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(sorted(self._rerankers))

    def close(self) -> None:
        """Close all of them."""
        for embedder in self._embedders.values():
            embedder.close()
        for reranker in self._rerankers.values():
            reranker.close()
