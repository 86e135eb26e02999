"""Input that ended in an internal error, for its sender or for those who read what it had stored."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.engine.driver import opened
from vdb.config import Limits
from vdb.errors import InvalidArgument, InvalidCursor, PointNotFound, TenantNotFound, TooLarge
from vdb.protocol.requests import Empty, ListPage, TenantQuota, UpdateTenant
from vdb.types import Role

BEYOND_9999 = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(-timedelta(hours=23)))


def test_an_expiry_after_the_year_9999_in_utc_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("notes")
        with pytest.raises(InvalidArgument) as caught:
            driver.upsert("acme", "notes", ["a"], [[0, 0]], expires_at=[BEYOND_9999])
        assert caught.value.problems[0].pointer == "/expires_at/0"
        with pytest.raises(InvalidArgument):
            driver.create_key(Role.ADMIN, expires_at=BEYOND_9999)


@pytest.mark.parametrize("cursor", ["0" * 20 + "9" * 20, "0" * 20 + "9" * 5000, "4294967296", "²"])
def test_a_listing_cursor_of_too_large_a_number_is_refused(tmp_path: Path, cursor: str) -> None:
    with opened(tmp_path / "data") as driver, pytest.raises(InvalidCursor):
        driver.run("list_jobs", None, (), ListPage(cursor=cursor))


def test_a_write_larger_than_the_queue_is_too_large_rather_than_too_early(tmp_path: Path) -> None:
    with opened(tmp_path / "data", limits=replace(Limits(), max_queued_bytes=1 << 16)) as driver:
        driver.create("notes")
        with pytest.raises(TooLarge):
            driver.upsert("acme", "notes", ["a", "b"], payloads=[{"text": "x" * 40_000}] * 2)


@pytest.mark.parametrize("name", ["\ud800", "x" * 600, "", "*"])
def test_what_is_no_name_names_no_tenant(tmp_path: Path, name: str) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("notes")
        driver.upsert("acme", "notes", ["a"], [[0, 0]])
        for operation, request in (
            ("get_tenant", Empty()),
            ("update_tenant", UpdateTenant(quota=TenantQuota())),
            ("delete_tenant", Empty()),
        ):
            with pytest.raises(TenantNotFound):
                driver.run(operation, None, (name,), request)
        assert driver.get("acme", "notes", ["a"], owner=name) == []
        with pytest.raises(PointNotFound):
            driver.delete("acme", "notes", ["a"], owner=name)
