"""Upsert in chunks: where it is cut, what each chunk holds, and errors told in the caller's rows."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.client.scripted import Reply, problem, serving
from vdb.client import Client, upload, wire
from vdb.client.retry import Repeat
from vdb.client.upload import Upload
from vdb.errors import DimensionMismatch, InvalidArgument, InvalidJson, NestedTooDeep, Problem, VdbError
from vdb.protocol import columns

KEY = "key-of-sixteen-chars"
MOMENT = datetime(2030, 1, 1, tzinfo=UTC)


def _upload(ids: Any, vectors: Any = None, payloads: Any = None, **columns: Any) -> Upload:
    return Upload("docs", ids, vectors, payloads, None, **columns)


def _frames(made: Upload, chunk_size: int = 1000) -> list[tuple[dict[str, Any], list[float]]]:
    """The head and the numbers of every body that would be sent."""
    frames = []
    for chunk in made.chunks(chunk_size):
        body, _ = wire.body(chunk.call)
        assert body is not None
        head, numbers = columns.split_frame(body)
        assert msgspec.json.decode(head)["ids"] == made._ids[chunk.start : chunk.stop]
        frames.append((msgspec.json.decode(head), numbers.tolist()))
    return frames


def test_chunks_are_cut_by_points() -> None:
    frames = _frames(_upload(list("abcde"), np.arange(10).reshape(5, 2)), chunk_size=2)
    assert [head["ids"] for head, _ in frames] == [["a", "b"], ["c", "d"], ["e"]]
    assert [numbers for _, numbers in frames] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_chunks_are_cut_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "MAX_CHUNK_BYTES", 1000)
    payloads = [{"text": "x" * n} for n in (400, 400, 2000, 10, 10)]
    frames = _frames(_upload(list("abcde"), payloads=payloads))
    assert [head["ids"] for head, _ in frames] == [["a", "b"], ["c"], ["d", "e"]]


def test_points_without_a_vector_take_no_row() -> None:
    frames = _frames(_upload(list("abc"), [None, [1, 2], [3, 4]]), chunk_size=2)
    assert [head["has_vector"] for head, _ in frames] == [[False, True], [True]]
    assert [numbers for _, numbers in frames] == [[1, 2], [3, 4]]


def test_without_vectors_no_point_has_one() -> None:
    assert _frames(_upload(["a", "b"])) == [({"ids": ["a", "b"], "has_vector": [False, False]}, [])]


def test_no_points_are_sent_all_the_same() -> None:
    assert _frames(_upload([], [])) == [({"ids": []}, [])]


def test_one_value_serves_all_points() -> None:
    made = _upload(list("abc"), expires_at=MOMENT, shared_with=["globex"], if_version=3, if_absent=False)
    last = _frames(made, chunk_size=2)[1][0]
    assert last["expires_at"] == ["2030-01-01T00:00:00Z"]
    assert (last["shared_with"], last["if_version"], last["if_absent"]) == ([["globex"]], [3], [False])


def test_columns_follow_their_points() -> None:
    made = _upload(list("abc"), payloads=[{}, None, {"n": np.int64(3)}], shared_with=[None, [], ["x"]])
    last = _frames(made, chunk_size=1)[2][0]
    assert (last["payloads"], last["shared_with"]) == ([{"n": 3}], [["x"]])


@pytest.mark.parametrize(
    ("columns", "repeat"),
    [
        ({}, Repeat.ALWAYS),
        ({"if_absent": False}, Repeat.ALWAYS),
        ({"if_version": [None, None]}, Repeat.ALWAYS),
        ({"if_version": [None, 0]}, Repeat.NEVER),
        ({"if_absent": True}, Repeat.NEVER),
    ],
)
def test_conditions_forbid_repeating(columns: dict[str, Any], repeat: Repeat) -> None:
    assert {chunk.call.repeat for chunk in _upload(["a", "b"], **columns).chunks(1)} == {repeat}


@pytest.mark.parametrize(
    ("given", "error", "pointer"),
    [
        ({"ids": "abc"}, InvalidArgument, "/ids"),
        ({"ids": None}, InvalidArgument, "/ids"),
        ({"vectors": [[1, 2]]}, InvalidArgument, "/vectors"),
        ({"vectors": [1, 2]}, InvalidArgument, "/vectors"),
        ({"vectors": [["x"], ["y"]]}, InvalidArgument, "/vectors"),
        ({"vectors": [[True], [False]]}, InvalidArgument, "/vectors"),
        ({"vectors": [[1, 2], [1]]}, DimensionMismatch, "/vectors/1"),
        ({"payloads": [{}]}, InvalidArgument, "/payloads"),
        ({"payloads": [{}, {"n": float("nan")}]}, InvalidJson, "/payloads/1"),
        ({"payloads": [{}, {"n": [None, np.array([np.inf])]}]}, InvalidJson, "/payloads/1"),
        ({"payloads": [{}, {"n": object()}]}, InvalidJson, "/payloads/1"),
        ({"payloads": [{}, {"n": "\ud800"}]}, InvalidJson, "/payloads/1"),
        ({"expires_at": datetime(2030, 1, 1)}, InvalidArgument, "/expires_at"),
        ({"expires_at": [None, datetime(2030, 1, 1)]}, InvalidArgument, "/expires_at/1"),
        ({"shared_with": "globex"}, InvalidArgument, "/shared_with"),
        ({"if_version": [1]}, InvalidArgument, "/if_version"),
    ],
)
def test_what_cannot_be_sent_is_refused(given: dict[str, Any], error: type[VdbError], pointer: str) -> None:
    with pytest.raises(error) as caught:
        _upload(**({"ids": ["a", "b"]} | given))
    assert [entry.pointer for entry in caught.value.problems] == [pointer]


def test_a_payload_without_an_end_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["self"] = endless
    with pytest.raises(NestedTooDeep):
        _upload(["a"], payloads=[endless])


@pytest.mark.parametrize("size", [0, -1, 1.5])
def test_a_chunk_holds_at_least_one_point(size: Any) -> None:
    with pytest.raises(InvalidArgument):
        list(_upload(["a"]).chunks(size))


def test_an_error_in_a_later_chunk_points_at_the_callers_row() -> None:
    refusal = problem(400, "dimension_mismatch", errors=[{"pointer": "/points/1/vector", "detail": "3 numbers"}])
    with serving(Reply(body={"sequence": 1}), refusal) as script, pytest.raises(DimensionMismatch) as caught:
        Client(script.url, KEY).collection("docs").upsert(list("abcd"), np.zeros((4, 2)), chunk_size=2)
    assert caught.value.problems == (Problem("/points/3/vector", "3 numbers"),)
    assert caught.value.__notes__ == ["the first 2 points of this upload were written"]


def test_the_last_sequence_is_returned_with_and_without_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    answers = [Reply(body={"sequence": n}) for n in (4, 5, 6)]
    with serving(*answers) as script, Client(script.url, KEY) as client:
        assert client.collection("docs").upsert(list("abc"), np.zeros((3, 2)), chunk_size=1, progress=True) == 6
    assert "3/3" in capsys.readouterr().err.replace("3.00/3.00", "3/3")
