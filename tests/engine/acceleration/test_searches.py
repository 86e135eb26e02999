"""Searches by either backend find the same, and say which it was."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import UNSET

from tests.engine.acceleration.shelf import AUTO, CPU, GPU, Shelf, hits_of
from tests.engine.driver import Driver, opened, wait_until
from tests.engine.indexed.books import TENANTS, indexed_books, opened_books
from vdb.engine import sources
from vdb.engine.acceleration.figures import Declined
from vdb.engine.quick import is_quick
from vdb.errors import InvalidArgument
from vdb.index.curator.resident import Refusal
from vdb.kernels.numpy_device import NumpyDevice
from vdb.protocol.columns import SearchHead
from vdb.protocol.requests import Empty, Search, SearchParams
from vdb.types import FieldType, Metric, Role, Tier


def test_both_find_the_same_for_every_tenant(shelf: Shelf) -> None:
    shelf.books.check(params=GPU)
    shelf.books.check(params=CPU)
    for tenant in TENANTS:
        query = shelf.queries(1)[0]
        there, here = (shelf.search(tenant, query, params=params) for params in (GPU, CPU))
        assert hits_of(there) == hits_of(here)
        assert (there.explain.backend, here.explain.backend) == ("gpu", "cpu")
        assert (there.backend, here.backend) == ("gpu", UNSET)
        assert there.explain.codes_scored == here.explain.codes_scored


def test_both_find_the_same_for_many_queries(shelf: Shelf) -> None:
    queries = shelf.queries(40)
    there, here = (shelf.search("globex", queries, params=params) for params in (GPU, CPU))
    assert hits_of(there) == hits_of(here)
    assert there.explain.backend == "gpu" and there.explain.backend_reason is UNSET


def test_writes_are_seen_at_once(shelf: Shelf) -> None:
    for _ in range(60):
        shelf.books.change()
        tenant = str(shelf.books.rng.choice(TENANTS))
        query = shelf.queries(1)[0]
        hits = hits_of(shelf.search(tenant, query, params=GPU))[0]
        assert [hit[:2] for hit in hits] == shelf.books.nearest(tenant, query, 8)
    assert shelf.accelerator.figures.n_searched > 40


def test_an_exact_search_compares_all_rows_there(shelf: Shelf) -> None:
    shelf.books.check(params=SearchParams(exact=True, backend="gpu"))
    there, here = (
        shelf.search("acme", shelf.books.points["acme", "acme-0"][0], params=SearchParams(exact=True, backend=backend))
        for backend in ("gpu", "cpu")
    )
    assert hits_of(there) == hits_of(here)
    assert (there.explain.path, there.explain.reason, there.explain.backend) == ("exact", "asked for", "gpu")
    assert (here.explain.path, here.explain.reason, here.explain.backend) == ("exact", "asked for", "cpu")


def test_a_copy_that_may_be_whole_has_the_vectors(shelf: Shelf) -> None:
    copy = shelf.accelerator.residents.of(shelf.books.in_ram)
    assert copy is not None and copy.has_vectors


def test_an_exact_search_is_not_answered_by_an_index_that_came_on_disk_meanwhile(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(sources, "by_index", lambda *given: asked.append(given))  # would take one on disk
    monkeypatch.setattr(sources, "indexed", lambda *given: None)  # what it is then for one in RAM
    may_be_there = [True, False]
    monkeypatch.setattr(sources.Sources, "_may_be_exact_there", lambda self: may_be_there.pop(0))
    assert shelf.told(params=SearchParams(exact=True, backend="gpu")) == ("cpu", Declined.NOT_INDEXED)
    assert not asked and not may_be_there


def test_an_exact_search_goes_another_way_where_vectors_are_not_there(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vdb.index.curator.resident.ResidentIndex.has_vectors", property(lambda self: False))
    shelf.books.check(params=SearchParams(exact=True, backend="gpu"))
    assert shelf.told(params=SearchParams(exact=True, backend="gpu")) == ("cpu", Refusal.NO_VECTORS)


def test_a_single_query_is_the_cpus_unless_it_asks(shelf: Shelf) -> None:
    before = shelf.accelerator.figures.n_searched
    assert shelf.told(params=AUTO) == ("cpu", None)
    assert shelf.told(params=UNSET) == ("cpu", None)
    assert shelf.accelerator.figures.n_searched == before
    assert shelf.told(params=GPU) == ("gpu", None)


def test_many_queries_go_there_where_they_would_take_long_here(shelf: Shelf) -> None:
    queries = shelf.queries(60)
    assert shelf.search("acme", queries).explain.backend == "gpu"
    assert shelf.search("acme", queries[:2]).explain.backend == "cpu"


def test_what_is_too_deep_for_the_device_is_the_cpus(shelf: Shelf) -> None:
    assert shelf.told(params=SearchParams(backend="gpu", rerank=2_000)) == ("cpu", Refusal.TOO_DEEP)


def test_of_many_queries_those_that_are_refused_are_the_cpus(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    search = shelf.accelerator.search

    def every_third(index: Any, tenant: int, asks: Any, is_wanted: Any) -> Any:
        found = list(search(index, tenant, asks, is_wanted))
        return [Refusal.SHORT if i % 3 == 0 else one for i, one in enumerate(found)]

    monkeypatch.setattr(shelf.accelerator, "search", every_third)
    queries = shelf.queries(20)
    there, here = (shelf.search("acme", queries, params=params) for params in (GPU, CPU))
    assert hits_of(there) == hits_of(here)
    assert (there.explain.backend, there.explain.backend_reason) == ("gpu", "short")


def test_a_device_that_runs_out_of_memory_in_the_middle_fails_no_search(shelf: Shelf) -> None:
    shelf.books.check(params=GPU)
    shelf.device.capacity_bytes = 1_000
    shelf.books.add(40)
    shelf.books.index._lay_out(shelf.books.in_ram)
    for _ in range(4):
        shelf.books.check(params=GPU)
    assert shelf.accelerator.figures.n_out_of_memory >= 1
    assert shelf.told() == ("cpu", Declined.MEMORY)
    shelf.device.capacity_bytes = 1 << 40
    shelf.bring()
    shelf.books.check(params=GPU)


def test_a_device_that_is_lost_fails_no_search(shelf: Shelf) -> None:
    shelf.device.is_lost = True
    shelf.books.check(params=GPU)
    assert shelf.told() == ("cpu", Declined.LOST)
    found = shelf.books.driver.run("collection_stats", None, ("books",), Empty())
    assert (found.index.device, found.index.device_bytes) == (None, 0)


def test_a_new_layout_has_a_copy_of_its_own(shelf: Shelf) -> None:
    shelf.books.add(40)
    shelf.books.index._lay_out(shelf.books.in_ram)
    shelf.books.check(params=GPU)
    shelf.bring()
    shelf.books.check(params=GPU)


def test_what_a_deleted_collection_had_there_is_given_back(shelf: Shelf) -> None:
    assert shelf.accelerator.residents.nbytes > 0
    shelf.books.driver.run("delete_collection", None, ("books",), Empty())

    def is_empty() -> bool:
        shelf.accelerator.residents.tidy()
        return shelf.accelerator.residents.nbytes == 0 and shelf.device.n_bytes == 0

    wait_until(is_empty)


def test_flat_collections_and_lists_on_disk_are_the_cpus(tmp_path: Path, rng: np.random.Generator) -> None:
    with opened_books(tmp_path / "flat", rng, device=NumpyDevice()) as books:
        books.add(10)
        assert Shelf(books, NumpyDevice()).told() == ("cpu", Declined.NOT_INDEXED)
    with indexed_books(tmp_path / "disk", rng, tier=Tier.DISK, device=NumpyDevice()) as books:
        assert Shelf(books, NumpyDevice()).told() == ("cpu", Declined.ON_DISK)


def test_without_a_device_the_cpu_answers_and_says_so(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng, backend="cpu", device=NumpyDevice()) as books:
        shelf = Shelf(books, NumpyDevice())
        assert books.driver.engine.services.accelerator is None
        assert shelf.told() == ("cpu", Declined.NO_DEVICE)
        assert shelf.told(params=AUTO) == ("cpu", None)
        books.check(params=GPU)


def test_the_setting_gpu_sends_every_query_there(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng, backend="gpu", device=NumpyDevice()) as books:
        shelf = Shelf(books, NumpyDevice())
        shelf.bring()
        assert shelf.told(params=UNSET) == ("gpu", None)
        assert shelf.told(params=CPU) == ("cpu", None)


def test_the_setting_gpu_without_a_device_lets_no_server_start(tmp_path: Path) -> None:
    device = NumpyDevice(is_lost=True)
    with pytest.raises(InvalidArgument, match=r"backend is gpu, but there is none to use: the device is gone"):
        opened(tmp_path, device=device, backend="gpu").__enter__()
    with opened(tmp_path, device=device) as driver:
        assert driver.engine.services.accelerator is None


def test_what_may_wait_for_the_device_is_not_answered_on_the_event_loop(shelf: Shelf) -> None:
    services, caller = shelf.books.driver.engine.services, shelf.books.driver.caller("acme")

    def is_inline(n_queries: int, params: Any) -> bool:
        vector = [0.0] * 6
        many = {"vectors": [vector] * n_queries} if n_queries > 1 else {"vector": vector}
        return is_quick(services, "search", caller, ("books",), Search(params=params, **many))

    assert is_inline(1, UNSET) and is_inline(1, AUTO) and is_inline(1, CPU) and is_inline(2, CPU)
    assert not is_inline(1, GPU) and not is_inline(2, UNSET) and not is_inline(2, AUTO)


def test_admins_are_told_of_the_device_and_tenants_are_not(shelf: Shelf) -> None:
    driver = shelf.books.driver
    whole = driver.run("collection_stats", None, ("books",), Empty()).index
    assert (whole.device, whole.device_bytes) == ("numpy", shelf.accelerator.residents.nbytes)
    own = driver.engine.run("collection_stats", driver.caller("acme", Role.READ), ("books",), Empty())
    assert own.index is UNSET
    found = {name: dict(_by_label(values)) for name, _, _, values in driver.engine.metrics()}
    assert found["vdb_gpu_up"] == {"numpy": 1.0}
    assert found["vdb_gpu_resident_bytes"] == {"books": shelf.accelerator.residents.nbytes}
    assert found["vdb_gpu_searches_total"]["gpu"] == shelf.accelerator.figures.n_searched > 0
    assert found["vdb_gpu_fallbacks_total"].get("not resident", 0) >= 0
    assert found["vdb_gpu_pages_total"]["in"] >= 1


def _by_label(values: list[tuple[dict[str, str], float]]) -> list[tuple[str, float]]:
    return [(next(iter(labels.values()), ""), value) for labels, value in values]


def _with_years(driver: Driver, rng: np.random.Generator, indexes: list[str]) -> None:
    driver.create("years", 6, Metric.COSINE, fields={"year": FieldType.INTEGER}, indexes=indexes)
    vectors = rng.standard_normal((120, 6)).astype(np.float32)
    payloads = [{"year": 2000 + i % 10} for i in range(120)]
    driver.upsert("acme", "years", [f"y{i}" for i in range(120)], vectors, payloads=payloads)


@pytest.mark.parametrize(("indexes", "backend", "reason"), [(["year"], "gpu", None), ([], "cpu", "filter in rounds")])
def test_with_a_filter_both_find_the_same(
    tmp_path: Path, rng: np.random.Generator, indexes: list[str], backend: str, reason: str | None
) -> None:
    with opened(tmp_path, device=NumpyDevice(), index_from_points=40) as driver:
        driver.create_tenant("acme")
        _with_years(driver, rng, indexes)
        document = driver.engine.services.usable(driver.caller(None), "years")
        with driver.engine.services.shards.use(document) as shard:
            assert shard.index.work()
        block = rng.standard_normal((12, 6)).astype(np.float32)

        def search(params: SearchParams) -> Any:
            head = SearchHead(n_queries=12, limit=5, explain=True, filter={"field": "year", "gte": 2005}, params=params)
            return driver.run("search", "acme", ("years",), head, block)

        here = search(CPU)
        if backend == "gpu":
            wait_until(lambda: search(GPU).explain.backend == "gpu")
        there = search(GPU)
        assert hits_of(there) == hits_of(here)
        assert there.explain.backend == backend
        assert there.explain.backend_reason == (UNSET if reason is None else reason)
