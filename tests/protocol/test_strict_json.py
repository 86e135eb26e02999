"""Strict JSON: what is refused and where, and that the fast path and its proofs agree with the slow judge."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vdb.errors import DuplicateKey, IntegerOutOfRange, InvalidArgument, InvalidJson, NestedTooDeep, VdbError
from vdb.protocol import strict_json
from vdb.protocol.strict_json import (
    MAX_DEPTH,
    check_body,
    child_pointer,
    count_keys,
    count_top_level_keys,
    decode,
    decode_payload,
)


def outcome(raw: bytes, pointer: str = "/p") -> object:
    """What the slow judge says of `raw` as a payload: the value, or the error's class, pointers and detail."""
    try:
        value = decode(raw, pointer)
    except VdbError as exc:
        return type(exc), exc.problems
    return repr(value) if isinstance(value, dict) else InvalidArgument


def fast_outcome(raw: bytes, pointer: str = "/p") -> object:
    try:
        return repr(decode_payload(raw, pointer))
    except VdbError as exc:
        return InvalidArgument if type(exc) is InvalidArgument else (type(exc), exc.problems)


@pytest.mark.parametrize(
    ("raw", "error", "pointer"),
    [
        (b'{"a":1,"a":1}', DuplicateKey, "/p/a"),
        (b'{"a":1,"\\u0061":2}', DuplicateKey, "/p/a"),
        (b'{"x":[{"a" :1, "b":":", "a"\n:2}]}', DuplicateKey, "/p/x/0/a"),
        (b'{"a":[0,9223372036854775808]}', IntegerOutOfRange, "/p/a/1"),
        (b'{"a":-9223372036854775809}', IntegerOutOfRange, "/p/a"),
        (b'{"a/b":{"~":' + b"9" * 5000 + b"}}", IntegerOutOfRange, "/p/a~1b/~0"),
        (b'{"a":1e400}', InvalidJson, "/p/a"),
        (b'{"a":NaN}', InvalidJson, "/p"),
        (b'{"a":-Infinity}', InvalidJson, "/p"),
        (b'{"a":"\\ud800"}', InvalidJson, "/p/a"),
        (b'{"\\ud800":1}', InvalidJson, "/p"),
        (b'{"a":"\\ud800\\u0041"}', InvalidJson, "/p/a"),
        (b'{"a":"\xed\xa0\x80"}', InvalidJson, "/p"),
        (b'{"a":"\xff"}', InvalidJson, "/p"),
        (b'\xef\xbb\xbf{"a":1}', InvalidJson, "/p"),
        (b'{"a":"\x00"}', InvalidJson, "/p"),
        (b'{"a":01}', InvalidJson, "/p"),
        (b'{"a":1,}', InvalidJson, "/p"),
        (b"{'a':1}", InvalidJson, "/p"),
        (b'{"a":1} {}', InvalidJson, "/p"),
        (b"", InvalidJson, "/p"),
        (b'{"a":' * MAX_DEPTH + b"[]" + b"}" * MAX_DEPTH, NestedTooDeep, "/p" + "/a" * MAX_DEPTH),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", NestedTooDeep, "/p"),
    ],
)
def test_each_fault_has_its_error_on_both_paths(raw: bytes, error: type[VdbError], pointer: str) -> None:
    for judge in (decode, decode_payload):
        with pytest.raises(error) as caught:
            judge(raw, "/p")
        assert caught.value.problems[0].pointer == pointer


def test_a_duplicate_is_named() -> None:
    with pytest.raises(DuplicateKey, match='"lang"'):
        decode(b'{"x":{"lang":"en","lang":"de"}}')


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'{"a":[-9223372036854775808,9223372036854775807]}', {"a": [-(2**63), 2**63 - 1]}),
        (b'{"a":"\\u0000"}', {"a": "\0"}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        (b' {\t"a" : {"b":": \\":"}\r\n} ', {"a": {"b": ': ":'}}),
        (b'{"":{"":null}}', {"": {"": None}}),
        (b'{"a":' * (MAX_DEPTH - 1) + b"[]" + b"}" * (MAX_DEPTH - 1), None),
    ],
)
def test_what_is_allowed_is_decoded_on_both_paths(raw: bytes, value: object) -> None:
    assert decode(raw) == decode_payload(raw, "") == (decode(raw) if value is None else value)


def test_a_memoryview_is_decoded() -> None:
    assert decode(memoryview(b"[1]")) == [1]


@pytest.mark.parametrize("raw", [b"[]", b"1", b"null", b'"a"'])
def test_a_payload_is_an_object(raw: bytes) -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode_payload(raw, "/points/2/payload")
    assert type(caught.value) is InvalidArgument
    assert caught.value.problems[0].pointer == "/points/2/payload"


def test_pointers_are_escaped() -> None:
    assert child_pointer("/a", "b~/c") == "/a/b~0~1c"
    assert child_pointer("", 3) == "/3"


