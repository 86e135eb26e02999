"""A world for each way to reach an engine, and a small collection in it."""

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vdb
import vdb.testing
from tests.contract import ways
from tests.contract.bad_input import X
from tests.contract.ways import World
from vdb.client import AsyncClient
from vdb.local import Database
from vdb.testing import RunningServer

Y, XY, MINUS_X = [0.0, 1.0, 0.0], [3.0, 4.0, 0.0], [-1.0, 0.0, 0.0]
EN, DE = {"lang": "en", "year": 2020}, {"lang": "de", "year": 2024}

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with vdb.testing.server(backup_dir=tmp_path_factory.mktemp("backups")) as running:
        yield running


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    folder = Path(tmp_path_factory.mktemp("ways"))
    with vdb.open(folder / "data", compile_kernels=False, backup_dir=str(folder / "backups")) as opened:
        yield opened


@pytest.fixture(params=["local", "sdk", "async", "raw"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    prefix = f"t{next(_numbers)}"
    if request.param == "local":
        yield ways.local_world(prefix, request.getfixturevalue("database"))
        return
    running: RunningServer = request.getfixturevalue("server")
    if request.param == "async":
        loop = asyncio.new_event_loop()
        opened: list[AsyncClient] = []
        yield ways.aio_world(prefix, running, loop, opened)
        for client in opened:
            loop.run_until_complete(client.close())
        loop.close()
    else:
        yield {"sdk": ways.sdk_world, "raw": ways.raw_world}[request.param](prefix, running)


@pytest.fixture
def docs(world: World) -> Any:
    """Three points of acme in an l2 collection: a at x, b at y, c at 3, 4."""
    world.admin.create_collection(world.name("docs"), 3, "l2")
    points = world.points("docs", "acme")
    points.upsert(["a", "b", "c"], [X, Y, XY], [EN, DE, EN])
    return points
