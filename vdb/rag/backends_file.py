"""Tables of backends in the file of models: `[backends.NAME]`; see docs/models.md."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vdb.errors import InvalidArgument
from vdb.layered import Rules
from vdb.rag.connection import address_of
from vdb.rag.endpoint import Endpoint, Patience
from vdb.rag.extractive import EXTRACTIVE
from vdb.rag.generate.base import TokenCounter
from vdb.rag.generate.estimate import Estimate
from vdb.rag.generate.openai import BackendOptions, OpenAIBackend
from vdb.rag.generate.tokens import TOKEN_SHAPES, ByteBound, TokenizerCounter, UrlCounter
from vdb.rag.generate.upstream import StreamPatience, Upstream
from vdb.rag.model_tables import OPENAI, api_key_of, demand

__all__ = ["BACKEND_RULES", "BackendEntry", "backend_of"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Without a slash: `collection/backend` names a model of the chat."""
_COUNT_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class BackendEntry:
    """One table of backends; empty where nothing is given, a temperature of -1 where none is asked for."""

    kind: str = ""
    url: str = ""
    model: str = ""
    api_key_file: str = ""
    ca_file: str = ""
    context_tokens: int = 0
    max_tokens: int = 512
    max_tokens_field: str = "max_tokens"
    message_tokens: int = 8
    temperature: float = -1.0
    tokens: str = "bound"
    tokenizer_file: str = ""
    tokens_url: str = ""
    tokens_shape: str = ""
    categories: tuple[str, ...] = ()
    stream_usage: bool = True
    concurrency: int = 8
    connect_timeout_s: float = 5.0
    idle_timeout_s: float = 60.0
    timeout_s: float = 300.0
    retries: int = 2


BACKEND_RULES: Final = Rules(
    bounds={
        "context_tokens": (64, 100_000_000),
        "max_tokens": (1, 10_000_000),
        "message_tokens": (0, 1000),
        "temperature": (0.0, 2.0),
        "concurrency": (1, 1024),
        "connect_timeout_s": (0.01, 3600.0),
        "idle_timeout_s": (0.01, 3600.0),
        "timeout_s": (0.01, 86_400.0),
        "retries": (0, 10),
    },
    choices={
        "kind": (OPENAI,),
        "max_tokens_field": ("max_tokens", "max_completion_tokens"),
        "tokens": ("bound", "estimate", "tokenizer", "url"),
        "tokens_shape": TOKEN_SHAPES,
    },
)


def backend_of(
    name: str, entry: BackendEntry, given: Mapping[str, Any], place: str, warnings: list[str]
) -> OpenAIBackend:
    """The backend that a table describes; nothing is asked or loaded yet. Raises InvalidArgument, with the place."""
    if not _NAME.fullmatch(name):
        raise InvalidArgument(f"{place}: a backend's name has 1 to 64 letters, digits, dots, dashes and underscores")
    if name == EXTRACTIVE:
        raise InvalidArgument(f"{place}: that name is the built-in backend's")
    demand(given, ("kind", "url", "model", "context_tokens"), place)
    if entry.max_tokens >= entry.context_tokens:
        raise InvalidArgument(f"{place}.max_tokens must be less than context_tokens: a prompt goes there too")
    if not all(category for category in entry.categories):
        raise InvalidArgument(f"{place}.categories holds an empty name")
    called = f"backend {name!r}"
    api_key = api_key_of(entry.api_key_file, place, warnings)
    counter = _counter(called, entry, given, place, api_key)
    upstream = Upstream(
        called,
        address_of(entry.url, f"{place}.url", entry.ca_file),
        StreamPatience(
            entry.connect_timeout_s, entry.idle_timeout_s, entry.timeout_s, entry.retries, entry.concurrency
        ),
        api_key,
    )
    options = BackendOptions(
        model=entry.model,
        context_tokens=entry.context_tokens,
        max_tokens=entry.max_tokens,
        message_tokens=entry.message_tokens,
        temperature=None if entry.temperature < 0.0 else entry.temperature,
        categories=frozenset(entry.categories),
        has_stream_usage=entry.stream_usage,
        max_tokens_field=entry.max_tokens_field,
    )
    return OpenAIBackend(name, options, upstream, counter)


def _counter(called: str, entry: BackendEntry, given: Mapping[str, Any], place: str, api_key: str) -> TokenCounter:
    for key, kind in (("tokenizer_file", "tokenizer"), ("tokens_url", "url"), ("tokens_shape", "url")):
        if key in given and entry.tokens != kind:
            raise InvalidArgument(f"{place}: {key!r} goes with tokens = {kind!r}, not with {entry.tokens!r}")
    if entry.tokens == "tokenizer":
        demand(given, ("tokenizer_file",), place)
        if not Path(entry.tokenizer_file).is_file():
            raise InvalidArgument(f"{place}.tokenizer_file: there is no file {entry.tokenizer_file}")
        return TokenizerCounter(called, entry.tokenizer_file)
    if entry.tokens == "url":
        demand(given, ("tokens_url", "tokens_shape"), place)
        address = address_of(entry.tokens_url, f"{place}.tokens_url", entry.ca_file)
        patience = Patience(entry.connect_timeout_s, _COUNT_TIMEOUT_S, entry.retries)
        return UrlCounter(called, Endpoint(called, address, patience, api_key), entry.tokens_shape, entry.model)
    return Estimate() if entry.tokens == "estimate" else ByteBound()
