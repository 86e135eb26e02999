"""Keys in use: roles, rotation with grace, expiry, last use, and the first admin key."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.engine.driver import Driver, opened, wait_until
from vdb.engine.keys import save_last_used
from vdb.errors import Forbidden, InvalidArgument, KeyExpired, KeyNotFound, TenantRequired, Unauthenticated
from vdb.protocol.requests import CreateCollection, Empty, ListPage, RotateKey
from vdb.storage.check import check_directory
from vdb.types import Role

CONFIGURED = "a-configured-admin-key"


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with opened(tmp_path / "data") as made:
        yield made


def test_a_first_admin_key_is_made_once(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        first = driver.engine.first_admin_key
        assert first is not None and driver.engine.authenticate(first, None).role is Role.ADMIN
    with opened(tmp_path / "data") as driver:
        assert driver.engine.first_admin_key is None
        assert driver.engine.authenticate(first, None).role is Role.ADMIN


def test_a_configured_admin_key_is_good_only_while_it_is_configured(tmp_path: Path) -> None:
    with opened(tmp_path / "data", admin_key=CONFIGURED) as driver:
        assert driver.engine.first_admin_key is None
        assert driver.engine.authenticate(CONFIGURED, None).role is Role.ADMIN
    with opened(tmp_path / "data", admin_key=CONFIGURED + "-2") as driver, pytest.raises(Unauthenticated):
        driver.engine.authenticate(CONFIGURED, None)
    with opened(tmp_path / "data") as driver:
        assert driver.engine.first_admin_key is not None
        with pytest.raises(Unauthenticated):
            driver.engine.authenticate(CONFIGURED + "-2", None)
    assert check_directory(tmp_path / "data") == []


@pytest.mark.parametrize("token", [None, "", "vdb_nothing", "\udc80", "x" * 10_000])
def test_what_is_no_key_is_refused(driver: Driver, token: str | None) -> None:
    with pytest.raises(Unauthenticated):
        driver.engine.authenticate(token, None)


def test_a_bound_key_acts_for_its_tenant_only(driver: Driver) -> None:
    key = str(driver.create_key(Role.READ, "acme").key)
    assert driver.engine.authenticate(key, "acme") == driver.engine.authenticate(key, None)
    with pytest.raises(Forbidden):
        driver.engine.authenticate(key, "globex")


def test_a_service_key_acts_for_the_tenant_named_and_manages_nothing(driver: Driver) -> None:
    driver.create("notes")
    key = str(driver.create_key(Role.SERVICE).key)
    caller = driver.engine.authenticate(key, "acme")
    assert (caller.tenant, caller.tenant_id) == ("acme", None)
    with pytest.raises(Forbidden):
        driver.engine.run("create_collection", caller, (), CreateCollection(name="x", dimension=2))
    with pytest.raises(TenantRequired):
        driver.engine.run("get_points", driver.engine.authenticate(key, None), ("notes",), Empty())
    with pytest.raises(InvalidArgument):
        driver.engine.authenticate(key, "No Name")


def test_a_rotated_secret_works_during_its_grace_and_not_after(driver: Driver, tmp_path: Path) -> None:
    made = driver.create_key(Role.WRITE, "acme")
    rotated = driver.run("rotate_key", None, (made.id,), RotateKey(grace_s=0.4))
    for secret in (made.key, rotated.key):
        assert driver.engine.authenticate(str(secret), None).key_id == made.id
    time.sleep(0.5)
    with pytest.raises(Unauthenticated):
        driver.engine.authenticate(str(made.key), None)
    assert driver.engine.authenticate(str(rotated.key), None).key_id == made.id


def test_a_rotation_without_grace_and_a_second_rotation_end_old_secrets_at_once(driver: Driver) -> None:
    made = driver.create_key(Role.WRITE, "acme")
    second = driver.run("rotate_key", None, (made.id,), RotateKey(grace_s=60))
    third = driver.run("rotate_key", None, (made.id,), RotateKey())
    for secret in (made.key, second.key):
        with pytest.raises(Unauthenticated):
            driver.engine.authenticate(str(secret), None)
    assert driver.engine.authenticate(str(third.key), None).tenant == "acme"


def test_a_rotated_key_stays_sound_in_the_store(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        made = driver.create_key(Role.WRITE, "acme")
        for grace_s in (60, 60, 0, 60):
            driver.run("rotate_key", None, (made.id,), RotateKey(grace_s=grace_s))
    assert check_directory(tmp_path / "data") == []
    with opened(tmp_path / "data") as driver:
        driver.run("delete_key", None, (made.id,), Empty())
        with pytest.raises(KeyNotFound):
            driver.run("get_key", None, (made.id,), Empty())
    assert check_directory(tmp_path / "data") == []


def test_a_key_expires_and_a_deleted_one_is_not_known(driver: Driver) -> None:
    expires_at = datetime.now(UTC) + timedelta(milliseconds=400)
    key = str(driver.create_key(Role.READ, "acme", expires_at=expires_at).key)
    driver.engine.authenticate(key, None)
    time.sleep(0.5)
    with pytest.raises(KeyExpired):
        driver.engine.authenticate(key, None)
    made = driver.create_key(Role.READ, "acme")
    driver.engine.authenticate(str(made.key), None)
    driver.run("delete_key", None, (made.id,), Empty())
    with pytest.raises(Unauthenticated) as refused:
        driver.engine.authenticate(str(made.key), None)
    assert not isinstance(refused.value, KeyExpired)


def test_the_last_use_is_told_at_once_and_after_a_restart(tmp_path: Path) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    with opened(tmp_path / "data") as driver:
        used, idle = driver.create_key(Role.READ, "acme"), driver.create_key(Role.READ, "acme")
        driver.engine.authenticate(str(used.key), None)
        assert driver.run("get_key", None, (used.id,), Empty()).last_used_at > before
        save_last_used(driver.engine.services)
        assert driver.run("get_key", None, (used.id,), Empty()).last_used_at > before
        driver.engine.authenticate(str(used.key), None)
    with opened(tmp_path / "data") as driver:
        assert driver.run("get_key", None, (used.id,), Empty()).last_used_at > before
        assert driver.run("get_key", None, (idle.id,), Empty()).last_used_at is None


def test_listed_keys_carry_no_secret(driver: Driver) -> None:
    driver.create_key(Role.READ, "acme", name="reader")
    listed = driver.run("list_keys", None, (), ListPage()).keys
    assert {key.role for key in listed} == {"admin", "read"} and not any(isinstance(key.key, str) for key in listed)


def test_a_key_of_a_deleted_tenants_name_is_refused_while_the_job_runs(driver: Driver) -> None:
    driver.create_key(Role.READ, "acme")
    job = driver.run("delete_tenant", None, ("acme",), Empty())
    driver.finish_job(job)
    wait_until(lambda: driver.create_key(Role.READ, "acme").tenant == "acme")
    assert driver.tenant("acme").id == 2
