"""Bodies of `application/x-vdb` are decoded as strictly as JSON."""

import msgspec
import numpy as np
import pytest

from tests.api.test_api_decode import refusal
from vdb.protocol import columns
from vdb.protocol.operations import BY_NAME
from vdb_api import decode


def test_a_binary_search_carries_vectors_and_head() -> None:
    block = np.arange(6, dtype=np.float32)
    body = columns.join_frame({"limit": 3, "n_queries": 2, "filter": {"field": "a", "eq": 1}}, block)
    request, vectors = decode.decode_body(BY_NAME["search"], body, True)
    assert isinstance(request, columns.SearchHead)
    assert (request.limit, request.n_queries, request.filter) == (3, 2, {"field": "a", "eq": 1})
    assert vectors is not None
    np.testing.assert_array_equal(vectors, block)


def test_a_binary_upsert_carries_columns() -> None:
    head = {"ids": ["a", "b"], "payloads": [{"x": 1}, None], "if_version": [None, 3]}
    request, vectors = decode.decode_body(
        BY_NAME["upsert"], columns.join_frame(head, np.ones((2, 3), dtype=np.float32)), True
    )
    assert isinstance(request, columns.UpsertHead)
    assert request.ids == ["a", "b"]
    assert request.payloads == [msgspec.Raw(b'{"x":1}'), msgspec.Raw(b"null")]
    assert vectors is not None
    assert vectors.size == 6


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b'{"ids":["a"],"ids":["b"]}', "duplicate_key"),
        (b'{"ids":["a"],"payloads":[{"a":1}],"payloads":[{"a":1}]}', "duplicate_key"),
        (b'{"ids":["a"],"ack":"queued","ack":"queued"}', "duplicate_key"),
        (b'{"ids":["a"],"zz":1}', "unknown_field"),
        (b'{"ids":["a"],"if_version":[9223372036854775808]}', "integer_out_of_range"),
        (b'{"ids":["a"]', "invalid_json"),
        (b'{"ids":[1]}', "invalid_argument"),
    ],
)
def test_a_binary_head_is_judged_like_a_body(head: bytes, code: str) -> None:
    frame = columns.join_frame(msgspec.Raw(head), np.zeros(0, dtype=np.float32))
    assert refusal("upsert", frame, is_binary=True).code == code


@pytest.mark.parametrize("frame", [b"", b"VDB1", b"VDB2\0\0\0\0", b"VDB1\xff\xff\xff\xff", b"VDB1\2\0\0\0{}abc"])
def test_a_broken_frame_is_refused(frame: bytes) -> None:
    assert refusal("search", frame, is_binary=True).code == "invalid_argument"
