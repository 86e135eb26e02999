"""The models of a server as its file lists them, in TOML: `[embedders.NAME]`, `[rerankers.NAME]`, `[backends.NAME]`.

See docs/models.md.

It is read strictly: what is misspelt, of wrong form or missing is refused, with its place. It holds no key of a model
server; `api_key_file` names a file that does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from vdb.errors import InvalidArgument
from vdb.layered import Rules, meant, values_of_file
from vdb.rag.backends_file import BACKEND_RULES, BackendEntry, backend_of
from vdb.rag.connection import address_of
from vdb.rag.embed.base import Embedder, EmbedderOptions
from vdb.rag.embed.lexical import LEXICAL
from vdb.rag.embed.local import KINDS, LocalEmbedder
from vdb.rag.embed.openai import OpenAIEmbedder
from vdb.rag.endpoint import Endpoint, Patience
from vdb.rag.generate.base import Backend
from vdb.rag.model_tables import OPENAI, api_key_of, demand, entries
from vdb.rag.rerank.base import Reranker
from vdb.rag.rerank.http import SHAPES, HttpReranker

__all__ = [
    "RULES",
    "EmbedderEntry",
    "Listed",
    "ModelsFile",
    "RerankerEntry",
    "read_models",
]


@dataclass(frozen=True, slots=True)
class EmbedderEntry:
    """One table of embedders; empty where nothing is given."""

    kind: str = ""
    model: str = ""
    version: str = ""
    dimension: int = 0
    query_model: str = ""
    query_prefix: str = ""
    document_prefix: str = ""
    batch: int = 64
    url: str = ""
    api_key_file: str = ""
    ca_file: str = ""
    encoding_format: str = "float"
    send_dimension: bool = False
    concurrency: int = 4
    connect_timeout_s: float = 5.0
    timeout_s: float = 30.0
    retries: int = 2


@dataclass(frozen=True, slots=True)
class RerankerEntry:
    """One table of rerankers."""

    url: str = ""
    model: str = ""
    shape: str = "cohere"
    api_key_file: str = ""
    ca_file: str = ""
    concurrency: int = 4
    connect_timeout_s: float = 5.0
    timeout_s: float = 30.0
    retries: int = 2


@dataclass(frozen=True, slots=True)
class ModelsFile:
    """The models of a file, and what to warn of. Whoever read it closes them."""

    embedders: tuple[Embedder, ...] = ()
    rerankers: tuple[Reranker, ...] = ()
    backends: tuple[Backend, ...] = ()
    warnings: tuple[str, ...] = ()
    listed: tuple["Listed", ...] = ()
    """Each of them: embedders, rerankers, backends."""


class Listed(Struct):
    """A model as it is shown, without its address and key. `state` is `ok`, or why it gave no answer."""

    use: str
    name: str
    kind: str
    model: str
    version: str = ""
    dimension: int | None = None
    state: str = ""
    seconds: float | None = None


RULES: Final = Rules(
    bounds={
        "dimension": (1, 65_536),
        "batch": (1, 4096),
        "concurrency": (1, 64),
        "connect_timeout_s": (0.01, 3600.0),
        "timeout_s": (0.01, 3600.0),
        "retries": (0, 10),
    },
    choices={"kind": (OPENAI, *KINDS), "shape": SHAPES, "encoding_format": ("float", "base64")},
)
_TABLES: Final = ("embedders", "rerankers", "backends")
_OF_HTTP: Final = frozenset(field.name for field in fields(RerankerEntry)) - {"model", "shape"} | {
    "encoding_format",
    "send_dimension",
}


def read_models(path: Path) -> ModelsFile:
    """The models that a file lists; nothing is asked or loaded yet. Raises InvalidArgument, with the place."""
    tables = values_of_file(path, "models_file")
    for name in tables.keys() - set(_TABLES):
        raise InvalidArgument(f"{path}: {name!r} is no table of models{meant(name, _TABLES)}")
    embedders = list(entries(path, tables, "embedders", EmbedderEntry(), RULES))
    rerankers = list(entries(path, tables, "rerankers", RerankerEntry(), RULES))
    backends = list(entries(path, tables, "backends", BackendEntry(), BACKEND_RULES))
    warnings: list[str] = []
    return ModelsFile(
        tuple(_embedder(*found, warnings) for found in embedders),
        tuple(_reranker(*found, warnings) for found in rerankers),
        tuple(backend_of(*found, warnings) for found in backends),
        tuple(warnings),
        (
            *(
                Listed("embedder", name, entry.kind, entry.model, entry.version, entry.dimension)
                for name, entry, _, _ in embedders
            ),
            *(Listed("reranker", name, entry.shape, entry.model) for name, entry, _, _ in rerankers),
            *(Listed("backend", name, entry.kind, entry.model) for name, entry, _, _ in backends),
        ),
    )


def _embedder(name: str, entry: EmbedderEntry, given: Mapping[str, Any], place: str, warnings: list[str]) -> Embedder:
    if name == LEXICAL:
        raise InvalidArgument(f"{place}: that name is the built-in embedder's")
    demand(given, ("kind", "model", "version", "dimension"), place)
    options = EmbedderOptions(
        entry.model, entry.version, entry.dimension, entry.query_model, entry.query_prefix, entry.document_prefix,
        entry.batch,
    )  # fmt: skip
    if entry.kind != OPENAI:
        for key in given.keys() & _OF_HTTP:
            raise InvalidArgument(f"{place}: {key!r} goes with kind {OPENAI!r}, not with {entry.kind!r}")
        return LocalEmbedder(name, entry.kind, options)
    demand(given, ("url",), place)
    endpoint = _endpoint(f"model {name!r}", entry, place, warnings)
    return OpenAIEmbedder(
        name, options, endpoint, entry.encoding_format, entry.send_dimension, n_threads=entry.concurrency
    )


def _reranker(name: str, entry: RerankerEntry, given: Mapping[str, Any], place: str, warnings: list[str]) -> Reranker:
    demand(given, ("url",) if entry.shape == "tei" else ("url", "model"), place)
    return HttpReranker(name, entry.model, entry.shape, _endpoint(f"reranker {name!r}", entry, place, warnings))


def _endpoint(called: str, entry: EmbedderEntry | RerankerEntry, place: str, warnings: list[str]) -> Endpoint:
    api_key = api_key_of(entry.api_key_file, place, warnings)
    patience = Patience(entry.connect_timeout_s, entry.timeout_s, entry.retries, entry.concurrency)
    return Endpoint(called, address_of(entry.url, f"{place}.url", entry.ca_file), patience, api_key)
