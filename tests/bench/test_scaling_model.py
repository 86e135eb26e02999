"""The cost model adds up what was measured, names what gives way, and docs/scaling.md has its tables."""

from math import isnan
from pathlib import Path

import pytest

from bench.record import ROOT
from bench.scaling import main
from bench.scaling.laws import Measured, laws, measured
from bench.scaling.limits import limits
from bench.scaling.model import Model, Wanted
from bench.scaling.tables import tables, written
from bench.scaling.told import amount, bytes_of, seconds_of, text
from vdb.config import Settings

SIZES = (10_000, 100_000, 1_000_000)
MEMORY, DISK, STORE, REQUEST = 200.0, 30.0, 4_000.0, 250.0


def _measured() -> Measured:
    """Exact laws: 100 √n rows of 10 ns in memory, 50 pages of 4 µs on disk, and flat costs."""
    rows = {n: 100.0 * n**0.5 for n in SIZES}
    return {
        "memory": {
            **{f"work at {recall}": rows for recall in (".95", ".99")},
            **{f"CPU at {recall}": {n: 0.01 * work for n, work in rows.items()} for recall in (".95", ".99")},
            "bytes in RAM": {n: MEMORY * n for n in SIZES},
            "CPU of the build": {n: 36e-6 * n for n in SIZES},
        },
        "disk": {
            "work at .95": dict.fromkeys(SIZES, 50.0),
            "CPU at .95": dict.fromkeys(SIZES, 200.0),
            "bytes in RAM": {n: DISK * n for n in SIZES},
            "bytes on disk per point": dict.fromkeys(SIZES, 2_000.0),
            "CPU of the build": {n: 72e-6 * n for n in SIZES},
        },
        "writes": {"CPU of a layout": {n: 1.2e-6 * n for n in SIZES}},
        "directories": {"bytes in RAM per tenant": dict.fromkeys(SIZES, 76.0)},
        "collection": {
            "server CPU per point until stored": dict.fromkeys(SIZES, 90.0),
            "server CPU per search at .95": {n: REQUEST + 0.01 * work for n, work in rows.items()},
            "bytes on disk per point": dict.fromkeys(SIZES, 6_000.0),
            "bytes of the store per point": dict.fromkeys(SIZES, STORE),
            "first search after it": {n: 1e-3 * n for n in SIZES},
        },
        "tenants": {
            "bytes in RAM per tenant, not searched": dict.fromkeys(SIZES, 1_000.0),
            "bytes on disk per tenant": dict.fromkeys(SIZES, 10_000.0),
        },
    }


@pytest.fixture(name="model")
def _model() -> Model:
    return Model(_measured(), laws(_measured()))


def test_a_node_in_memory_takes_what_was_measured_of_it(model: Model) -> None:
    cost = model.cost(Wanted(1e6, 1, qps=1_000), "hybrid")
    assert cost.ram_bytes == pytest.approx(MEMORY * 1e6 + 1_076)
    assert model.cost(Wanted(1e6, 1), "memory").ram_bytes == pytest.approx((MEMORY + 4 * 384) * 1e6 + 1_076)
    assert cost.disk_bytes == pytest.approx(6_000 * 1e6 + 10_000)
    assert cost.kernel_us == pytest.approx(0.01 * 100 * 1_000)
    assert cost.request_us == pytest.approx(REQUEST)
    assert cost.cores == pytest.approx(1.25)
    assert cost.build_h == pytest.approx(0.01)
    assert cost.load_s == pytest.approx(1.0)
    assert cost.inserts_per_s == pytest.approx(1e6 / (90 + 1.2 / 0.12))


def test_a_node_on_disk_takes_pages_and_heads(model: Model) -> None:
    cost = model.cost(Wanted(1e7, 10), "disk")
    assert cost.ram_bytes == pytest.approx(DISK * 1e7 + 10_760)
    assert cost.disk_bytes == pytest.approx((STORE + 2_000) * 1e7 + 100_000)
    assert cost.kernel_us == pytest.approx(200.0)


def test_a_small_part_of_many_tenants_is_scanned_whole(model: Model) -> None:
    assert model.kernel_us(Wanted(1e6, 1e6), "hybrid") == pytest.approx(0.01 * 11)
    assert model.kernel_us(Wanted(1e6, 1e3), "hybrid") == pytest.approx(0.01 * (1_000 + 400))
    assert model.kernel_us(Wanted(1e6, 1e6), "disk") == pytest.approx(4.0 * 2)


def test_fewer_components_take_less_of_what_depends_on_them(model: Model) -> None:
    half, whole = (model.cost(Wanted(1e6, 1, dimension), "hybrid") for dimension in (192, 384))
    assert half.disk_bytes < 0.51 * whole.disk_bytes
    assert half.kernel_us <= whole.kernel_us and half.request_us == whole.request_us


def test_what_gives_way_first_comes_first(model: Model) -> None:
    over = [one.what for one in model.gives_way(Wanted(1e9, 1, qps=5_000))]
    assert over[0] == "a collection's map is full"
    assert "requests take all of the one core that Python has" in over
    assert model.gives_way(Wanted(1e6, 1)) == []
    assert model.thresholds()[0].at == pytest.approx(Settings().max_map_bytes / STORE)


def test_a_load_that_was_not_seen_to_grow_says_nothing_of_larger_sizes() -> None:
    flat = _measured()
    flat["collection"]["first search after it"] = dict.fromkeys(SIZES, 200.0)
    model = Model(flat, laws(flat))
    assert isnan(model.cost(Wanted(1e9), "hybrid").load_s)
    assert all("loading" not in one.what for one in model.thresholds())


def test_limits_are_those_of_the_settings() -> None:
    by_what = {one.what: one.value for one in limits()}
    assert by_what["bytes of a collection's map"] == Settings().max_map_bytes
    assert by_what["collections"] == Settings().limits.max_collections
    assert by_what["rows of an index, 31 bits of a place in a list"] == 2**31


def test_amounts_are_told_with_two_digits() -> None:
    assert [amount(n) for n in (1.0, 12_345, 3.44e8, 1e9)] == ["1", "12,000", "340 million", "1 billion"]
    assert [bytes_of(n) for n in (2_500, 3.45e6, 1.234e12)] == ["2.5 KB", "3.5 MB", "1.2 TB"]
    assert [seconds_of(n) for n in (0.5, 90, 7_200)] == ["0.5 s", "1.5 min", "2 h"]


def test_the_command_tells_every_tier(model: Model) -> None:
    said = text(model, Wanted(1e9, 1e6))
    assert [line.split()[0] for line in said.splitlines()[2:5]] == ["memory", "hybrid", "disk"]
    assert "a collection's map is full" in said


def test_the_command_says_what_was_not_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "--vectors", "1e6", "--results", str(tmp_path)]) == 1
    assert "not measured" in capsys.readouterr().err


def test_a_table_takes_its_place_in_a_document_and_leaves_the_rest() -> None:
    document = "before\n<!-- table: laws -->\nold\n<!-- end -->\nafter\n"
    assert written(document, {"laws": "new"}) == document.replace("old", "new")


def test_the_document_has_the_tables_of_the_committed_rows() -> None:
    document = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    made = tables(measured())
    assert [name for name in made if f"<!-- table: {name} -->" not in document] == []
    assert written(document, made) == document, "run `python -m bench scaling tables --write`"
