"""Sync and async are one source; the package's surface; pointers of decoding errors."""

import inspect
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

import vdb
import vdb.client
from vdb.client import unasync
from vdb.client.aio import AsyncOperations
from vdb.client.aio_collection import AsyncCollection
from vdb.client.collection import Collection
from vdb.client.sync import Operations
from vdb.errors import InvalidArgument, UnknownField
from vdb.protocol.columns import UpsertHead
from vdb.protocol.pointers import from_validation_error
from vdb.protocol.requests import CreateCollection, Search, Upsert

CLIENT = Path(vdb.client.__file__).parent
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("source", "made"), unasync.PAIRS.items())
def test_the_synchronous_file_is_made_from_the_asynchronous_one(source: str, made: str) -> None:
    wanted = unasync.to_sync((CLIENT / source).read_text(encoding="utf-8"), source)
    assert (CLIENT / made).read_text(encoding="utf-8") == wanted, "run python -m vdb.client.unasync"


def _surface(cls: type) -> dict[str, list[str]]:
    members = inspect.getmembers(cls, inspect.isfunction)
    return {name: list(inspect.signature(member).parameters) for name, member in members if not name.startswith("_")}


@pytest.mark.parametrize(("one", "other"), [(Operations, AsyncOperations), (Collection, AsyncCollection)])
def test_both_have_the_same_methods_and_parameters(one: type, other: type) -> None:
    assert _surface(one) == _surface(other)


def test_the_version_is_that_of_the_package() -> None:
    written = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert written is not None
    assert vdb.__version__ == written[1]


@pytest.mark.parametrize(
    ("shape", "body", "error", "pointer"),
    [
        (Search, {"limit": "x"}, InvalidArgument, "/limit"),
        (Search, {"vectors": [[1.0], [1.0, "x"]]}, InvalidArgument, "/vectors/1/1"),
        (Search, [], InvalidArgument, ""),
        (Search, {"a~/b`": 1}, UnknownField, "/a~0~1b`"),
        (Upsert, {"points": [{"id": "a"}, {"id": 3}]}, InvalidArgument, "/points/1/id"),
        (Upsert, {"points": [{"id": "a"}, {}]}, InvalidArgument, "/points/1/id"),
        (Upsert, {"points": [{"id": "a", "vektor": []}]}, UnknownField, "/points/0/vektor"),
        (UpsertHead, {"ids": ["a"], "if_absent": [1]}, InvalidArgument, "/if_absent/0"),
        (CreateCollection, {"name": "a", "dimension": 1, "fields": {"f": "x"}}, InvalidArgument, "/fields"),
        (CreateCollection, {"name": "a", "dimension": 1, "metric": "x"}, InvalidArgument, "/metric"),
    ],
)
def test_a_decoding_error_points_at_the_place(shape: Any, body: Any, error: type, pointer: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(msgspec.json.encode(body), type=shape)
    made = from_validation_error(caught.value)
    assert type(made) is error
    assert [problem.pointer for problem in made.problems] == [pointer]
    assert "`" not in made.detail
