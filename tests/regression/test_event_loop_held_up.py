"""Requests that were taken for quick, and held up the event loop: many hits, many grantees, a map about to change."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.driver import Driver, opened
from vdb.protocol.columns import SearchHead, UpsertHead
from vdb.protocol.requests import Upsert, UpsertPoint

QUERY = np.zeros(2, np.float32)


def filled(driver: Driver) -> None:
    driver.create("notes")
    driver.upsert("acme", "notes", [f"p{i}" for i in range(1000)], np.zeros((1000, 2)))
    driver.found("acme", "notes", QUERY)


def is_quick(driver: Driver, name: str, request: Any) -> bool:
    return driver.engine.is_quick(name, driver.caller("acme"), ("notes",), request)


@pytest.mark.parametrize(("given", "expected"), [({"limit": 10}, True), ({"limit": 1000}, False)])
def test_a_search_for_many_hits_is_not_quick(tmp_path: Path, given: Any, expected: bool) -> None:
    with opened(tmp_path / "data") as driver:
        filled(driver)
        assert is_quick(driver, "search", SearchHead(**given)) is expected


def test_a_search_that_would_wait_for_the_map_to_grow_is_not_quick(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        filled(driver)
        [shard] = driver.engine.services.shards.open_shards()
        with shard.env._gate.exclusive():
            assert not is_quick(driver, "search", SearchHead())
        assert is_quick(driver, "search", SearchHead())


@pytest.mark.parametrize(
    "request_given",
    [
        UpsertHead(ids=["a"], shared_with=[["globex"]]),
        UpsertHead(ids=["a"], owner="globex"),
        Upsert(points=[UpsertPoint(id="a", shared_with=["globex"])]),
    ],
)
def test_an_upsert_that_names_tenants_is_not_quick(tmp_path: Path, request_given: Any) -> None:
    with opened(tmp_path / "data") as driver:
        filled(driver)
        assert is_quick(driver, "upsert", UpsertHead(ids=["a"]))
        assert not is_quick(driver, "upsert", request_given)
