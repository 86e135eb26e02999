"""The REST layer on a real engine: the same answers for JSON and binary bodies, and faults the engine finds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from tests.api.stub_engine import Asked, StubEngine, ask
from vdb.config import Settings
from vdb.engine.engine import Engine
from vdb.protocol.columns import MEDIA_TYPE, join_frame

ADMIN = "an-admin-key-for-tests"
POINTS = "/v1/collections/notes/points"
SEARCH = "/v1/collections/notes/search"
BINARY = [("Content-Type", MEDIA_TYPE)]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[StubEngine]:
    opened = Engine.open(Settings(data_dir=tmp_path / "data", admin_key=ADMIN, compile_kernels=False))
    try:
        yield cast(StubEngine, opened)
    finally:
        opened.close()


@pytest.fixture
def keys(engine: StubEngine) -> dict[str, str]:
    """A collection `notes` of dimension 3, and keys of the tenant `acme` by role."""
    made = ask(engine, "POST", "/v1/collections", {"name": "notes", "dimension": 3, "metric": "l2"}, key=ADMIN)
    assert made.status == 201
    return {role: key_of(engine, role) for role in ("read", "write")}


def key_of(engine: StubEngine, role: str) -> str:
    return str(ask(engine, "POST", "/v1/keys", {"role": role, "tenant": "acme"}, key=ADMIN).json["key"])


def test_json_and_binary_bodies_say_the_same(engine: StubEngine, keys: dict[str, str]) -> None:
    vectors = np.array([[1, 0, 0], [0, 1, 0]], dtype=np.float32)
    frame = join_frame({"ids": ["a", "b"], "payloads": [{"n": 1}, None]}, vectors)
    points = [{"id": "a", "vector": [1, 0, 0], "payload": {"n": 1}}, {"id": "b", "vector": [0, 1, 0]}]
    found: list[Any] = []
    for body, headers in ((frame, BINARY), ({"points": points}, [])):
        written = ask(engine, "POST", POINTS, body, key=keys["write"], headers=headers)
        sequence = written.json["sequence"]
        asked = {"limit": 2, "with_vector": True, "min_sequence": sequence}
        as_json = ask(engine, "POST", SEARCH, {"vector": [1, 0, 0], **asked}, key=keys["read"]).json
        as_binary = ask(engine, "POST", SEARCH, join_frame(asked, vectors[:1]), key=keys["read"], headers=BINARY).json
        assert as_json == as_binary
        found.append([(hit["id"], hit["distance"], hit["vector"], hit.get("payload")) for hit in as_json["hits"]])
    assert found[0] == found[1]
    assert [hit[0] for hit in found[0]] == ["a", "b"]


@pytest.mark.parametrize("name", ["absent", "NOTES", "no tes", "n" * 65, "é", ".", "notes%2f"])
def test_a_path_that_is_no_name_answers_like_an_absent_one(engine: StubEngine, keys: dict[str, str], name: str) -> None:
    answer = ask(engine, "POST", f"/v1/collections/{name}/search", {"vector": [1, 0, 0]}, key=keys["read"])
    assert (answer.status, answer.code) == (404, "collection_not_found")


def refused(answer: Asked) -> tuple[int, str, list[str]]:
    return answer.status, answer.code, answer.pointers


def test_the_engine_points_into_the_body(engine: StubEngine, keys: dict[str, str]) -> None:
    def upsert(text: str) -> tuple[int, str, list[str]]:
        return refused(ask(engine, "POST", POINTS, b'{"points":[{"id":"a"},%s]}' % text.encode(), key=keys["write"]))

    assert upsert('{"id":"b","vector":[1]}') == (400, "dimension_mismatch", ["/points/1/vector"])
    assert upsert('{"id":"a"}')[1] == "duplicate_id"
    assert upsert('{"id":"b","payload":{"x":1,"x":2}}') == (400, "duplicate_key", ["/points/1/payload/x"])
    assert upsert('{"id":"b","payload":{"x":9223372036854775808}}')[:2] == (400, "integer_out_of_range")
    deep = '{"x":' * 40 + "1" + "}" * 40
    assert upsert('{"id":"b","payload":' + deep + "}")[:2] == (400, "nested_too_deep")
    assert ask(engine, "POST", f"{POINTS}/count", {}, key=keys["read"]).json["count"] == 0


def test_a_read_key_does_not_write(engine: StubEngine, keys: dict[str, str]) -> None:
    answer = ask(engine, "POST", POINTS, {"points": [{"id": "a"}]}, key=keys["read"])
    assert (answer.status, answer.code) == (403, "forbidden")


def test_a_sequence_not_reached_is_503(engine: StubEngine, keys: dict[str, str]) -> None:
    body = {"vector": [1, 0, 0], "min_sequence": 99, "timeout_s": 0.02}
    answer = ask(engine, "POST", SEARCH, body, key=keys["read"])
    assert (answer.status, answer.code) == (503, "sequence_timeout")
