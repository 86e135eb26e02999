"""`vdb.open`: who closes, who is locked out, and as whom calls run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vdb
from vdb.errors import DirectoryLocked, Forbidden, InvalidArgument, SequenceTimeout, VersionConflict
from vdb.local import Database

SETTINGS: dict[str, Any] = {"compile_kernels": False, "map_bytes": 1 << 20}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with vdb.open(tmp_path / "data", tenant="acme", **SETTINGS) as opened:
        opened.create_collection("docs", 2)
        opened.create_tenant("acme")
        opened.create_tenant("globex")
        yield opened


def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    for n_points in (1, 2):
        with vdb.open(str(tmp_path / "data"), **SETTINGS) as database:
            if n_points == 1:
                database.create_collection("docs", 2)
            docs = database.collection("docs", tenant="acme")
            docs.upsert([f"p{n_points}"], [[1.0, 2.0]])
            assert docs.count() == n_points


def test_a_second_opener_is_locked_out(tmp_path: Path, database: Database) -> None:
    with pytest.raises(DirectoryLocked):
        vdb.open(tmp_path / "data")


def test_the_default_tenant_is_that_of_open(database: Database) -> None:
    database.collection("docs").upsert(["a"], [[1.0, 2.0]])
    assert database.collection("docs", tenant="acme").count() == 1
    assert database.collection("docs", tenant="globex").count() == 0


def test_a_tenants_view_has_its_rights_and_closes_nothing(database: Database) -> None:
    with database.as_tenant("acme", role="read") as reader:
        with pytest.raises(Forbidden):
            reader.collection("docs").upsert(["a"], [[1.0, 2.0]])
        with pytest.raises(Forbidden):
            reader.collection("docs", tenant="globex").count()
    assert database.collection("docs").count() == 0


def test_an_unknown_role_or_setting_is_refused(tmp_path: Path, database: Database) -> None:
    with pytest.raises(InvalidArgument, match="service"):
        database.as_tenant("acme", role="owner")
    with pytest.raises(InvalidArgument, match="cache_size"):
        vdb.open(tmp_path / "other", cache_size=3)


def test_a_sequence_that_does_not_come_is_waited_for_and_reported(database: Database) -> None:
    docs = database.collection("docs")
    docs.upsert(["a"], [[1.0, 2.0]])
    with pytest.raises(SequenceTimeout):
        docs.count(min_sequence=10**6, timeout_s=0.05)


def test_a_failed_condition_is_an_error_of_its_class(database: Database) -> None:
    docs = database.collection("docs")
    docs.upsert(["a"], [[1.0, 2.0]], if_absent=True)
    with pytest.raises(VersionConflict):
        docs.upsert(["a"], [[1.0, 2.0]], if_absent=True)


def test_the_repr_says_where(tmp_path: Path, database: Database) -> None:
    assert repr(database) == f"Database({str(tmp_path / 'data')!r}, tenant='acme')"
