"""Starts after which no admin could work: the configured key shadowed another, the disk was full."""

from pathlib import Path

import pytest

from tests.engine.driver import Driver, opened
from vdb.errors import InvalidArgument
from vdb.storage.env import Environment
from vdb.types import Role


def test_the_first_admin_key_given_as_the_configured_one_goes_on_without_it(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        secret = str(driver.engine.first_admin_key)
    with opened(tmp_path / "data", admin_key=secret) as driver:
        assert driver.engine.authenticate(secret, None).role is Role.ADMIN
    with opened(tmp_path / "data") as driver:
        assert driver.engine.authenticate(secret, None).role is Role.ADMIN


def test_the_secret_of_a_lesser_key_is_refused_as_the_configured_admin_key(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        secret = driver.create_key(Role.READ, "acme").key
    with pytest.raises(InvalidArgument), opened(tmp_path / "data", admin_key=secret):
        pass
    with opened(tmp_path / "data") as driver:
        assert driver.engine.authenticate(secret, None).role is Role.READ


@pytest.mark.parametrize("admin_key", ["", "configured-admin-key"])
def test_a_server_starts_on_a_full_disk_and_deletes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, admin_key: str
) -> None:
    def fill(driver: Driver) -> None:
        driver.create("notes")
        driver.upsert("acme", "notes", ["a"], [[0, 0]])

    with opened(tmp_path / "data", admin_key="an-older-admin-key") as driver:
        fill(driver)
        driver.create_key(Role.ADMIN)
    monkeypatch.setattr(Environment, "free_disk_bytes", lambda _: 2 << 20)
    with opened(tmp_path / "data", admin_key=admin_key) as driver:
        assert driver.delete("acme", "notes", ["a"]) == 1
