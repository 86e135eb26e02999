"""Searches that are checked by the way: what is compared, with what, and that no search waits for it."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.driver import wait_until
from tests.engine.indexed.books import Books, D, indexed_books
from tests.engine.indexed.tuning_calls import ask, stats
from vdb.engine import recall_checks
from vdb.engine.recall_checks import Case, RecallChecker, RecallFigures, recall_of
from vdb.protocol.columns import SearchHead
from vdb.protocol.requests import SearchParams


@pytest.fixture(autouse=True)
def checks_every_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of one in a thousand, and without the pauses between."""
    monkeypatch.setattr(recall_checks, "ONE_IN", 1)
    monkeypatch.setattr("vdb.engine.recall_checks.random.randrange", lambda stop: 0)
    monkeypatch.setattr(recall_checks, "PAUSES", 0)


@pytest.fixture
def cases(books: Books, monkeypatch: pytest.MonkeyPatch) -> list[Case]:
    """What searches hand over; nothing is checked."""
    found: list[Case] = []
    monkeypatch.setattr(RecallChecker, "take", lambda self, figures, case: found.append(case))
    return found


def figures(books: Books) -> RecallFigures:
    return books.index.recall


def ask_until(books: Books, is_so: Callable[[], bool]) -> None:
    """Search until something is so: a search is not checked while another one is."""

    def ask_again() -> bool:
        ask(books, 1)
        return is_so()

    wait_until(ask_again)


def metric(books: Books, name: str) -> Any:
    return next(samples for found, _, _, samples in books.driver.engine.metrics() if found == name)


def test_a_search_is_checked_and_the_collection_says_so(books: Books) -> None:
    before = figures(books).checked.n_checks
    ask_until(books, lambda: figures(books).checked.n_checks > before)
    told = stats(books)
    assert told.recall_checks == figures(books).checked.n_checks
    assert told.checked_recall == 1.0 and told.checked_target == pytest.approx(0.99)
    assert metric(books, "vdb_index_recall") == [({"collection": "books"}, 1.0)]
    assert metric(books, "vdb_index_recall_target") == [({"collection": "books"}, 0.99)]
    assert metric(books, "vdb_index_recall_checks_total")[0][1] == told.recall_checks


def test_before_any_check_there_is_no_figure(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books.index, "recall", RecallFigures(None))
    assert stats(books).recall_checks == 0 and stats(books).checked_recall is None
    assert metric(books, "vdb_index_recall") == [] and metric(books, "vdb_index_recall_target") == []


def test_recall_is_the_share_of_the_true_neighbours(books: Books, cases: list[Case]) -> None:
    ask(books, 1, limit=4)
    case = cases[-1]
    assert len(case.found) == 4 and recall_of(case) == 1.0
    assert recall_of(replace(case, found=case.found[:1])) == 0.25
    assert recall_of(replace(case, found=case.found + 1e3)) == 0.0
    assert recall_of(replace(case, found=np.repeat(case.found[:1], 9))) == 1.0


def test_what_was_written_after_the_search_is_not_held_against_it(books: Books, cases: list[Case]) -> None:
    ask(books, 1, limit=4)
    case = cases[-1]
    books.driver.upsert("acme", "books", ["new"], case.query[None])
    mine = [point_id for owner, point_id in books.points if owner == "acme"]
    books.delete("acme", mine)
    assert recall_of(case) == 1.0


def test_it_is_the_readings_of_the_tenant_that_are_compared(books: Books, cases: list[Case]) -> None:
    for tenant in ("acme", "globex", "initech"):
        ask(books, 1, tenant, limit=len(books.points))
        assert len(cases[-1].found) == len(books.seen_by(tenant))
        assert recall_of(cases[-1]) == 1.0


@pytest.mark.parametrize(
    "given",
    [
        {"params": SearchParams(exact=True)},
        {"params": SearchParams(budget=3)},
        {"params": SearchParams(rerank=50)},
        {"filter": {"field": "n", "gte": 0}},
    ],
)
def test_searches_that_aim_at_no_recall_and_filtered_ones_are_not_checked(
    books: Books, cases: list[Case], given: dict[str, Any]
) -> None:
    query = np.zeros(D, np.float32)
    books.driver.run("search", "acme", ("books",), SearchHead(limit=3, **given), query)
    assert cases == []


def test_a_reading_beyond_the_cap_is_not_checked(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    checker = books.driver.engine.recall_checker
    given: list[Any] = []
    monkeypatch.setattr(checker, "_executor", _Submitted(given))
    monkeypatch.setattr(recall_checks, "MOST_BYTES", 16)
    ask(books, 1)
    assert given == []


class _Submitted:
    def __init__(self, given: list[Any]) -> None:
        self.submit = lambda *arguments: given.append(arguments)


def test_one_check_is_under_way_at_a_time(cases: list[Case], books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(books, 1)
    case = cases[-1]
    monkeypatch.undo()
    monkeypatch.setattr(recall_checks, "PAUSES", 0)
    may_go, n_begun = threading.Event(), []

    def slow(case: Case) -> float:
        n_begun.append(1)
        assert may_go.wait(30)
        return 0.5

    monkeypatch.setattr(recall_checks, "recall_of", slow)
    with ThreadPoolExecutor(1) as executor:
        checker = RecallChecker(executor, lambda: False)
        mine = RecallFigures(checker)
        for _ in range(5):
            checker.take(mine, case)  # none of these waits
        may_go.set()
        wait_until(lambda: mine.checked.n_checks == 1)
    assert len(n_begun) == 1 and mine.checked.recall == 0.5
    checker.take(mine, case)  # the executor was shut down
    assert mine.checked.n_checks == 1


def test_after_a_check_there_is_a_pause(cases: list[Case], books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(books, 1)
    monkeypatch.undo()
    monkeypatch.setattr(recall_checks, "PAUSES", 1e9)
    with ThreadPoolExecutor(1) as executor:
        checker = RecallChecker(executor, lambda: False)
        mine = RecallFigures(checker)
        checker.take(mine, cases[-1])
        wait_until(lambda: mine.checked.n_checks == 1)
        for _ in range(3):
            checker.take(mine, cases[-1])
    assert mine.checked.n_checks == 1


def test_a_check_that_fails_is_logged_and_the_next_one_is_made(
    books: Books, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    right = recall_checks.recall_of

    def fail(case: Case) -> float:
        raise ValueError("no")

    monkeypatch.setattr(recall_checks, "recall_of", fail)
    ask_until(books, lambda: "was not checked" in caplog.text)
    monkeypatch.setattr(recall_checks, "recall_of", right)
    before = figures(books).checked.n_checks
    ask_until(books, lambda: figures(books).checked.n_checks > before)
    assert figures(books).checked.n_checks > before


def test_switched_off_nothing_is_checked(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng, check_recall=False) as books:
        assert not any(figures(books).is_due() for _ in range(5_000))
        ask(books, 20)
        assert stats(books).recall_checks == 0


def test_about_one_search_in_a_thousand_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with ThreadPoolExecutor(1) as executor:
        mine = RecallFigures(RecallChecker(executor, lambda: False))
        n_due = sum(mine.is_due() for _ in range(200_000))
    assert 120 < n_due < 300, n_due


def test_the_figures_are_of_the_newest_checks() -> None:
    mine = RecallFigures(None)
    for _ in range(300):
        mine.add(0.0, 0.9)
    for _ in range(recall_checks.MOST_KEPT):
        mine.add(1.0, 0.99)
    assert mine.checked == recall_checks.Checked(300 + recall_checks.MOST_KEPT, 1.0, 0.99)
