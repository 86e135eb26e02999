"""Answers grew with limit × queries × payload until the server's memory was gone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.engine.driver import Driver, opened
from vdb.config import Limits
from vdb.errors import TooLarge
from vdb.protocol.columns import SearchHead
from vdb.protocol.requests import Scroll

IDS = [f"p{i}" for i in range(20)]


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    """Twenty points of 1,000 bytes each, and answers of up to 10,000 bytes."""
    with opened(tmp_path / "data", limits=replace(Limits(), max_answer_bytes=10_000)) as opened_driver:
        opened_driver.create("notes")
        opened_driver.upsert("acme", "notes", IDS, np.zeros((20, 2)), payloads=[{"text": "x" * 990}] * 20)
        yield opened_driver


def test_a_search_beyond_the_cap_is_refused(driver: Driver) -> None:
    assert len(driver.search("acme", "notes", [0, 0], limit=5)) == 5
    with pytest.raises(TooLarge):
        driver.search("acme", "notes", [0, 0], limit=20)
    with pytest.raises(TooLarge):
        head = SearchHead(limit=5, n_queries=4)
        driver.run("search", "acme", ("notes",), head, np.zeros((4, 2), np.float32))
    assert len(driver.search("acme", "notes", [0, 0], limit=20, with_payload=False)) == 20


def test_only_the_hits_that_are_answered_count(driver: Driver) -> None:
    exists = {"field": "text", "exists": True}
    assert len(driver.search("acme", "notes", [0, 0], limit=8, filter=exists)) == 8


def test_a_get_beyond_the_cap_is_refused(driver: Driver) -> None:
    assert len(driver.get("acme", "notes", IDS[:5])) == 5
    with pytest.raises(TooLarge):
        driver.get("acme", "notes", IDS)


def test_a_scroll_ends_its_pages_at_the_cap_and_loses_nothing(driver: Driver) -> None:
    found: list[str] = []
    cursor = None
    while True:
        page = driver.run("scroll", "acme", ("notes",), Scroll(limit=20, cursor=cursor))
        assert len(page.points) <= 9
        found += [point.id for point in page.points]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == IDS
