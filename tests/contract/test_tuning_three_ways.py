"""Tuning on demand, in every way to reach an engine that makes indexes of few points."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vdb
import vdb.testing
from tests.contract.ways import World
from vdb.local import Database
from vdb.testing import RunningServer

SETTINGS: dict[str, Any] = {"compile_kernels": False, "index_from_points": 40}
D = 6


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with vdb.testing.server(**SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with vdb.open(Path(tmp_path_factory.mktemp("tuned")) / "data", **SETTINGS) as opened:
        yield opened


def indexed(world: World, rng: np.random.Generator) -> Any:
    """A collection of acme's that has its index."""
    name = world.name("docs")
    world.admin.create_collection(name, D, "l2")
    docs = world.points("docs", "acme")
    docs.upsert([str(i) for i in range(60)], rng.standard_normal((60, D)).astype(np.float32).tolist())
    give_up = time.monotonic() + 30
    while index_of(world)["state"] != "ready":
        assert time.monotonic() < give_up
        time.sleep(0.05)
    return docs


def index_of(world: World) -> Any:
    return world.plain(world.admin.collection_stats(world.name("docs")))["index"]


def test_an_encoding_that_is_asked_for_is_taken(world: World, rng: np.random.Generator) -> None:
    docs = indexed(world, rng)
    query = rng.standard_normal(D).astype(np.float32).tolist()
    before = [hit["id"] for hit in world.plain(docs.search(query, limit=5))]
    job = world.plain(world.admin.tune(world.name("docs"), "rows", "lvq4", 5))
    assert (job["kind"], job["state"], job["collection"], job["tenant"], job["n_done"]) == (
        "tune",
        "done",
        "docs",
        None,
        60,
    )
    told = index_of(world)
    assert (told["encoding"], told["chosen_by"], told["for_queries"]) == ("lvq4, 5 dimensions", "requested", False)
    assert told["profile_levels"] > 0 and told["profiled_rows"] == 60 and told["recorded_queries"] >= 1
    assert [hit["id"] for hit in world.plain(docs.search(query, limit=5))] == before


def test_recorded_queries_are_counted_and_used(world: World, rng: np.random.Generator) -> None:
    docs, name = indexed(world, rng), world.name("docs")
    assert world.code(world.admin.tune, name, "recorded") == "invalid_argument"
    assert world.code(world.admin.tune, name, None, "lvq8", 4, True) == "invalid_argument"
    for _ in range(60):
        docs.search(rng.standard_normal(D).astype(np.float32).tolist())
    assert index_of(world)["recorded_queries"] == 60
    assert world.plain(world.admin.tune(name, None, "lvq8", 4, True))["state"] == "done"
    assert index_of(world)["for_queries"] is True


def test_only_admins_see_it_and_may_do_it(world: World, rng: np.random.Generator) -> None:
    indexed(world, rng)
    name = world.name("docs")
    for role in ("read", "write"):
        tenant = world.tenant("acme", role)
        assert world.code(tenant.tune, name) == "forbidden"
        assert "index" not in world.plain(tenant.collection_stats(name))


def test_what_cannot_be_tuned_is_refused(world: World) -> None:
    name = world.name("docs")
    world.admin.create_collection(name, D, "l2")
    assert world.code(world.admin.tune, name) == "no_index"
    assert world.code(world.admin.tune, "no-such-thing") == "collection_not_found"


BAD_WISHES = [
    ("some",), ("rows", "lvq2"), ("rows", "lvq8", 0), ("rows", "lvq8", D + 1), ("rows", "lvq8", -1),
    ("rows", "float32", D - 1), ("rows", "lvq8", "4"), ("rows", "lvq8", 4, "yes"), ("rows", "lvq8", 4, True),
]  # fmt: skip


def test_bad_wishes_have_one_code(world: World, rng: np.random.Generator) -> None:
    indexed(world, rng)
    codes = [world.code(world.admin.tune, world.name("docs"), *given) for given in BAD_WISHES]
    assert codes == ["invalid_argument"] * len(BAD_WISHES)
    assert index_of(world)["layouts"] == 0
