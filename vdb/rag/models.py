"""The models that a server can ask, by name: embedders, rerankers, backends, with counts of what they were asked."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vdb.rag.embed.base import Embedder, Float32s
from vdb.rag.embed.lexical import Lexical
from vdb.rag.extractive import Extractive
from vdb.rag.generate.base import Backend
from vdb.rag.generate.counted import BackendFigures, CountedBackend
from vdb.rag.models_file import read_models
from vdb.rag.rerank.base import Reranker

__all__ = ["CallFigures", "Models"]


class CallFigures:
    """Calls of one model, those that failed, texts, and the seconds they took. Any thread may note and read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.n_calls = self.n_failed = self.n_texts = 0
        self.seconds = 0.0

    @contextmanager
    def noted(self, n_texts: int) -> Iterator[None]:
        """Count what is done within, also where it raises."""
        began = time.perf_counter()
        n_failed = 1
        try:
            yield
            n_failed = 0
        finally:
            took_s = time.perf_counter() - began
            with self._lock:
                self.n_calls += 1
                self.n_failed += n_failed
                self.n_texts += n_texts
                self.seconds += took_s


class _CountedEmbedder:
    """Another embedder, its calls counted."""

    def __init__(self, counted: Embedder) -> None:
        self._counted = counted
        self.figures = CallFigures()
        self.name, self.version, self.is_quick = counted.name, counted.version, counted.is_quick
        self.least_dimension, self.most_dimension = counted.least_dimension, counted.most_dimension

    def embed_queries(self, texts: Sequence[str], dimension: int) -> Float32s:
        with self.figures.noted(len(texts)):
            return self._counted.embed_queries(texts, dimension)

    def embed_documents(self, texts: Sequence[str], dimension: int) -> Float32s:
        with self.figures.noted(len(texts)):
            return self._counted.embed_documents(texts, dimension)

    def close(self) -> None:
        self._counted.close()


class _CountedReranker:
    """Another reranker, its calls counted."""

    def __init__(self, counted: Reranker) -> None:
        self._counted = counted
        self.figures = CallFigures()
        self.name = counted.name

    def rerank(self, query: str, texts: Sequence[str]) -> NDArray[np.float64]:
        with self.figures.noted(len(texts)):
            return self._counted.rerank(query, texts)

    def close(self) -> None:
        self._counted.close()


class Models:
    """What is there by name; `lexical` and `extractive` always are. Any thread may ask; whoever made it closes it."""

    def __init__(
        self,
        embedders: Iterable[Embedder] = (),
        rerankers: Iterable[Reranker] = (),
        backends: Iterable[Backend] = (),
    ) -> None:
        self._embedders = {embedder.name: _CountedEmbedder(embedder) for embedder in (Lexical(), *embedders)}
        self._rerankers = {reranker.name: _CountedReranker(reranker) for reranker in rerankers}
        self._backends = {backend.name: CountedBackend(backend) for backend in (Extractive(), *backends)}

    @classmethod
    def of_file(cls, path: str) -> "tuple[Models, tuple[str, ...]]":
        """The models of a file, "" for none, and what to warn of; raises InvalidArgument."""
        if not path:
            return cls(), ()
        found = read_models(Path(path))
        return cls(found.embedders, found.rerankers, found.backends), found.warnings

    def embedder(self, name: str) -> Embedder | None:
        """The embedder of a name; None where there is none."""
        return self._embedders.get(name)

    def reranker(self, name: str) -> Reranker | None:
        """The reranker of a name; None where there is none."""
        return self._rerankers.get(name)

    def backend(self, name: str) -> Backend | None:
        """The backend of a name; None where there is none."""
        return self._backends.get(name)

    @property
    def backends(self) -> tuple[Backend, ...]:
        """By name."""
        return tuple(self._backends[name] for name in self.backend_names)

    @property
    def backend_names(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(sorted(self._backends))

    @property
    def embedder_names(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(sorted(self._embedders))

    @property
    def reranker_names(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(sorted(self._rerankers))

    def figures(self) -> list[tuple[str, str, CallFigures]]:
        """Of each model: `embedder` or `reranker`, its name, what it was asked."""
        embedders = [("embedder", name, self._embedders[name].figures) for name in self.embedder_names]
        return embedders + [("reranker", name, self._rerankers[name].figures) for name in self.reranker_names]

    def backend_figures(self) -> list[tuple[str, BackendFigures]]:
        """Of each backend: its name, what it was asked."""
        return [(name, self._backends[name].figures) for name in self.backend_names]

    def close(self) -> None:
        """Close all of them."""
        for backend in self._backends.values():
            backend.close()
        for embedder in self._embedders.values():
            embedder.close()
        for reranker in self._rerankers.values():
            reranker.close()
