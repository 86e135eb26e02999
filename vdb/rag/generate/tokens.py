"""Tokens of texts as a backend counts them: by an upper bound, by its tokenizer, or by asking its server.

A byte-level BPE makes at most one token of a byte, so the bytes of a text bound its tokens; a tokenizer that puts text
into another form first may make more of a few rare characters. What was counted is kept by digest, so that passages
that come again cost nothing.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from vdb.errors import InvalidArgument, ModelUnavailable
from vdb.rag.endpoint import Endpoint
from vdb.rag.generate.base import Message, TokenCounter

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["TOKEN_SHAPES", "ByteBound", "TokenizerCounter", "UrlCounter", "prompt_tokens", "upper_bound"]

TOKEN_SHAPES: Final = ("llama-cpp-python", "llama-server", "vllm")
_KEPT_BYTES: Final = 8 << 20
_BYTES_PER_COUNT: Final = 200
"""What one that is kept takes in CPython: a digest, a number, its place."""
_N_THREADS: Final = 4
_MAX_TOKENS: Final = 1 << 40


class _Prompted(Protocol):
    @property
    def counter(self) -> TokenCounter: ...
    @property
    def message_tokens(self) -> int: ...


def prompt_tokens(backend: _Prompted, messages: Sequence[Message]) -> int:
    """Tokens that messages take of a backend's context, by its counter; raises ModelUnavailable."""
    counts = backend.counter.count([message.content for message in messages])
    return sum(counts) + len(messages) * backend.message_tokens


def upper_bound(text: str) -> int:
    """Bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


class ByteBound:
    """The upper bound. Any thread may call it."""

    is_exact = False

    def count(self, texts: Sequence[str]) -> list[int]:
        return [upper_bound(text) for text in texts]


class _Kept:
    """Counts of texts by digest, those used last. Any thread may call it."""

    def __init__(self, n_bytes: int = _KEPT_BYTES) -> None:
        self._lock = threading.Lock()
        self._most = max(n_bytes // _BYTES_PER_COUNT, 1)
        self._counts: OrderedDict[bytes, int] = OrderedDict()

    def counts(self, texts: Sequence[str], count: Callable[[list[str]], list[int]]) -> list[int]:
        """Of each text its count; those that are not known are asked for, each once."""
        digests = [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts]
        found: dict[bytes, int] = {}
        with self._lock:
            for digest in digests:
                known = self._counts.get(digest)
                if known is not None:
                    self._counts.move_to_end(digest)
                    found[digest] = known
        missing = {digest: text for digest, text in zip(digests, texts, strict=True) if digest not in found}
        if missing:
            made = dict(zip(missing, count(list(missing.values())), strict=True))
            found |= made
            with self._lock:
                self._counts |= made
                while len(self._counts) > self._most:
                    self._counts.popitem(last=False)
        return [found[digest] for digest in digests]


class TokenizerCounter:
    """A `tokenizer.json`, loaded at the first count. Any thread may call it."""

    is_exact = True

    def __init__(self, name: str, path: str) -> None:
        """`name` is what errors call the backend."""
        self._name, self._path = name, path
        self._kept = _Kept()
        self._lock = threading.Lock()
        self._tokenizer: Tokenizer | None = None

    def count(self, texts: Sequence[str]) -> list[int]:
        """Raises ModelUnavailable where the extra is missing, or the file is none."""
        return self._kept.counts(texts, self._counted)

    def _counted(self, texts: list[str]) -> list[int]:
        tokenizer = self._loaded()
        valid = (text.encode("utf-8", "replace").decode() for text in texts)
        return [len(tokenizer.encode(text, add_special_tokens=False).ids) for text in valid]

    def _loaded(self) -> "Tokenizer":
        with self._lock:
            if self._tokenizer is None:
                self._tokenizer = self._load()
            return self._tokenizer

    def _load(self) -> "Tokenizer":
        try:
            from tokenizers import Tokenizer
        except ImportError as exc:
            raise ModelUnavailable(
                f"{self._name} counts tokens by a tokenizer: pip install 'vdb[tokenizers]' on the server"
            ) from exc
        try:
            tokenizer = Tokenizer.from_file(self._path)
        except Exception as exc:  # the library says nothing more precise
            raise ModelUnavailable(f"{self._name} cannot load its tokenizer_file") from exc
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer


class UrlCounter:
    """A server that counts. Any thread may call it; whoever made it closes it, and with it the endpoint."""

    is_exact = True

    def __init__(self, name: str, endpoint: Endpoint, shape: str, model: str) -> None:
        """`shape`: how it is asked, of `TOKEN_SHAPES`; `name` is what errors call the backend."""
        self._name, self._endpoint, self._shape, self._model = name, endpoint, shape, model
        self._kept = _Kept()
        self._threads = ThreadPoolExecutor(_N_THREADS, "vdb-tokens")

    def count(self, texts: Sequence[str]) -> list[int]:
        """Raises ModelUnavailable."""
        return self._kept.counts(texts, self._counted)

    def close(self) -> None:
        """Calls under way fail."""
        self._endpoint.close()
        self._threads.shutdown(cancel_futures=True)

    def _counted(self, texts: list[str]) -> list[int]:
        if len(texts) == 1:
            return [self._asked(texts[0])]
        try:
            futures = [self._threads.submit(self._asked, text) for text in texts]
        except RuntimeError as exc:
            raise ModelUnavailable(f"{self._name} is closed") from exc
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()

    def _asked(self, text: str) -> int:
        text = text.encode("utf-8", "replace").decode()
        asked: dict[str, dict[str, Any]] = {
            "llama-cpp-python": {"input": text, "model": self._model},
            "llama-server": {"content": text},
            "vllm": {"model": self._model, "prompt": text, "add_special_tokens": False},
        }
        try:
            answer = msgspec.json.decode(self._endpoint.post(msgspec.json.encode(asked[self._shape])))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidArgument) as exc:
            raise ModelUnavailable(f"{self._name} does not tell how many tokens a text has") from exc
        found = answer.get("count") if isinstance(answer, dict) else None
        if found is None and isinstance(answer, dict) and isinstance(answer.get("tokens"), list):
            found = len(answer["tokens"])
        if type(found) is not int or not 0 <= found < _MAX_TOKENS:
            raise ModelUnavailable(f"{self._name} tells no number of tokens")
        return found
