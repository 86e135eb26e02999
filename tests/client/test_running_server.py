"""`vdb.testing.server`: a process that stops, crashes and comes back, and the lines of the design."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import vdb.testing
from vdb.client import Client
from vdb.errors import Forbidden, TransportError, Unauthenticated
from vdb.testing import RunningServer


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with vdb.testing.server(compile_kernels=False) as running:
        yield running


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_lines_of_the_guide_work(server: RunningServer, rng: np.random.Generator) -> None:
    ids, vectors = ["a1", "a2"], rng.standard_normal((2, 384))
    payloads = [{"lang": "en"}, {"lang": "de"}]
    admin = Client(server.url, api_key=server.admin_key)
    admin.create_collection("docs", dimension=384, metric="cosine")
    acme = Client(admin.url, api_key=str(admin.create_key(tenant="acme", role="write").key))
    docs = acme.collection("docs")
    docs.upsert(ids=ids, vectors=vectors, payloads=payloads)
    found = docs.search(vectors[0], limit=5, filter={"field": "lang", "eq": "en"})
    assert [(hit.id, hit.payload) for hit in found] == [("a1", {"lang": "en"})]
    admin.create_tenant("globex")
    admin.collection("docs", tenant="acme").grant(["a1"], to=["globex"])
    assert [hit.id for hit in server.client("globex").collection("docs").search(vectors[0])] == ["a1"]


def test_acknowledged_points_survive_a_restart_and_a_crash(server: RunningServer) -> None:
    admin = server.admin()
    admin.create_collection("kept", 2)
    kept = server.client("acme", "service").collection("kept")
    kept.upsert(["a"], [[1.0, 2.0]])
    server.restart()
    kept.upsert(["b"], [[1.0, 2.0]])
    server.kill()
    with pytest.raises(TransportError), Client(server.url, server.admin_key, n_retries=0) as client:
        client.limits()
    server.start()
    assert [point.id for point in kept.scroll()] == ["a", "b"]


def test_roles_are_those_asked_for(server: RunningServer) -> None:
    server.admin().create_collection("roles", 2)
    with pytest.raises(Forbidden):
        server.client("acme", "read").collection("roles").upsert(["a"], [[1.0, 2.0]])
    with pytest.raises(Unauthenticated), Client(server.url, "not-a-key-of-this-server") as stranger:
        stranger.limits()


def test_the_process_is_gone_afterwards(tmp_path: Path) -> None:
    with vdb.testing.server(data_dir=tmp_path / "data", compile_kernels=False) as running:
        pid = running.pid
        assert pid is not None
        assert _is_alive(pid)
        assert running.admin_key not in running.log
    assert running.pid is None
    assert not _is_alive(pid)
    assert (tmp_path / "data").exists()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="VDB_N_WRITERS"), vdb.testing.server(n_writers="many"):
        pass
