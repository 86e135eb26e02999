"""The models of a server as its file lists them, in TOML: `[embedders.NAME]`, `[rerankers.NAME]`; see docs/models.md.

It is read strictly: what is misspelt, of wrong form or missing is refused, with its place. It holds no key of a model
server; `api_key_file` names a file that does.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from msgspec import Struct

from vdb.errors import InvalidArgument
from vdb.layered import Rules, checked, meant, secret_of_file, values_of_file
from vdb.rag.connection import address_of
from vdb.rag.embed.base import Embedder, EmbedderOptions
from vdb.rag.embed.lexical import LEXICAL
from vdb.rag.embed.local import KINDS, LocalEmbedder
from vdb.rag.embed.openai import OpenAIEmbedder
from vdb.rag.endpoint import Endpoint, Patience
from vdb.rag.rerank.base import Reranker
from vdb.rag.rerank.http import SHAPES, HttpReranker

__all__ = [
    "MAX_NAME",
    "OPENAI",
    "RULES",
    "EmbedderEntry",
    "Entry",
    "Listed",
    "ModelsFile",
    "RerankerEntry",
    "read_models",
]

OPENAI: Final = "openai"
MAX_NAME: Final = 256


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
    warnings: tuple[str, ...] = ()
    listed: tuple["Listed", ...] = ()
    """Each of them, embedders first."""


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
_TABLES: Final = ("embedders", "rerankers")
_OF_HTTP: Final = frozenset(field.name for field in fields(RerankerEntry)) - {"model", "shape"} | {
    "encoding_format",
    "send_dimension",
}

Entry = TypeVar("Entry", EmbedderEntry, RerankerEntry)


def read_models(path: Path) -> ModelsFile:
    """The models that a file lists; nothing is asked or loaded yet. Raises InvalidArgument, with the place."""
    tables = values_of_file(path, "models_file")
    for name in tables.keys() - set(_TABLES):
        raise InvalidArgument(f"{path}: {name!r} is no table of models{meant(name, _TABLES)}")
    embedders = list(_entries(path, tables, "embedders", EmbedderEntry()))
    rerankers = list(_entries(path, tables, "rerankers", RerankerEntry()))
    warnings: list[str] = []
    return ModelsFile(
        tuple(_embedder(*found, warnings) for found in embedders),
        tuple(_reranker(*found, warnings) for found in rerankers),
        tuple(warnings),
        (
            *(
                Listed("embedder", name, entry.kind, entry.model, entry.version, entry.dimension)
                for name, entry, _, _ in embedders
            ),
            *(Listed("reranker", name, entry.shape, entry.model) for name, entry, _, _ in rerankers),
        ),
    )


def _entries(
    path: Path, tables: Mapping[str, Any], kind: str, empty: Entry
) -> Iterator[tuple[str, Entry, Mapping[str, Any], str]]:
    """Each table of a kind: its name, what it holds, the same as it was given, and where it stands."""
    known = {field.name for field in fields(empty)}
    given = tables.get(kind, {})
    if not isinstance(given, dict):
        raise InvalidArgument(f"{path}: {kind} is a table of tables: write [{kind}.NAME]")
    for name, table in given.items():
        place = f"{path}: {kind}.{name}"
        if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
            raise InvalidArgument(f"{path}: a name in {kind} has 1 to {MAX_NAME} printable characters")
        if not isinstance(table, dict):
            raise InvalidArgument(f"{place} is a table: write [{kind}.{name}]")
        for key, value in table.items():
            if key not in known:
                raise InvalidArgument(f"{place}: {key!r} is no key of a model{meant(key, known)}")
            checked(key, value, getattr(empty, key), RULES, f"{place}.{key}")
        yield name, replace(empty, **table), table, place


def _embedder(name: str, entry: EmbedderEntry, given: Mapping[str, Any], place: str, warnings: list[str]) -> Embedder:
    if name == LEXICAL:
        raise InvalidArgument(f"{place}: that name is the built-in embedder's")
    _demand(given, ("kind", "model", "version", "dimension"), place)
    options = EmbedderOptions(
        entry.model, entry.version, entry.dimension, entry.query_model, entry.query_prefix, entry.document_prefix,
        entry.batch,
    )  # fmt: skip
    if entry.kind != OPENAI:
        for key in given.keys() & _OF_HTTP:
            raise InvalidArgument(f"{place}: {key!r} goes with kind {OPENAI!r}, not with {entry.kind!r}")
        return LocalEmbedder(name, entry.kind, options)
    _demand(given, ("url",), place)
    endpoint = _endpoint(f"model {name!r}", entry, place, warnings)
    return OpenAIEmbedder(
        name, options, endpoint, entry.encoding_format, entry.send_dimension, n_threads=entry.concurrency
    )


def _reranker(name: str, entry: RerankerEntry, given: Mapping[str, Any], place: str, warnings: list[str]) -> Reranker:
    _demand(given, ("url",) if entry.shape == "tei" else ("url", "model"), place)
    return HttpReranker(name, entry.model, entry.shape, _endpoint(f"reranker {name!r}", entry, place, warnings))


def _demand(given: Mapping[str, Any], keys: tuple[str, ...], place: str) -> None:
    for key in keys:
        if not given.get(key):
            raise InvalidArgument(f"{place}: {key!r} is missing")


def _endpoint(called: str, entry: EmbedderEntry | RerankerEntry, place: str, warnings: list[str]) -> Endpoint:
    api_key = ""
    if entry.api_key_file:
        api_key, found = secret_of_file(f"{place}.api_key_file", entry.api_key_file)
        warnings += found
        if not (api_key.isascii() and api_key.isprintable()) or " " in api_key:
            raise InvalidArgument(f"{place}.api_key_file holds more than a key: one line of printable ASCII")
    patience = Patience(entry.connect_timeout_s, entry.timeout_s, entry.retries, entry.concurrency)
    return Endpoint(called, address_of(entry.url, f"{place}.url", entry.ca_file), patience, api_key)
