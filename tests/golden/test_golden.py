"""This release reads the directories that earlier releases wrote, once they are migrated."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.engine.cache_driver import CacheDriver
from tests.engine.driver import opened
from tests.golden.make import ADMIN_KEY, VERSIONS, contents, expected_of
from tests.storage.changes import plain
from tests.storage.damage import golden_copy
from vdb.errors import KeyExpired, Unauthenticated
from vdb.storage.cache_labels import iterate_labels
from vdb.storage.check import check_directory, examine
from vdb.storage.codec import FORMAT_VERSION
from vdb.storage.env import Environment
from vdb.storage.keyspace import EVERYONE_ID
from vdb.types import Role


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def directory(tmp_path: Path, version: int) -> Path:
    return golden_copy(tmp_path / "data", version)


@pytest.fixture
def expected(version: int) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(expected_of(version).read_bytes())
    return found


def differences(expected: Any, found: Any, place: str = "") -> list[str]:
    """Where `found` does not say what was `expected`; objects may have gained fields since."""
    if isinstance(expected, dict) and isinstance(found, dict):
        places = [(key, expected[key], found.get(key)) for key in expected]
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        places = list(zip(map(str, range(len(found))), expected, found, strict=True))
    else:
        return [] if expected == found else [f"{place}: {expected!r}, but {found!r}"]
    return [line for key, was, now in places for line in differences(was, now, f"{place}/{key}")]


def test_every_golden_directory_is_sound_by_the_rules_of_its_format(directory: Path, version: int) -> None:
    findings = examine(directory)
    assert (findings.faults, findings.n_points) == ([], 15)
    assert (findings.n_caches, findings.n_entries) == ((1, 6 if version >= 6 else 5) if version >= 4 else (0, 0))
    older = {"catalog", "collection notes", "collection shapes"} if version < FORMAT_VERSION else set()
    older |= {"cache answers"} if 4 <= version < FORMAT_VERSION else set()
    assert findings.older == dict.fromkeys(older, version)


def test_every_golden_directory_is_sound_once_this_release_has_opened_it(directory: Path) -> None:
    with opened(directory, admin_key=ADMIN_KEY):
        pass
    findings = examine(directory)
    assert (findings.faults, findings.older, findings.n_points) == ([], {}, 15)


def test_everything_in_a_golden_directory_reads_as_it_was_written(directory: Path, expected: dict[str, Any]) -> None:
    with opened(directory, admin_key=ADMIN_KEY) as driver:
        found = contents(driver)
    del expected["secrets"]
    assert differences(expected, found) == []


def test_keys_of_a_golden_directory_are_accepted_and_refused_as_before(
    directory: Path, expected: dict[str, Any]
) -> None:
    keys = expected["secrets"]
    with opened(directory, admin_key=ADMIN_KEY) as driver:
        authenticate = driver.engine.authenticate
        assert authenticate(ADMIN_KEY, None).role is Role.ADMIN
        assert (authenticate(keys["writer"], None).tenant, authenticate(keys["reader"], None).role) == ("acme", "read")
        assert authenticate(keys["server"], "initech").tenant_id == 3
        with pytest.raises(KeyExpired):
            authenticate(keys["expired"], None)
        with pytest.raises(Unauthenticated, match="not known"):
            authenticate(keys["replaced"], None)


def test_a_golden_directory_takes_writes_and_stays_sound(directory: Path) -> None:
    with opened(directory, admin_key=ADMIN_KEY) as driver:
        assert driver.upsert("acme", "notes", ["a1", "new"], [[1, 2, 3, 4], [4, 3, 2, 1]]) == 13
        assert driver.found("acme", "notes", [4, 3, 2, 1], limit=1) == ["new"]
        assert driver.create("more").id == 3
    assert check_directory(directory) == []


def test_a_cache_of_a_golden_directory_goes_on(tmp_path: Path) -> None:
    path = golden_copy(tmp_path / "data", 4)
    env = Environment(path / "caches" / "00000001", map_bytes=1 << 20, max_map_bytes=1 << 20)
    with env.read() as txn:
        labels = [msgspec.json.decode(label) for label in iterate_labels(txn, 1, "faq")]
    env.close()
    assert [label["is_right"] for label in labels] == [False]
    with opened(path, admin_key=ADMIN_KEY) as driver:
        cache = CacheDriver(driver)
        assert cache.stats("acme").labels_wrong == 1
        driver.upsert("acme", "notes", ["a1"], [[1, 2, 3, 4]])
        assert cache.answer("acme", "what is first?") is None, "its source has changed"
        assert cache.answer("globex", "what is first?") == "of globex"
        cache.ask("acme", "what is first?", "new")
        assert cache.answer("acme", "what is first?") == "new"
    assert check_directory(path) == []


def test_the_log_of_a_golden_directory_reads_as_it_was_written(tmp_path: Path) -> None:
    with opened(golden_copy(tmp_path / "data", 3), admin_key=ADMIN_KEY) as driver:
        log = [(sequence, change.owner, plain(change)) for sequence, change in driver.logged("shapes")]
        assert driver.logged("notes") == []
    later_ms = 4_102_444_800_000
    assert log == [
        (1, 1, ([0, 1, 2], [0, 0, 0], {-EVERYONE_ID: [2], -2: [0], 1: [0, 1, 2]}, {}, False)),
        (2, 2, ([3], [later_ms], {-1: [0], 2: [0]}, {}, False)),
        (3, 1, ([], [], {}, {1: [1]}, False)),
    ]
