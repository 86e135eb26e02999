"""An export is complete or not there, goes on after a failure, and what is imported of it equals what was exported."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transfer.importing import Importing, silent
from vdb.client import Collection
from vdb.errors import QueueFull, VdbError
from vdb.local import Database
from vdb.transfer import ExportOptions, ExportReport, export_file

NAMES = ["a.jsonl", "a.jsonl.gz", "a.npz", "a.hdf5", "a.parquet"]
N = 3_500


def _export(importing: Importing, name: str, **options: Any) -> ExportReport:
    given: dict[str, Any] = {"collection": importing.name, "place": "here", **options}
    return export_file(importing.client, importing.folder / name, ExportOptions(**given), silent())


def _filled(importing: Importing, n: int = N) -> Importing:
    importing.client.create_collection(importing.name, 2, "ip")
    payloads = [{"n": i} for i in range(n)]
    vectors = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
    importing.client.collection(importing.name).upsert([f"p{i}" for i in range(n)], vectors, payloads)
    return importing


def _texts() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def _points() -> st.SearchStrategy[list[dict[str, Any]]]:
    ids = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
    numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
    values = st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
        | _texts(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts(), inner, max_size=3),
        max_leaves=6,
    )  # fmt: skip
    moments = st.datetimes(datetime(2050, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC))
    point = st.fixed_dictionaries(
        {
            "id": ids,
            "vector": st.none() | st.lists(numbers, min_size=3, max_size=3),
            "payload": st.dictionaries(_texts(), values, max_size=3),
            "expires_at": st.none() | moments.map(lambda m: m.replace(microsecond=m.microsecond // 1000 * 1000)),
            "shared_with": st.none() | st.lists(st.sampled_from(["globex", "*"]), max_size=2, unique=True),
        }
    )
    return st.lists(point, max_size=6, unique_by=lambda found: found["id"])


@pytest.mark.parametrize("name", NAMES)
def test_an_import_of_an_export_gives_equal_points(
    name: str, database: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    @given(_points())
    def holds(points: list[dict[str, Any]]) -> None:
        first, second = (Importing(database, tmp_path_factory.mktemp("export")) for _ in range(2))
        try:
            _check_round_trip(first, second, name, points)
        finally:
            first.drop()
            second.drop()

    holds()


def _check_round_trip(first: Importing, second: Importing, name: str, points: list[dict[str, Any]]) -> None:
    for importing in (first, second):
        importing.client.create_collection(importing.name, 3, "l2")
    if points:
        columns = {key: [point[key] for point in points] for key in points[0]}
        more: dict[str, Any] = {key: columns[key] for key in ("expires_at", "shared_with")}
        first.client.collection(first.name).upsert(columns["id"], columns["vector"], columns["payload"], **more)
    assert _export(first, name).n_points == len(points)
    report = second.run(first.folder / name)
    assert (report.n_written, report.n_rejected) == (len(points), 0)
    assert _comparable(second) == _comparable(first)


def _comparable(importing: Importing) -> dict[str, Any]:
    return {
        name: (None if p.vector is None else p.vector.tobytes(), repr(p.payload), p.expires_at, p.shared_with)
        for name, p in importing.points().items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_an_export_holds_every_point_in_order(name: str, importing: Importing) -> None:
    _filled(importing)
    report = _export(importing, name)
    assert (report.n_points, report.resumed_at_point) == (N, 0)
    assert report.n_bytes == (importing.folder / name).stat().st_size
    assert [path.name for path in importing.folder.iterdir()] == [name]
    again = Importing(importing.client, importing.folder)
    again.run(importing.folder / name)
    assert _comparable(again) == _comparable(importing)
    metric = importing.client.get_collection(again.name).metric
    assert metric == ("ip" if name == "a.hdf5" else "cosine")
    again.drop()


def test_what_an_export_looks_like(importing: Importing) -> None:
    _filled(importing, 2)
    moment = datetime(2060, 1, 1, tzinfo=UTC)
    points = importing.client.collection(importing.name)
    points.upsert(["é"], None, [{"n": 2}], expires_at=moment, shared_with=["globex"])
    for name in ("a.jsonl", "a.npz", "a.hdf5", "a.parquet"):
        _export(importing, name)
    assert [json.loads(line) for line in (importing.folder / "a.jsonl").read_text("utf-8").splitlines()] == [
        {"id": "p0", "vector": [0, 1], "payload": {"n": 0}},
        {"id": "p1", "vector": [2, 3], "payload": {"n": 1}},
        {
            "id": "é",
            "vector": None,
            "payload": {"n": 2},
            "expires_at": "2060-01-01T00:00:00Z",
            "shared_with": ["globex"],
        },
    ]
    with np.load(importing.folder / "a.npz", allow_pickle=False) as arrays:
        assert arrays["vectors"].tolist() == [[0, 1], [2, 3], [0, 0]]
        assert (arrays["ids"].tobytes(), arrays["ids_ends"].tolist()) == ("p0p1é".encode(), [2, 4, 6])
        assert arrays["has_vector"].tolist() == [True, True, False]
    with h5py.File(importing.folder / "a.hdf5") as file:
        assert (file.attrs["distance"], file["train"].shape) == ("dot", (3, 2))
        assert file["ids"].asstr()[:].tolist() == ["p0", "p1", "é"]
    table = parquet.read_table(importing.folder / "a.parquet").to_pylist()
    assert table[2] == {
        "id": "é",
        "vector": None,
        "payload": '{"n":2}',
        "expires_at": moment,
        "shared_with": ["globex"],
    }


def test_an_export_takes_a_filter_and_a_tenant(importing: Importing) -> None:
    _filled(importing)
    importing.client.collection(importing.name, tenant="globex").upsert(["theirs"], [[1, 2]])
    report = _export(importing, "a.jsonl", filter={"field": "n", "lt": 10}, base64=True)
    lines = (importing.folder / "a.jsonl").read_text().splitlines()
    assert report.n_points == len(lines) == 10 and '"vector":"AAAAAAAAgD8="' in lines[0]
    assert _export(importing, "b.jsonl", tenant="globex").n_points == 1
    assert json.loads((importing.folder / "b.jsonl").read_text())["id"] == "theirs"


@pytest.mark.parametrize("name", NAMES)
def test_an_export_goes_on_after_a_failure(name: str, importing: Importing, monkeypatch: pytest.MonkeyPatch) -> None:
    _filled(importing)
    scroll_page, n_pages = Collection.scroll_page, [0]

    def failing(self: Collection, *args: Any, **given: Any) -> Any:
        n_pages[0] += 1
        if n_pages[0] == 3:
            raise QueueFull("busy")
        return scroll_page(self, *args, **given)

    monkeypatch.setattr(Collection, "scroll_page", failing)
    monkeypatch.setattr("vdb.transfer.exporter._SAVE_S", 0.0)
    with pytest.raises(QueueFull):
        _export(importing, name)
    target = importing.folder / name
    assert not target.exists()
    with target.with_name(f"{name}.part").open("ab") as part:
        part.write(b'{"id": "p2000", "vec')  # written after the state, before a kill
    report = _export(importing, name)
    assert (report.resumed_at_point, report.n_points) == (2000, N)
    assert [path.name for path in importing.folder.iterdir()] == [name]
    again = Importing(importing.client, importing.folder)
    again.run(target)
    assert _comparable(again) == _comparable(importing)
    again.drop()


def test_a_failure_while_the_file_is_made_reads_nothing_again(
    importing: Importing, monkeypatch: pytest.MonkeyPatch
) -> None:
    _filled(importing)

    def failing(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setitem(__import__("vdb.transfer.exporter").transfer.exporter.WRITERS, "npz", failing)
        with pytest.raises(VdbError, match="No space left"):
            _export(importing, "a.npz")
    monkeypatch.setattr(Collection, "scroll_page", None)
    report = _export(importing, "a.npz")
    assert (report.resumed_at_point, report.n_points) == (N, N)


def test_a_file_is_replaced_only_by_force(importing: Importing) -> None:
    _filled(importing, 3)
    target = importing.write("a.jsonl", "mine")
    with pytest.raises(VdbError, match="--force"):
        _export(importing, "a.jsonl")
    assert target.read_text() == "mine"
    assert _export(importing, "a.jsonl", force=True).n_points == 3
    (importing.folder / "b.jsonl").mkdir()
    with pytest.raises(VdbError, match="--force"):
        _export(importing, "b.jsonl", force=True)


def test_a_part_of_another_export_is_refused(importing: Importing) -> None:
    _filled(importing, 3)
    part = importing.write("a.jsonl.part", "mine")
    with pytest.raises(VdbError, match="no state belongs to it"):
        _export(importing, "a.jsonl")
    assert part.read_text() == "mine"
    state = importing.folder / "a.jsonl.vdb-export.json"
    collection = importing.client.get_collection(importing.name)
    target = {"place": "here", "collection": importing.name, "tenant": None, "collection_id": collection.id}
    target |= {"created_at": collection.created_at.isoformat()}
    form = {"format": "jsonl", "base64": False, "filter": None}
    state.write_text(json.dumps({"target": target, "form": form, "n_bytes": 400}))
    with pytest.raises(VdbError, match="--restart begins anew"):
        _export(importing, "a.jsonl")
    state.write_text(json.dumps({"target": target, "form": form, "cursor": "x"}))
    with pytest.raises(VdbError, match="--restart begins anew"):
        _export(importing, "a.jsonl")
    with pytest.raises(VdbError, match="filter was None"):
        _export(importing, "a.jsonl", filter={"field": "n", "eq": 1})
    assert _export(importing, "a.jsonl", restart=True).n_points == 3


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_collection_is_an_empty_file(name: str, importing: Importing) -> None:
    importing.client.create_collection(importing.name, 2)
    assert _export(importing, name).n_points == 0
    assert importing.run(importing.folder / name).n_rows == 0


@pytest.mark.parametrize("name", ["a.npy", "a.csv", "missing/a.jsonl"])
def test_a_target_that_cannot_be_is_refused(name: str, importing: Importing) -> None:
    _filled(importing, 3)
    with pytest.raises(VdbError):
        _export(importing, name)
    assert list(importing.folder.iterdir()) == []


def test_a_collection_that_is_not_there_writes_nothing(importing: Importing) -> None:
    with pytest.raises(VdbError, match="no such collection"):
        _export(importing, "a.jsonl")
    assert list(Path(importing.folder).iterdir()) == []
