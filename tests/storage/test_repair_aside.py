"""`vdb check --repair --drop-damaged` sets aside what cannot be read, so that its ids can be written again."""

from pathlib import Path

import msgspec
import pytest

from tests.engine.driver import opened, wait_until
from tests.storage import test_check
from tests.storage.damage import CATALOG, NOTES, Damage, changing, drop, entries, flip, golden_copy, hurt, put
from tests.storage.test_check import A1, ACME, GLOBEX, rewrite
from vdb.errors import CorruptData, DiskFull, InvalidArgument
from vdb.storage import edits
from vdb.storage.catalog import JobDocument, put_job
from vdb.storage.check import check_directory
from vdb.storage.codec import encode_u64
from vdb.storage.keyspace import Space, grant_key, name_key, number_key, record_key, vector_key
from vdb.storage.repair import Repaired, repair


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return golden_copy(tmp_path / "data")


def aside_lines(done: Repaired) -> list[dict[str, str]]:
    assert done.aside is not None and done.aside.stat().st_mode & 0o777 == 0o600
    return [msgspec.json.decode(line) for line in done.aside.read_bytes().splitlines()]


def test_a_damaged_record_is_set_aside_and_its_id_written_again(path: Path) -> None:
    hurt(path, NOTES, flip(A1, 20))
    raw = entries(path)[NOTES]
    with opened(path) as driver, pytest.raises(CorruptData):
        driver.upsert("acme", "notes", ["a1"], [[1, 0, 0, 0]])
    done = repair(path, drop_damaged=True)
    assert (done.findings.faults, done.n_aside) == ([], 2)
    assert done.aside is not None and done.aside.parent == path.with_name("data.damaged")
    assert aside_lines(done) == [
        {"environment": "collection notes", "why": why, "key": key.hex(), "value": raw[key].hex()}
        for key, why in ((A1, "a damaged record"), (vector_key(ACME, 0), "the vector of a damaged record"))
    ]
    with opened(path) as driver:
        assert driver.count("acme", "notes") == 4 and driver.get("globex", "notes", ["a1"], owner="acme") == []
        driver.upsert("acme", "notes", ["a1"], [[1, 0, 0, 0]])
        assert driver.found("acme", "notes", [1, 0, 0, 0], limit=1) == ["a1"]
    assert check_directory(path) == []


@pytest.mark.parametrize(
    "damage", [flip(vector_key(ACME, 0), 3), drop(vector_key(ACME, 0)), put(vector_key(ACME, 0), b"\0" * 12)]
)
def test_a_point_that_lost_its_vector_keeps_the_rest(path: Path, damage: Damage) -> None:
    hurt(path, NOTES, damage)
    done = repair(path, drop_damaged=True)
    assert done.findings.faults == []
    assert "the record of a point that has lost its vector" in [line["why"] for line in aside_lines(done)]
    with opened(path) as driver:
        (point,) = driver.get("acme", "notes", ["a1"], with_vector=True)
        assert (point.vector, msgspec.json.decode(point.payload), point.shared_with) == (
            None, {"year": 2021, "new": True}, ["globex"],
        )  # fmt: skip
        assert "a1" not in driver.found("acme", "notes", [1, 0, 0, 0])


STRANGE: list[tuple[str, Damage]] = [
    (NOTES, put(vector_key(ACME, 99), b"\0" * 16)),
    (NOTES, rewrite(A1, has_vector=False)),
    (NOTES, put(b"\x77key", b"x")),
    (NOTES, put(A1[:5], b"")),
    (NOTES, put(grant_key(1, 1)[:4], b"")),
    (NOTES, put(b"\x01other", encode_u64(1))),
    (NOTES, put(number_key(Space.TENANT, 1), b"")),
    (CATALOG, put(A1, b"")),
    (CATALOG, put(b"\x01other", encode_u64(1))),
    (CATALOG, flip(number_key(Space.JOB, 1), 9)),
    (CATALOG, lambda txn: flip(name_key(Space.KEY, test_check.key_of(txn, "write").id), 9)(txn)),
]


@pytest.mark.parametrize(("place", "damage"), STRANGE)
def test_what_the_server_can_do_without_is_set_aside(path: Path, place: str, damage: Damage) -> None:
    hurt(path, place, damage)
    assert check_directory(path)
    done = repair(path, drop_damaged=True, aside_dir=path.parent / "aside")
    assert (done.findings.faults, done.n_aside, len(aside_lines(done))) == ([], 1, 1)
    assert done.aside is not None and done.aside.parent == path.parent / "aside"
    with opened(path) as driver:
        driver.upsert("acme", "notes", ["a1"], [[1, 0, 0, 0]])
    assert check_directory(path) == []


def test_a_damaged_tenant_is_found_by_its_name_and_reached_again(path: Path) -> None:
    hurt(path, CATALOG, flip(number_key(Space.TENANT, GLOBEX), 9))
    with opened(path) as driver, pytest.raises(CorruptData):
        driver.ids("globex", "notes")
    done = repair(path, drop_damaged=True)
    assert done.findings.faults == []
    assert [change.what for change in done.changes] == [
        "set aside and replaced: tenant globex, whose quota has to be set again"
    ]
    with opened(path) as driver:
        assert driver.ids("globex", "notes") == ["a1", "for-all", "later"]
        assert driver.tenant("globex").quota.points is None


def test_a_damaged_collection_is_never_dropped(path: Path) -> None:
    hurt(path, CATALOG, flip(number_key(Space.COLLECTION, 1), 9))
    done = repair(path, drop_damaged=True)
    assert (done.changes, done.aside) == ([], None)
    assert done.findings.n_faults > 0 and (path / NOTES / "data.mdb").exists()


def test_what_is_set_aside_is_in_the_file_before_it_is_gone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hurt(path, NOTES, flip(A1, 20))
    before = entries(path)

    def fail(self: edits.Edits) -> bool:
        raise DiskFull("no space is left on the disk")

    with monkeypatch.context() as patched:
        patched.setattr(edits.Edits, "_try", fail)
        with pytest.raises(DiskFull):
            repair(path, drop_damaged=True)
    assert entries(path) == before
    (file,) = path.with_name("data.damaged").iterdir()
    assert len(file.read_bytes().splitlines()) == 2
    assert repair(path, drop_damaged=True).findings.faults == []


@pytest.mark.parametrize("state", ["running", "failed"])
def test_a_damaged_tenant_that_was_being_deleted_does_not_come_back(path: Path, state: str) -> None:
    job = JobDocument(
        id=9,
        kind="delete_tenant",
        state=state,
        collection_id=None,
        tenant_id=GLOBEX,
        created_at_ms=1,
        finished_at_ms=1 if state == "failed" else 0,
    )
    hurt(path, CATALOG, flip(number_key(Space.TENANT, GLOBEX), 9))
    with changing(path / CATALOG) as txn:
        put_job(txn, job)
    repair(path, drop_damaged=True)
    with opened(path) as driver:
        wait_until(lambda: driver.engine.services.catalog.tenant("globex") is None)
    assert [fault.where for fault in check_directory(path) if "globex" in fault.where] == []


def test_what_is_set_aside_does_not_go_into_the_directory_itself(path: Path) -> None:
    hurt(path, NOTES, flip(record_key(ACME, 0), 20))
    with pytest.raises(InvalidArgument):
        repair(path, drop_damaged=True, aside_dir=path / "aside")
    assert repair(path, drop_damaged=True, aside_dir=path.with_name("aside")).n_aside