# Text that is nearly JSON: valid values written with odd spaces, repeated keys and awkward strings, then damaged.

STRINGS = st.sampled_from(
    ["", "a", "b", ":", '":', '"', '":"', " :", '"a":', "{[", "\\", "\n", "é", "\0", "\U0001f600"]
)
WRITTEN_STRINGS = st.builds(lambda text, plain: json.dumps(text, ensure_ascii=not plain), STRINGS, st.booleans())
NUMERALS = st.sampled_from("0 -0 1 -1 1.0 0.1 1e5 1E-7 1e400 -1e400 5e-324 1e-400 01 1. .5 +1".split())  # noqa: SIM905
EDGES = st.sampled_from([2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64 - 1, 2**64, 10**30]).map(str)
ROUNDING = st.sampled_from(
    [
        "2.2250738585072011e-308",
        "1.7976931348623159e308",
        "0.1000000000000000055511151231257827021181583404541015625",
    ]
)
WORDS = st.sampled_from(["true", "false", "null", "NaN", "Infinity", "-Infinity"])
ESCAPES = st.sampled_from(
    ['"\\ud800"', '"\\udc00"', '"\\ud800\\u0041"', '"\\udc00\\ud800"', '"\\u00e9"', '"\\x"', '"\\/"']
)
LITERALS = NUMERALS | EDGES | ROUNDING | WORDS | ESCAPES | st.floats(allow_nan=False, allow_infinity=False).map(repr)
SPACES = st.sampled_from(["", "", "", " ", "\n\t", "\r"])


def written_list(parts: list[str], space: str) -> str:
    return "[" + f"{space},".join(parts) + space + "]"


def written_object(members: list[tuple[str, str, str, str]]) -> str:
    return "{" + ",".join(f"{key}{before}:{after}{value}" for key, before, after, value in members) + "}"


def objects(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(written_object, st.lists(st.tuples(WRITTEN_STRINGS, SPACES, SPACES, inner), max_size=4))


DOCUMENTS = st.recursive(
    WRITTEN_STRINGS | LITERALS,
    lambda inner: objects(inner) | st.builds(written_list, st.lists(inner, max_size=4), SPACES),
    max_leaves=10,
)
TEXTS = objects(DOCUMENTS).map(lambda text: text.encode("utf-8", "surrogatepass"))


@given(TEXTS)
@example(b'{"a" :1,"a":2,"b":":"}')
@example(b'{"a":"\\":","a":1}')
def test_the_fast_path_agrees_with_the_judge(raw: bytes) -> None:
    assert fast_outcome(raw) == outcome(raw)


@given(TEXTS, st.data())
def test_the_fast_path_agrees_with_the_judge_on_damaged_text(raw: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(raw)))
    stop = data.draw(st.integers(start, min(len(raw), start + 3)))
    patch = data.draw(st.binary(max_size=2) | st.sampled_from([b'"', b":", b"\\", b"{", b"]", b"\\ud800", b"e999"]))
    damaged = raw[:start] + patch + raw[stop:]
    assert fast_outcome(damaged) == outcome(damaged)


@given(st.integers(1, 40), st.sampled_from([(b'{"a":', b"}"), (b"[", b"]")]))
def test_the_fast_path_agrees_with_the_judge_on_depth(depth: int, brackets: tuple[bytes, bytes]) -> None:
    raw = b'{"x":' + brackets[0] * depth + b"1" + brackets[1] * depth + b"}"
    assert fast_outcome(raw) == outcome(raw)


@given(TEXTS)
def test_a_body_is_refused_exactly_when_a_key_is_repeated(raw: bytes) -> None:
    try:
        value = msgspec.json.decode(raw)
    except ValueError:
        return  # the typed decoder refuses it first
    result: Any = None
    try:
        check_body(raw, count_keys(value))
    except VdbError as exc:
        result = type(exc)
    judged = outcome(raw)
    repeated = isinstance(judged, tuple) and judged[0] is DuplicateKey
    assert (result is DuplicateKey) is repeated


def test_a_repeated_key_of_a_body_is_named() -> None:
    with pytest.raises(DuplicateKey, match='"limit"'):
        check_body(b'{"vector":[1,0],"limit":5,"limit":6}', 2)


def test_a_body_is_judged_by_tokens_when_its_strings_hold_colons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_json, "decode", lambda raw: pytest.fail("the judge was asked"))
    check_body(b'{"id" :"a : b","payload":{"t":"\\":\\\\"}}', 3)


def test_top_level_keys_are_counted_once_each() -> None:
    assert count_top_level_keys(b'{"limit":1,"filter":{"and":[{"field":"a","eq":1}]},"limit":2}') == 2


def test_too_low_a_count_asks_the_judge_and_passes() -> None:
    check_body(b'{"vector":[1,0],"limit":5}', 1)
