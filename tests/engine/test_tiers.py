"""Tiers: what an index takes of memory on each, which one is chosen, and caps that are refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from tests.engine.driver import Driver, opened
from tests.index.spann.disk import built, some_points
from vdb.engine.tiers import Cap, Sizes, chosen_tier, wanted_tier
from vdb.errors import InvalidArgument
from vdb.index.curator.index import CuratorIndex
from vdb.index.curator.model import prepared
from vdb.index.curator.training import train
from vdb.index.curator.upkeep import default_encoding
from vdb.index.spann.coding import default_encoding as encoding_on_disk
from vdb.protocol.requests import UpdateCollection
from vdb.storage.catalog import ACTIVE, CollectionDocument
from vdb.storage.codec import Usage
from vdb.types import Metric, Sharing, Tier

D = 384
MILLION = Sizes(1_000_000, 0, D)
MEMORY, HYBRID, DISK = (MILLION.needed[tier] for tier in (Tier.MEMORY, Tier.HYBRID, Tier.DISK))


def own(n_bytes: float) -> Cap:
    return Cap(int(n_bytes), is_shared=False)


class Held:
    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def put(self, slots: Any, vectors: Any) -> None:
        raise AssertionError("nothing is written here")


@pytest.mark.parametrize("metric", list(Metric))
def test_an_index_in_memory_takes_about_what_was_estimated(rng: np.random.Generator, metric: Metric) -> None:
    n, dimension = 4_000, 48
    rows = prepared(rng.standard_normal((n, dimension)).astype(np.float32), metric)
    granted = [np.sort(rng.choice(n, size, replace=False)).astype(np.uint32) for size in (2_000, 400)]
    starts = np.cumsum([0, *map(len, granted)]).astype(np.int64)
    index = CuratorIndex.build(
        train(rows, n, metric, default_encoding(dimension)), np.arange(n, dtype=np.uint32), np.ones(n, np.uint32),
        np.zeros(n, np.int64), np.array([2, 3], np.uint32), (starts, np.concatenate(granted)), Held(rows), 1,
    )  # fmt: skip
    estimated = Sizes(n, int(starts[-1]), dimension).needed[Tier.HYBRID]
    assert 0.9 < index.nbytes / estimated < 1.15, (index.nbytes, estimated)


def test_an_index_on_disk_takes_about_what_was_estimated(rng: np.random.Generator, tmp_path: Path) -> None:
    n, dimension = 6_000, 24
    points = some_points(rng, n, dimension=dimension)
    index, lists = built(points, tmp_path, encoding_on_disk(dimension))
    granted = sum(len(shared) for shared in points.shared.values())
    once_written_to = 12 * n  # when rows ended, and what is mapped: the list of a row, the row of a pid
    estimated = Sizes(n, granted, dimension).needed[Tier.DISK]
    assert 1 < estimated / (index.nbytes + once_written_to) < 1.5, (index.nbytes, estimated)
    lists.close()


def test_what_a_tier_takes_grows_with_rows_and_grants_and_less_of_it_further_down() -> None:
    assert 4 * D * MILLION.n_rows == MEMORY - HYBRID
    assert DISK < 0.06 * 4 * D * MILLION.n_rows < HYBRID
    granted = Sizes(1_000_000, 10_000_000, D).needed
    assert granted[Tier.HYBRID] - HYBRID == 40_000_000 and granted[Tier.DISK] - DISK == 50_000_000
    assert set(Sizes(0, 0, D).needed.values()) == {0}
    assert Sizes(1_000_000, 0, D, row_bytes=100).needed[Tier.HYBRID] == 128_000_000


@pytest.mark.parametrize("wish", [Tier.MEMORY, Tier.HYBRID, Tier.DISK])
@pytest.mark.parametrize("present", [None, Tier.MEMORY, Tier.HYBRID, Tier.DISK])
def test_a_wish_is_fulfilled_whatever_the_cap(wish: Tier, present: Tier | None) -> None:
    assert chosen_tier(wish, own(1), MILLION, present) is wish


@pytest.mark.parametrize(
    ("cap", "chosen"),
    [
        (own(MEMORY), Tier.MEMORY), (own(MEMORY - 1), Tier.HYBRID), (own(HYBRID), Tier.HYBRID),
        (own(HYBRID - 1), Tier.DISK), (own(DISK), Tier.DISK), (own(1), Tier.DISK),
        (Cap(4 * MEMORY, True), Tier.MEMORY), (Cap(4 * MEMORY - 4, True), Tier.HYBRID),
        (Cap(HYBRID, True), Tier.HYBRID), (Cap(0, True), Tier.DISK),
    ],
)  # fmt: skip
def test_the_fastest_tier_that_fits_the_cap_is_chosen(cap: Cap, chosen: Tier) -> None:
    assert chosen_tier(Tier.AUTO, cap, MILLION) is chosen


@pytest.mark.parametrize(
    ("present", "needed", "share", "chosen"),
    [
        (Tier.HYBRID, HYBRID, 1.09, Tier.HYBRID), (Tier.HYBRID, HYBRID, 1.11, Tier.DISK),
        (Tier.DISK, HYBRID, 0.71, Tier.DISK), (Tier.DISK, HYBRID, 0.69, Tier.HYBRID),
        (Tier.MEMORY, MEMORY, 1.09, Tier.MEMORY), (Tier.MEMORY, MEMORY, 1.11, Tier.HYBRID),
        (Tier.HYBRID, MEMORY, 0.71, Tier.HYBRID), (Tier.HYBRID, MEMORY, 0.69, Tier.MEMORY),
        (Tier.DISK, MEMORY, 0.69, Tier.MEMORY), (Tier.DISK, MEMORY, 0.71, Tier.HYBRID),
        (Tier.MEMORY, HYBRID, 1.01, Tier.DISK), (Tier.MEMORY, HYBRID, 0.99, Tier.HYBRID),
    ],
)  # fmt: skip
def test_a_collection_at_the_border_keeps_its_tier(present: Tier, needed: int, share: float, chosen: Tier) -> None:
    assert chosen_tier(Tier.AUTO, own(needed / share), MILLION, present) is chosen


def test_a_tier_that_was_just_chosen_is_kept_as_the_collection_grows_and_shrinks_a_little() -> None:
    cap, tier, n_changes = own(HYBRID), Tier.HYBRID, 0
    for n in (*range(900_000, 1_090_000, 10_000), *range(1_090_000, 720_000, -10_000)):
        chosen = chosen_tier(Tier.AUTO, cap, Sizes(n, 0, D), tier)
        n_changes += chosen is not tier
        tier = chosen
    assert n_changes == 0


@pytest.mark.parametrize(("cap", "chosen"), [(None, Tier.DISK), (MEMORY, Tier.MEMORY)])
def test_a_cap_of_its_own_takes_the_place_of_the_servers(cap: int | None, chosen: Tier) -> None:
    document = CollectionDocument(
        id=1, name="notes", state=ACTIVE, dimension=D, metric=Metric.L2, sharing=Sharing.MANAGED, fields={},
        tenants=None, created_at_ms=0, memory_bytes=cap,
    )  # fmt: skip
    assert wanted_tier(document, HYBRID - 1, Usage(vectors=1_000_000)) is chosen


def test_vectors_get_only_what_others_leave_of_a_shared_cap() -> None:
    """Collections whose vectors fit alone took turns in memory: each search loaded one and dropped another."""
    document = CollectionDocument(
        id=1, name="notes", state=ACTIVE, dimension=D, metric=Metric.L2, sharing=Sharing.MANAGED, fields={},
        tenants=None, created_at_ms=0,
    )  # fmt: skip
    usage, server = Usage(vectors=1_000_000), 5 * MEMORY
    assert wanted_tier(document, server, usage, beside_bytes=4 * MEMORY) is Tier.MEMORY
    assert wanted_tier(document, server, usage, Tier.MEMORY, beside_bytes=4 * MEMORY + 1) is Tier.HYBRID
    wished = replace(document, tier=Tier.MEMORY)
    assert wanted_tier(wished, server, usage, beside_bytes=server) is Tier.MEMORY
    capped = replace(document, memory_bytes=MEMORY)
    assert wanted_tier(capped, server, usage, beside_bytes=server) is Tier.MEMORY


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    """A collection `notes` of 1,000 vectors of 8 components."""
    with opened(tmp_path / "data") as made:
        made.create("notes", dimension=8)
        vectors = np.arange(8_000, dtype=np.float32).reshape(1_000, 8)
        made.upsert("acme", "notes", [str(i) for i in range(1_000)], vectors)
        made.share("acme", "notes", [str(i) for i in range(100)], ["*"])
        yield made


def update(driver: Driver, **given: Any) -> Any:
    return driver.run("update_collection", None, ("notes",), UpdateCollection(**given))


@pytest.mark.parametrize("tier", list(Tier))
def test_a_cap_below_what_the_points_need_is_refused_with_the_number(driver: Driver, tier: Tier) -> None:
    least = Tier.DISK if tier is Tier.AUTO else tier
    needed = Sizes(1_000, 100, 8).needed[least]
    with pytest.raises(InvalidArgument) as caught:
        update(driver, tier=tier, memory_bytes=needed - 1)
    assert [problem.pointer for problem in caught.value.problems] == ["/memory_bytes"]
    assert f"a {least} index of the 1000 vectors there are needs {needed} bytes" in caught.value.problems[0].detail
    kept = driver.run("get_collection", None, ("notes",), None)
    assert (kept.tier, kept.memory_bytes) == (Tier.AUTO, None)
    changed = update(driver, tier=tier, memory_bytes=needed)
    assert (changed.tier, changed.memory_bytes) == (tier, needed)


def test_a_tier_that_does_not_fit_the_cap_there_is_is_refused_and_fits_without_it(driver: Driver) -> None:
    update(driver, memory_bytes=Sizes(1_000, 100, 8).needed[Tier.DISK])
    with pytest.raises(InvalidArgument) as caught:
        update(driver, tier=Tier.MEMORY)
    assert [problem.pointer for problem in caught.value.problems] == ["/tier"]
    assert update(driver, tier=Tier.MEMORY, memory_bytes=None).tier is Tier.MEMORY


def test_a_cap_that_points_outgrew_hinders_no_other_change(driver: Driver) -> None:
    update(driver, memory_bytes=Sizes(1_000, 100, 8).needed[Tier.DISK])
    driver.upsert("acme", "notes", ["more"], [[0] * 8])
    assert update(driver, metadata={"team": "search"}).metadata == {"team": "search"}


def test_a_new_collection_needs_nothing_yet(driver: Driver) -> None:
    assert driver.create("empty", dimension=8, tier=Tier.MEMORY, memory_bytes=1).memory_bytes == 1
