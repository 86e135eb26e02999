"""Figures by collection and tenant: only of what exists, of a bounded number, never going back."""

import re
from collections.abc import Iterator

import pytest

import vdb.testing
from tests.api.live import Live
from vdb_api.by_name import OTHER, CollectionFigures, TenantFigures


def named(tenant_id: int) -> str:
    return f"t{tenant_id}"


def requests(figures: TenantFigures) -> dict[str, int]:
    return {name: found[0] for name, found in figures.samples(named).items()}


def test_tenants_beyond_the_bound_are_counted_together() -> None:
    figures = TenantFigures(2)
    for tenant in (1, 2, 3, 3, 4):
        figures.observe(tenant, 0.5, is_refused=tenant == 3)
    assert figures.samples(named) == {"t1": (1, 0, 0.5), "t2": (1, 0, 0.5), OTHER: (3, 2, 1.5)}


def test_who_asks_most_gets_a_line_and_no_counter_goes_back() -> None:
    figures = TenantFigures(2, review_requests=20)
    seen: dict[str, int] = {}
    for total, tenant in enumerate([1, 2, *[3] * 15, *[1] * 6, *[4] * 40, *[3] * 30, *[1] * 20], 1):
        figures.observe(tenant, 0.0, is_refused=False)
        now = requests(figures)
        assert sum(now.values()) == total and len(now) <= 3
        assert all(now[name] >= seen[name] for name in now if name in seen)
        seen = now
    assert {"t1", "t3"} <= set(seen)


def test_a_tenant_that_is_gone_counts_among_the_others() -> None:
    figures = TenantFigures(5)
    for tenant in (1, 2):
        figures.observe(tenant, 1.0, is_refused=False)
    gone = figures.samples(lambda tenant_id: "" if tenant_id == 1 else named(tenant_id))
    assert gone == {"t2": (1, 0, 1.0), OTHER: (1, 0, 1.0)}


def test_no_lines_at_all_may_be_asked_for() -> None:
    figures = TenantFigures(0, review_requests=2)
    for _ in range(5):
        figures.observe(1, 0.0, is_refused=False)
    assert requests(figures) == {OTHER: 5}


def test_collections_that_were_deleted_leave_the_figures() -> None:
    existing = {"a", "b"}
    figures = CollectionFigures(2, lambda: existing)
    for name in ("a", "b", "b"):
        figures.observe(name, 2, 0.05)
    existing = {"b", "c"}
    figures.observe("c", 5, 2.0)
    assert [(sample["collection"], sample["status"], n) for sample, n in figures.requests()] == [
        ("b", "2xx", 2), ("c", "5xx", 1),
    ]  # fmt: skip
    assert list(figures.latencies()) == [("b", [0, 0, 2, 0, 0], 0.1), ("c", [0, 0, 0, 0, 1], 2.0)]


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with vdb.testing.server(compile_kernels=False, metrics_tenants=2) as running:
        made = Live(running)
        running.admin().create_collection("notes", dimension=2)
        yield made


def metrics(live: Live) -> dict[str, float]:
    text = live.ask("GET", "/metrics").json.decode()
    return {name: float(value) for name, value in re.findall(r"^(vdb_\S+) (\S+)$", text, re.MULTILINE)}


def test_a_name_that_did_not_resolve_is_no_label(live: Live) -> None:
    for name in ("notes", "made-up", "another%22", "x" * 60):
        live.run("count", (name,), {}, tenant="nobody")
        live.run("search", (name,), {"vector": [1, 0]}, tenant="nobody")
    found = metrics(live)
    labels = {name for name in found if "{" in name and name.startswith(("vdb_collection_r", "vdb_tenant_"))}
    assert labels and all('collection="notes"' in name or f'tenant="{OTHER}"' in name for name in labels)


def test_requests_count_on_collection_and_tenant_and_refusals_by_kind(live: Live) -> None:
    live.must("create_tenant", (), {"name": "acme", "rate": {"reads_per_s": 1e-6}})
    key = live.key("read", "acme")
    before = metrics(live)
    statuses = [live.run("count", ("notes",), {}, key=key).status for _ in range(3)]
    found = metrics(live)

    def rose(name: str) -> float:
        return found[name] - before.get(name, 0.0)

    assert statuses == [200, 429, 429]
    assert rose('vdb_collection_requests_total{collection="notes",status="2xx"}') == 1
    assert rose('vdb_collection_requests_total{collection="notes",status="4xx"}') == 2
    assert rose('vdb_collection_request_duration_seconds_count{collection="notes"}') == 3
    assert rose('vdb_tenant_requests_total{tenant="acme"}') == 3
    assert rose('vdb_tenant_refused_total{tenant="acme"}') == 2
    assert rose('vdb_refused_requests_total{kind="reads"}') == 2
    assert found['vdb_refused_requests_total{kind="queue"}'] == found["vdb_waiting_requests"] == 0
