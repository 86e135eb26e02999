"""The short way of a plain search answers what the general way does, and leaves to it what is unusual."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.indexed.books import TENANTS, Books, D, indexed_books
from vdb.engine import answer_size, search, shard
from vdb.engine.plain_search import plain_search
from vdb.engine.shard import Moment, Snapshot
from vdb.errors import TooLarge
from vdb.protocol.columns import SearchHead
from vdb.protocol.requests import SearchParams
from vdb.types import Metric, Tier
from vdb_api.encode import encode


@contextmanager
def _watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Whether each search that was tried the short way was answered there."""
    answered: list[bool] = []

    def tried(*given: Any) -> Any:
        found = plain_search(*given)
        answered.append(found is not None)
        return found

    with monkeypatch.context() as watching:
        watching.setattr(search, "plain_search", tried)
        yield answered


def _both(books: Books, monkeypatch: pytest.MonkeyPatch, tenant: str, query: Any, **given: Any) -> tuple[bytes, bytes]:
    """The bytes of the answer as it is, and of that of the general way."""
    head = SearchHead(**given)
    answer = encode(books.driver.run("search", tenant, ("books",), head, query))
    with monkeypatch.context() as general:
        general.setattr(search, "is_plain", lambda *_: False)
        return answer, encode(books.driver.run("search", tenant, ("books",), head, query))


@pytest.mark.parametrize("metric", list(Metric))
def test_it_answers_the_same_bytes_whatever_was_written(
    metric: Metric, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with indexed_books(tmp_path / "data", rng, metric=metric) as books, _watched(monkeypatch) as answered:
        for step in range(60):
            books.change()
            if step % 7 == 0:
                books.work()
            for tenant in TENANTS:
                query = rng.standard_normal(D).astype(np.float32)
                params = SearchParams(recall=0.9) if step % 2 else SearchParams(budget=20, rerank=60)
                wish = {"limit": int(rng.integers(1, 50)), "with_payload": bool(step % 3), "params": params}
                short, general = _both(books, monkeypatch, tenant, query, **wish)
                assert short == general
    assert sum(answered) > 100


@pytest.mark.parametrize(
    "wish",
    [
        {"params": SearchParams(exact=True)},
        {"explain": True},
        {"with_vector": True},
        {"max_distance": 1.0},
        {"filter": {"field": "title", "eq": "x"}},
        {"n_queries": 1},
        {"text": "x", "mode": "sparse"},
    ],
)
def test_what_is_not_plain_goes_the_general_way(
    wish: dict[str, Any], books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("it was tried the short way")

    monkeypatch.setattr(search, "plain_search", never)
    query = np.ones(D, np.float32)
    if "text" in wish:
        with pytest.raises(Exception, match="text"):  # the collection has none
            books.driver.run("search", "acme", ("books",), SearchHead(limit=3, **wish))
    else:
        assert books.driver.run("search", "acme", ("books",), SearchHead(limit=3, **wish), query) is not None


def test_few_points_are_found_where_some_have_gone(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    books.delete("globex", [point_id for owner, point_id in books.points if owner == "globex"][1:])
    with _watched(monkeypatch) as answered:
        short, general = _both(books, monkeypatch, "globex", np.ones(D, np.float32), limit=40)
    assert short == general and answered == [True]


def test_an_index_that_is_newer_than_the_snapshot_is_left_to_the_general_way(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Snapshot] = []
    enter = Moment.__enter__

    def older(moment: Moment) -> Snapshot:
        snapshot = enter(moment)
        taken.append(snapshot)
        return snapshot._replace(sequence=0) if len(taken) == 1 else snapshot

    monkeypatch.setattr(Moment, "__enter__", older)
    with _watched(monkeypatch) as answered:
        books.check()
    assert answered[0] is False and all(answered[1:])


def test_an_index_on_disk_is_left_to_the_general_way(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with indexed_books(tmp_path / "data", rng, tier=Tier.DISK) as books, _watched(monkeypatch) as answered:
        assert books.driver.search("acme", "books", np.ones(D, np.float32), 3)
    assert answered and not any(answered)


def test_what_was_granted_after_the_snapshot_is_left_to_the_general_way(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index shows it already, the snapshot's records do not."""
    taken: list[Snapshot] = []
    enter = Moment.__enter__
    mine = next(point_id for owner, point_id in books.points if owner == "acme")
    vector = books.points["acme", mine][0]

    def granting(moment: Moment) -> Snapshot:
        snapshot = enter(moment)
        taken.append(snapshot)
        if len(taken) == 1:
            books.share("acme", [mine], "initech")
        return snapshot

    monkeypatch.setattr(Moment, "__enter__", granting)
    with _watched(monkeypatch) as answered:
        hits = books.driver.search("initech", "books", vector, 1)
    assert answered == [False]
    assert [(hit.owner, hit.id) for hit in hits] == [("acme", mine)]


def test_what_expires_is_found_until_then_and_no_longer(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = books.add(3, "acme", ("globex",), expires_at=[datetime(2090, 1, 1, tzinfo=UTC)] * 3)
    vector = books.points["acme", ids[0]][0]
    for tenant in ("acme", "globex"):
        with _watched(monkeypatch) as answered:
            short, general = _both(books, monkeypatch, tenant, vector, limit=5)
        assert short == general and answered == [True] and ids[0].encode() in short
    with monkeypatch.context() as later:
        later.setattr(shard, "epoch_ms", lambda: 4_000_000_000_000)
        for tenant in ("acme", "globex"):
            short, general = _both(books, monkeypatch, tenant, vector, limit=5)
            assert short == general and not any(one.encode() in short for one in ids)


def test_an_answer_that_is_too_large_is_refused_either_way(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_size, "POINT_BYTES", 1 << 40)
    said = []
    for is_short in (True, False):
        with monkeypatch.context() as way:
            if not is_short:
                way.setattr(search, "is_plain", lambda *_: False)
            with pytest.raises(TooLarge) as refused:
                books.driver.search("acme", "books", np.ones(D, np.float32), 3)
            said.append(str(refused.value))
    assert said[0] == said[1]
