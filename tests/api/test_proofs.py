"""Proofs over a request's bytes: what they leave out never hides a key."""

import json

import pytest

from vdb_api.proofs import keys_differ, without_numbers


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (b'{"vector":[1,-2.5e3, 4],"limit":3}', b'{"vector":],"limit":3}'),
        (b'{"vectors":[[1,2],[3,4]],"limit":3}', b'{"vectors":],[3,4]],"limit":3}'),
        (b'{"limit":3}', b'{"limit":3}'),
        (b'{"ids":["a"],"vector":[1]}', b'{"ids":["a"],"vector":[1]}'),
        (b'{"group":{"by":["a"]},"vector":[1]}', b'{"group":{"by":["a"]},"vector":[1]}'),
        (b'{"points":[{"id":1}]}', b'{"points":[{"id":1}]}'),
    ],
)
def test_only_an_array_without_strings_is_left_out(text: bytes, left: bytes) -> None:
    assert without_numbers(text) == left


@pytest.mark.parametrize(
    "text",
    [
        b'{"vector":[1,2],"limit":1,"limit":2}',
        b'{"limit":1,"vector":[1,2],"limit":2}',
        b'{"vector":[1],"vector":[2]}',
        b'{"mode":"[","limit":1,"limit":2,"x":"]"}',
        b'{"params":{"recall":0.5,"recall":0.6},"vector":[1]}',
    ],
)
def test_equal_keys_are_found_beside_an_array(text: bytes) -> None:
    assert not keys_differ(without_numbers(text))


def test_a_search_proves_itself() -> None:
    text = json.dumps({"vector": [0.25] * 40, "limit": 3, "params": {"recall": 0.9}, "with_payload": False}).encode()
    assert keys_differ(without_numbers(text)) and len(without_numbers(text)) < 90
