"""Faults of the machine over HTTP: a full queue, a full disk, a directory in use, a directory of a newer release."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

import vdb.testing
from tests.api.stub_engine import Asked, StubEngine, ask
from vdb.config import Limits, Settings
from vdb.engine.engine import Engine
from vdb.errors import FormatTooNew, TransportError
from vdb.storage.codec import FORMAT_VERSION, encode_u64
from vdb.storage.env import Environment
from vdb.storage.keyspace import META_FORMAT

ADMIN = "an-admin-key-for-tests"
POINTS = "/v1/collections/notes/points"
ACME = [("Vdb-Tenant", "acme")]
POINT = {"id": "a", "vector": [1, 0, 0]}
EVERYTHING = 1 << 60


@contextlib.contextmanager
def opened(folder: Path, **settings: Any) -> Iterator[StubEngine]:
    """An engine on `folder`, to be asked through the application."""
    given: dict[str, Any] = {"admin_key": ADMIN, "compile_kernels": False, **settings}
    engine = Engine.open(Settings(data_dir=folder, **given))
    try:
        yield cast(StubEngine, engine)
    finally:
        engine.close()


def post(engine: StubEngine, path: str, body: object) -> Asked:
    return ask(engine, "POST", path, body, key=ADMIN, headers=ACME)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data directory with one point of acme's in `notes`."""
    with opened(tmp_path / "data") as engine:
        assert post(engine, "/v1/collections", {"name": "notes", "dimension": 3}).status == 201
        assert post(engine, POINTS, {"points": [POINT]}).status == 200
    return tmp_path / "data"


def count(engine: StubEngine) -> int:
    return int(post(engine, f"{POINTS}/count", {}).json["count"])


def test_a_full_queue_is_503_with_retry_after(folder: Path) -> None:
    with opened(folder, limits=Limits(max_queued_requests=0)) as engine:
        refused = post(engine, POINTS, {"points": [{**POINT, "id": "b"}]})
        assert (refused.status, refused.code) == (503, "queue_full")
        assert int(refused.headers["retry-after"]) >= 1
    with opened(folder) as engine:
        assert count(engine) == 1


def test_on_a_full_disk_writes_are_507_and_deletes_work(folder: Path) -> None:
    with opened(folder, disk_reserve_bytes=EVERYTHING) as engine:
        for path, body in (
            (POINTS, {"points": [{**POINT, "id": "b"}]}),
            (f"{POINTS}/payload", {"points": [{"id": "a", "payload": {"x": 1}}]}),
            ("/v1/collections", {"name": "more", "dimension": 3}),
            ("/v1/tenants", {"name": "globex"}),
            ("/v1/keys", {"role": "service"}),
        ):
            refused = post(engine, path, body)
            assert (refused.status, refused.code) == (507, "disk_full"), path
        assert count(engine) == 1
        assert post(engine, f"{POINTS}/delete", {"ids": ["a"]}).json["deleted"] == 1
        assert ask(engine, "DELETE", "/v1/collections/notes", key=ADMIN).status == 200
    with opened(folder) as engine:
        assert ask(engine, "GET", "/v1/collections", key=ADMIN).json["collections"] == []


def test_a_server_starts_and_stops_on_a_full_disk(folder: Path) -> None:
    """Found here: taking over VDB_ADMIN_KEY and noting last uses were refused for want of room."""
    for admin_key in ("another-key-for-tests", ADMIN):
        with opened(folder, disk_reserve_bytes=EVERYTHING, admin_key=admin_key) as engine:
            assert ask(engine, "GET", "/v1/limits", key=admin_key).status == 200


def test_a_second_server_on_the_directory_ends_with_an_error(folder: Path) -> None:
    with opened(folder) as engine:
        with pytest.raises(TransportError, match=r"ended with 1.*in use by another process"), _served(folder):
            pass
        assert count(engine) == 1


def test_a_directory_of_a_newer_release_is_refused_and_left_alone(folder: Path) -> None:
    env = Environment(folder / "catalog", map_bytes=1 << 24, max_map_bytes=1 << 24, create=False)
    with env.write() as txn:
        txn.put(META_FORMAT, encode_u64(FORMAT_VERSION + 1))
    env.close()
    before = (folder / "catalog" / "data.mdb").read_bytes()
    with pytest.raises(FormatTooNew, match="newer release"), opened(folder):
        pass
    with pytest.raises(TransportError, match=r"ended with 1.*newer release"), _served(folder):
        pass
    assert (folder / "catalog" / "data.mdb").read_bytes() == before


@contextlib.contextmanager
def _served(folder: Path) -> Iterator[None]:
    with vdb.testing.server(data_dir=folder, compile_kernels=False):
        yield
