"""Merge patches by the examples of RFC 7396, payload bytes, and the size cap."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.engine.payloads import check_payload_size, merge_patch, payload_bytes
from vdb.errors import InvalidJson, PayloadTooLarge

# RFC 7396, Appendix A: target, patch, result.
EXAMPLES = [
    ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
    ('{"a":"b"}', '{"a":null}', "{}"),
    ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
    ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
    ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
    ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
    ('["a","b"]', '["c","d"]', '["c","d"]'),
    ('{"a":"b"}', '["c"]', '["c"]'),
    ('{"a":"foo"}', '"bar"', '"bar"'),
    ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
    ("[1,2]", '{"a":"b","c":null}', '{"a":"b"}'),
    ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
]
VALUES = st.recursive(
    st.none() | st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner), max_leaves=6
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), VALUES)


@pytest.mark.parametrize(("target", "patch", "result"), EXAMPLES)
def test_a_patch_gives_the_result_of_the_rfc(target: str, patch: str, result: str) -> None:
    # As members, because a payload is an object and the table has other values too.
    assert merge_patch({"x": json.loads(target)}, {"x": json.loads(patch)}) == {"x": json.loads(result)}


def test_a_null_patch_removes_the_member() -> None:
    assert merge_patch({"x": {"a": "foo"}}, {"x": None}) == {}


@given(OBJECTS, OBJECTS)
def test_neither_argument_is_changed_and_the_patch_is_idempotent(target: dict[str, Any], patch: dict[str, Any]) -> None:
    before = copy.deepcopy((target, patch))
    merged = merge_patch(target, patch)
    assert (target, patch) == before
    assert merge_patch(merged, patch) == merged


def test_payload_bytes_are_compact_json() -> None:
    assert payload_bytes({"a": [1, None], "b": "é"}) == '{"a":[1,null],"b":"é"}'.encode()


@pytest.mark.parametrize("value", [object(), "\ud800", {(1, 2): 3}])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(InvalidJson) as caught:
        payload_bytes({"a": value}, "/points/0/payload")
    assert caught.value.problems[0].pointer == "/points/0/payload"


def test_a_payload_that_contains_itself_is_refused() -> None:
    payload: dict[str, Any] = {}
    payload["self"] = payload
    with pytest.raises(InvalidJson):
        payload_bytes(payload)


def test_the_size_cap_counts_bytes_and_includes_its_limit() -> None:
    check_payload_size(b"{}", 2, "/payload")
    with pytest.raises(PayloadTooLarge) as caught:
        check_payload_size(b"{ }", 2, "/points/1/payload")
    assert caught.value.problems[0].pointer == "/points/1/payload"
