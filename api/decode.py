"""Requests on their way in: bytes to the operation's request shape, as strictly as `vdb.protocol.strict_json`.

Cold routes are judged by `strict_json.decode`, then decoded with types. The hot routes (search, upsert, a cache's
lookup) are decoded with types only, in C, and a cheap proof over the bytes shows that the judge would agree: no two
keys of one object are equal. Where the proof does not hold, the judge decides. What the proof leaves out is checked
where it is decoded: the filter here, payloads in the engine. A number of a vector may be an integer of any size.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import numpy as np
from msgspec import UNSET, Raw, UnsetType
from numpy.typing import NDArray

from vdb.errors import (
    DuplicateKey,
    IntegerOutOfRange,
    InvalidArgument,
    InvalidJson,
    NestedTooDeep,
    UnknownField,
    VdbError,
)
from vdb.protocol import cache_requests, columns, document_requests, requests, strict_json
from vdb.protocol.operations import OPERATIONS, Operation
from vdb.protocol.pointers import from_validation_error
from vdb.protocol.strict_json import INT64_MAX, INT64_MIN, child_pointer

from .decode_answer import decode_answer
from .proofs import keys_differ, without_numbers, without_text

Vectors = NDArray[np.float32]
Decoded = tuple[requests.Request, Vectors | None]

_MAX_QUERY_PARAMETERS = 16
_REFUSED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_RANKED_INTEGERS = (("fusion", "depth"), ("reranker", "depth"), ("group", "size"))
_SPACED_COLONS = (b" :", b"\n:", b"\r:", b"\t:")


class _Search(requests.Search):
    """A search whose filter and text are still JSON: they may hold whatever the proof over the rest stumbles over."""

    filter: Raw | UnsetType = UNSET
    text: Raw | UnsetType = UNSET  # type: ignore[assignment]


class _SearchHead(columns.SearchHead):
    filter: Raw | UnsetType = UNSET
    text: Raw | UnsetType = UNSET  # type: ignore[assignment]


class _Retrieval(cache_requests.Retrieval):
    filter: Raw | UnsetType = UNSET


class _CacheLookup(cache_requests.CacheLookup):
    """A look-up whose text and filter are still text: they may hold whatever the proof over the rest stumbles over."""

    text: Raw | UnsetType = UNSET  # type: ignore[assignment]
    retrieval: _Retrieval | UnsetType = UNSET


_decode_search = msgspec.json.Decoder(_Search).decode
_decode_search_head = msgspec.json.Decoder(_SearchHead).decode
_decode_lookup = msgspec.json.Decoder(_CacheLookup).decode
_decode_plain_head = msgspec.json.Decoder(columns.SearchHead).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_upsert = msgspec.json.Decoder(requests.Upsert).decode
_decode_upsert_head = msgspec.json.Decoder(columns.UpsertHead).decode
_decode_update_payload = msgspec.json.Decoder(requests.UpdatePayload).decode
_decode_put_documents = msgspec.json.Decoder(document_requests.PutDocuments).decode
_cold_decoders = {operation.name: msgspec.json.Decoder(operation.request) for operation in OPERATIONS}


def decode_body(operation: Operation, body: bytes, is_binary: bool) -> Decoded:
    """The request in `body`, and the vectors of a binary body; raises InvalidArgument or one of its kinds."""
    if operation.name == "search":
        return _binary_search(body) if is_binary else (_search(body), None)
    if operation.name == "upsert":
        return _binary_upsert(body) if is_binary else (_upsert(body), None)
    if operation.name == "cache_lookup":
        return _lookup(body), None
    if operation.name == "update_payload":
        return _update_payload(body), None
    if operation.name == "put_documents":
        return _put_documents(body), None
    if operation.name == "answer":
        return decode_answer(body, lambda: _cold(operation, body)), None
    return _cold(operation, body), None


def decode_query(operation: Operation, query: bytes) -> requests.Request:
    """The request of a listing, from its query string; any other operation has no query parameters."""
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_QUERY_PARAMETERS
        )
    except ValueError as exc:
        raise InvalidArgument("the query string is malformed") from exc
    known = () if operation.method != "GET" else operation.request.__struct_fields__
    given: dict[str, str] = {}
    for name, value in pairs:
        pointer = child_pointer("", name)
        if name not in known:
            raise UnknownField.at(pointer, f"unknown query parameter {name!r}")
        if name in given:
            raise DuplicateKey.at(pointer, f"query parameter {name!r} is given more than once")
        given[name] = value
    return _convert_query(operation.request, given)


def _convert_query(shape: type[requests.Request], given: dict[str, str]) -> requests.Request:
    try:
        request = msgspec.convert(given, shape, strict=False)
    except msgspec.ValidationError as exc:
        raise _translate(exc) from exc
    for name in given:
        _check_integer(getattr(request, name), child_pointer("", name))
    return request


def _cold(operation: Operation, body: bytes) -> requests.Request:
    if not body:
        if operation.request is requests.Empty:
            return requests.Empty()
        raise InvalidJson.at("", "a JSON body is needed")
    strict_json.decode(body)
    try:
        return _cold_decoders[operation.name].decode(body)
    except _REFUSED as exc:
        raise _translate(exc) from exc


def _update_payload(body: bytes) -> requests.UpdatePayload:
    try:
        request = _decode_update_payload(body)
    except _REFUSED as exc:
        raise _refusal(body, exc) from exc
    _judge(body)
    for position, point in enumerate(request.points):
        _check_integer(point.if_version, f"/points/{position}/if_version")
    return request


def _put_documents(body: bytes) -> document_requests.PutDocuments:
    """Texts hold colons and vectors many numbers: the keys found are counted, and the judge asked only in doubt."""
    try:
        request = _decode_put_documents(body)
    except _REFUSED as exc:
        raise _refusal(body, exc) from exc
    n_keys = 1 + (request.owner is not UNSET) + (request.chunking is not UNSET)
    if isinstance(request.chunking, document_requests.Chunking):
        n_keys += _n_changed(request.chunking)
    for document in request.documents:
        n_keys += 1 + _n_changed(document)
        for chunk in document.chunks if isinstance(document.chunks, list) else ():
            n_keys += 1 + _n_changed(chunk)
    _judge(body, n_keys)
    return request


@cache
def _optional(shape: type[msgspec.Struct]) -> tuple[tuple[str, Any], ...]:
    """Name and default of the fields that need not be given."""
    return tuple((field.name, field.default) for field in msgspec.structs.fields(shape) if not field.required)


def _n_changed(request: msgspec.Struct) -> int:
    """How many of the fields that have a default were given another value, and the keys of a payload among them."""
    n_given = 0
    for name, default in _optional(type(request)):
        value = getattr(request, name)
        if value is not default and value != default:
            n_given += 1
            if isinstance(value, Raw):
                n_given += strict_json.count_keys(msgspec.json.decode(value))
    return n_given


def _search(body: bytes) -> requests.Search:
    try:
        request = _decode_search(body)
        text = _text_of(request.text, lambda: _cold_decoders["search"].decode(body))
    except _REFUSED as exc:
        raise _refusal(body, exc) from exc
    _judge_search(body, request)
    decoded: requests.Search = request
    decoded.text = text
    return decoded


def _binary_search(body: bytes) -> Decoded:
    head, vectors = columns.split_frame(body)
    try:
        request = _decode_search_head(head)
        text = _text_of(request.text, lambda: _decode_plain_head(head))
    except _REFUSED as exc:
        raise _refusal(head, exc) from exc
    _judge_search(head, request)
    _check_integer(request.n_queries, "/n_queries")
    decoded: columns.SearchHead = request
    decoded.text = text
    return decoded, vectors


def _text_of(raw: Raw | UnsetType, decode: Callable[[], Any]) -> str | UnsetType:
    """The text that a request holds as JSON; what is none has the typed decoder, `decode`, say so."""
    if isinstance(raw, UnsetType):
        return UNSET
    text = bytes(raw)
    if text[:1] != b'"':
        decode()
    found: str = _decode_text(text)
    return found


def _judge_search(text: bytes, request: _Search | _SearchHead) -> None:
    """Check what the typed decoder let pass, and put the decoded filter in the place of its text."""
    decoded: requests.Search | columns.SearchHead = request
    body, text = text, without_text(text, request.text)
    if request.filter is UNSET:
        decoded.filter = None
    else:
        raw = bytes(request.filter)
        decoded.filter = strict_json.decode(raw, "/filter")
        if raw[:1] == b"{":
            text = text.replace(raw, b"", 1)
    if not keys_differ(without_numbers(text)):
        _judge(body)
    _check_integer(request.limit, "/limit")
    _check_integer(request.min_sequence, "/min_sequence")
    if isinstance(request.params, requests.SearchParams):
        _check_integer(request.params.budget, "/params/budget")
        _check_integer(request.params.rerank, "/params/rerank")
    for name, member in _RANKED_INTEGERS:
        given = getattr(request, name)
        if given is not UNSET:
            _check_integer(getattr(given, member), f"/{name}/{member}")


def _lookup(body: bytes) -> cache_requests.CacheLookup:
    try:
        request = _decode_lookup(body)
        text = _text_of(request.text, lambda: _cold_decoders["cache_lookup"].decode(body))
    except _REFUSED as exc:
        raise _refusal(body, exc) from exc
    _judge_lookup(body, request)
    decoded: cache_requests.CacheLookup = request
    decoded.text = text
    return decoded


def _judge_lookup(body: bytes, request: _CacheLookup) -> None:
    """Check what the typed decoder let pass."""
    rest = without_text(body, request.text)
    retrieval = request.retrieval
    if not isinstance(retrieval, UnsetType):
        if retrieval.filter is not UNSET:
            raw = bytes(retrieval.filter)
            decoded: cache_requests.Retrieval = retrieval
            decoded.filter = strict_json.decode(raw, "/retrieval/filter")
            rest = rest.replace(raw, b"", 1) if raw[:1] == b"{" else rest
        _check_integer(retrieval.limit, "/retrieval/limit")
        _check_integer(retrieval.sequence, "/retrieval/sequence")
        _check_integer(retrieval.depth, "/retrieval/depth")
        if isinstance(retrieval.fusion, requests.Fusion):
            _check_integer(retrieval.fusion.depth, "/retrieval/fusion/depth")
        if isinstance(retrieval.params, requests.SearchParams):
            _check_integer(retrieval.params.budget, "/retrieval/params/budget")
            _check_integer(retrieval.params.rerank, "/retrieval/params/rerank")
    if not keys_differ(rest):
        _judge(body)
    _check_integer(request.wait_ms, "/wait_ms")


def _upsert(body: bytes) -> requests.Upsert:
    try:
        request = _decode_upsert(body)
    except _REFUSED as exc:
        raise _refusal(body, exc) from exc
    n_keys = 1 + (request.owner is not UNSET) + (request.ack is not UNSET)
    payloads: list[bytes] = []
    for position, point in enumerate(request.points):
        n_keys += 1 + (point.vector is not None) + (point.expires_at is not None)
        if point.payload is not UNSET:
            n_keys += 1
            payloads.append(bytes(point.payload))
        if point.shared_with is not UNSET:
            n_keys += 1
        if point.if_absent is not UNSET:
            n_keys += 1
        if point.if_version is not UNSET:
            n_keys += 1
            _check_integer(point.if_version, f"/points/{position}/if_version")
    _judge_upsert(body, n_keys, payloads)
    return request


def _binary_upsert(body: bytes) -> Decoded:
    head, vectors = columns.split_frame(body)
    try:
        request = _decode_upsert_head(head)
    except _REFUSED as exc:
        raise _refusal(head, exc) from exc
    n_keys = sum(getattr(request, name) is not UNSET for name in request.__struct_fields__)
    payloads: list[bytes] = []
    if request.payloads is not UNSET:
        payloads = [bytes(raw) for raw in request.payloads]
    if request.if_version is not UNSET:
        for position, version in enumerate(request.if_version):
            _check_integer(version, f"/if_version/{position}")
    _judge_upsert(head, n_keys, payloads)
    return request, vectors


def _judge_upsert(text: bytes, n_keys: int, payloads: list[bytes]) -> None:
    """Refuse equal keys outside the payloads, of which the typed decoder found `n_keys` different ones.

    Every key has a colon of its own, so as many colons as keys found means that none was written twice. Where ids or
    dates hold colons, the same goes for `":`, unless some colon stands after white space.
    """
    if _count_outside(text, b":", payloads) == n_keys:
        return
    is_spaced = any(pair in text and _count_outside(text, pair, payloads) for pair in _SPACED_COLONS)
    if is_spaced or _count_outside(text, b'":', payloads) != n_keys:
        _judge(text)


def _count_outside(text: bytes, what: bytes, payloads: Iterable[bytes]) -> int:
    return text.count(what) - sum(payload.count(what) for payload in payloads)


def _judge(text: bytes, n_keys: int | None = None) -> None:
    """Let the judge look at syntax and keys, which it does before it looks at values.

    `n_keys`: so many different keys were found, which may spare it the look.

    Its verdict on values is left aside where types or the engine judge them: integers were checked with types, those of
    a vector have no bound, and the depth of a payload counts from the payload.
    """
    try:
        if n_keys is None:
            strict_json.decode(text)
        else:
            strict_json.check_body(text, n_keys)
    except IntegerOutOfRange:
        return
    except NestedTooDeep as error:
        if isinstance(error.__cause__, RecursionError):  # it gave up before it had seen all keys
            raise


def _refusal(text: bytes, exc: Exception) -> VdbError:
    """The error of a body that the typed decoder refused: the judge's if it refuses too, else the decoder's."""
    if not text:
        return InvalidJson.at("", "a JSON body is needed")
    try:
        _judge(text)
    except InvalidArgument as error:
        return error
    return _translate(exc)


def _translate(exc: Exception) -> VdbError:
    """A decoder's complaint as our error, with a JSON pointer in the place of its path."""
    if isinstance(exc, RecursionError):
        return NestedTooDeep.at("", f"nested deeper than {strict_json.MAX_DEPTH} levels")
    if not isinstance(exc, msgspec.ValidationError):
        return InvalidJson.at("", "the body is not valid JSON")
    return from_validation_error(exc)


def _check_integer(value: Any, pointer: str) -> None:
    if type(value) is int and not INT64_MIN <= value <= INT64_MAX:
        raise IntegerOutOfRange.at(pointer, "integer beyond 64 bits")
