"""A second run goes on from the last acknowledged place, and only with what is the same import."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.transfer.importing import Importing
from vdb.client import Collection
from vdb.errors import DiskFull, QueueFull, RateLimited, TransportTimeout, VdbError
from vdb.transfer import Fields

N = 20_000
CHUNK = 2_000


def _file(importing: Importing, name: str = "a.npy", bad: int | None = None) -> Path:
    vectors = np.arange(2 * N, dtype=np.float32).reshape(N, 2)
    if bad is not None:
        vectors[bad :: CHUNK // 2] = np.nan
    np.save(importing.folder / name, vectors)
    return importing.folder / name


def _state(file: Path) -> Path:
    return file.with_name(file.name + ".vdb-import.json")


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[list[str]], VdbError | None]], None]:
    """Makes upserts fail: the function says with what, by the ids of a request."""
    upsert = Collection.upsert

    def use(fault: Callable[[list[str]], VdbError | None]) -> None:
        def refusing(self: Collection, ids: list[str], *args: Any, **given: Any) -> int:
            error = fault(ids)
            if error is not None:
                raise error
            return upsert(self, ids, *args, **given)

        monkeypatch.setattr(Collection, "upsert", refusing)

    return use


def test_a_second_run_goes_on_after_the_first_failed(importing: Importing, refuse: Any) -> None:
    file = _file(importing)
    refuse(lambda ids: DiskFull("no room") if "9000" in ids else None)
    error = importing.error(file)
    assert "no room (all up to row 8000 is imported, 0 rejected; run again to go on)" in error.detail
    assert type(error) is DiskFull
    assert json.loads(_state(file).read_text())["row"] == 8000
    seen: list[str] = []
    refuse(lambda ids: seen.extend(ids))
    report = importing.run(file)
    assert (report.resumed_at_row, report.n_written, report.n_rows) == (8000, N, N)
    assert sorted(map(int, seen)) == list(range(8000, N))
    points = importing.points()
    assert len(points) == N and all(points[str(i)].vector.tolist() == [2 * i, 2 * i + 1] for i in range(N))
    assert [path.name for path in importing.folder.iterdir()] == ["a.npy"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.npz", "a.hdf5", "a.parquet"])
def test_every_format_goes_on_within_the_file(name: str, importing: Importing, refuse: Any) -> None:
    from tests.transfer.test_formats import N as n_rows
    from tests.transfer.test_formats import _write

    vectors = np.arange(4 * n_rows, dtype=np.float32).reshape(n_rows, 4)
    file = _write(importing.folder / name, vectors)
    refuse(lambda ids: DiskFull("no room") if "p2500" in ids else None)
    assert "run again to go on" in importing.error(file).detail
    n_before = len(importing.points())
    assert 0 < n_before < n_rows
    seen: list[str] = []
    refuse(lambda ids: seen.extend(ids))
    report = importing.run(file)
    assert "p0" not in seen and "p2500" in seen and len(seen) == len(set(seen)) < n_rows
    assert report.resumed_at_row > 0 and report.n_written == n_rows
    points = importing.points()
    assert len(points) == n_rows and points["p4999"].payload["n"] == 4999
    assert all(np.array_equal(points[f"p{i}"].vector, vectors[i]) for i in range(2, n_rows, 7))


def test_rejected_rows_are_told_once(importing: Importing, refuse: Any) -> None:
    file = _file(importing, bad=100)
    refuse(lambda ids: DiskFull("no room") if "9000" in ids else None)
    importing.error(file)
    with file.with_name("a.npy.rejected.jsonl").open("ab") as late:  # written after the state, before the kill
        late.write(b'{"row":8100,"reason":"x"}\n{"row":')
    refuse(lambda ids: None)
    report = importing.run(file)
    rows = [entry["row"] for entry in importing.rejected(file)]
    assert rows == list(range(100, N, CHUNK // 2)) and report.n_rejected == len(rows)
    assert importing.run(file, restart=True).n_rejected == len(importing.rejected(file)) == len(rows)


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "another collection": ({"collection": "elsewhere"}, "target collection"),
    "another tenant": ({"tenant": "globex"}, "target tenant was None and is 'globex'"),
    "another place": ({"place": "there"}, "target place was 'here' and is 'there'"),
    "another mapping": ({"fields": Fields(id_prefix="x")}, "mapping id_prefix"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_another_import_is_refused(name: str, importing: Importing, refuse: Any) -> None:
    file = _file(importing)
    refuse(lambda ids: DiskFull("no room") if "9000" in ids else None)
    importing.error(file)
    refuse(lambda ids: None)
    options, reason = CHANGES[name]
    error = importing.error(file, **options)
    assert reason in error.detail and "--restart begins anew" in error.detail
    assert importing.run(file).resumed_at_row == 8000


def test_a_changed_source_is_refused_until_restarted(importing: Importing, refuse: Any) -> None:
    file = _file(importing)
    refuse(lambda ids: DiskFull("no room") if "9000" in ids else None)
    importing.error(file)
    refuse(lambda ids: None)
    _file(importing, bad=500)
    assert "source" in importing.error(file).detail
    assert importing.run(file, restart=True).resumed_at_row == 0


def test_a_collection_made_anew_is_refused(importing: Importing, refuse: Any) -> None:
    file = _file(importing)
    refuse(lambda ids: DiskFull("no room") if "9000" in ids else None)
    importing.error(file)
    refuse(lambda ids: None)
    importing.client.delete_collection(importing.name)
    importing.client.create_collection(importing.name, 2)
    assert "target collection_id" in importing.error(file).detail


@pytest.mark.parametrize("text", ["", "{", "[]", '{"row": 3}', "\x00" * 200])
def test_a_damaged_state_is_refused(text: str, importing: Importing) -> None:
    file = _file(importing)
    _state(file).write_text(text)
    assert "--restart begins anew" in importing.error(file).detail
    assert importing.run(file, restart=True).n_written == N


def test_a_source_that_changes_while_it_is_read_is_told(importing: Importing, refuse: Any) -> None:
    file = importing.write("a.jsonl", '{"id": "a", "vector": [1, 2]}\n')
    refuse(lambda ids: file.open("a").write("\n") and None)
    assert "was changed while it was read" in importing.error(file).detail


def test_the_source_is_never_the_state_or_the_report(importing: Importing) -> None:
    file = importing.write("a.jsonl", '{"id": "a", "vector": [1, 2]}\n')
    assert "is the source itself" in importing.error(file, state_path=file).detail
    assert "is the source itself" in importing.error(file, rejected_path=importing.folder / "." / "a.jsonl").detail
    assert importing.run(file).n_written == 1


def test_only_a_list_of_rejected_rows_is_replaced(importing: Importing) -> None:
    file = importing.write("a.jsonl", "bad")
    other = importing.write("notes.txt", "mine")
    assert "is no list of rejected rows" in importing.error(file, rejected_path=other).detail
    assert other.read_text() == "mine"


def test_a_limit_of_the_rate_is_waited_for_whatever_the_patience(importing: Importing, refuse: Any) -> None:
    faults = [RateLimited("slow down", retry_after_s=0.01) for _ in range(5)]
    refuse(lambda ids: faults.pop() if faults else None)
    assert importing.run(_file(importing), patience_s=0.0).n_written == N


def test_a_busy_server_is_waited_for(importing: Importing, refuse: Any) -> None:
    faults = [QueueFull("full"), TransportTimeout("late"), QueueFull("full", retry_after_s=0.01)]
    refuse(lambda ids: faults.pop() if faults else None)
    assert importing.run(_file(importing), patience_s=60.0).n_written == N


def test_a_server_that_stays_busy_ends_the_import(importing: Importing, refuse: Any) -> None:
    refuse(lambda ids: QueueFull("full"))
    assert type(importing.error(_file(importing), patience_s=0.3)) is QueueFull


def test_rows_with_one_id_are_never_in_flight_together(importing: Importing, refuse: Any) -> None:
    """The first request is slow: were the second sent meanwhile, the earlier row would win."""
    rows = [{"id": f"p{i % 2000}", "vector": [i, 0]} for i in range(6_000)]
    file = importing.write("a.jsonl", "\n".join(map(json.dumps, rows)))
    in_flight, most, lock = [0], [0], threading.Lock()

    def slow(ids: list[str]) -> None:
        with lock:
            in_flight[0] += 1
            most[0] = max(most[0], in_flight[0])
        time.sleep(0.05)
        with lock:
            in_flight[0] -= 1

    refuse(slow)
    importing.run(file)
    assert most[0] == 1
    assert {point.vector[0] for point in importing.points().values()} == set(range(4_000, 6_000))


def test_without_create_a_missing_collection_is_named(importing: Importing) -> None:
    error = importing.error(_file(importing), create=False)
    assert error.code == "collection_not_found" and "--create makes it" in error.detail
    assert not importing.exists()


def test_another_dimension_is_refused_before_anything_is_written(importing: Importing) -> None:
    importing.client.create_collection(importing.name, 3)
    assert "vectors have dimension 2, the collection 3" in importing.error(_file(importing)).detail
    assert importing.points() == {}


def test_a_prefix_excludes_a_field_of_ids() -> None:
    with pytest.raises(VdbError, match="--id-prefix exclude each other"):
        Fields(id="x", id_prefix="y")
