"""Vectors of what was searched for: by tenant, bounded, and asked for once; models that are slow, in turns."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.engine.driver import Driver, opened
from vdb.engine.models import embed_queries, known_queries
from vdb.engine.query_vectors import ENTRY_BYTES, QueryVectors
from vdb.errors import InvalidArgument, QueueFull
from vdb.rag.models import Models

ACME, GLOBEX = 1, 2


class Slow:
    """An embedder that says how it was asked, and waits where it is told to."""

    name, version, is_quick = "slow", "1", False
    least_dimension = most_dimension = 2

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def embed_queries(self, texts: Sequence[str], dimension: int) -> NDArray[np.float32]:
        self.asked.append(list(texts))
        self.go_on.wait(30)
        return np.array([[len(text), 1.0] for text in texts], np.float32)

    embed_documents = embed_queries

    def close(self) -> None:
        self.go_on.set()


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with opened(tmp_path / "data") as driver:
        yield driver


@pytest.fixture
def slow(driver: Driver) -> Slow:
    found = Slow()
    driver.engine.services.models = Models([found])
    return found


def rows(n: int, dimension: int = 2) -> NDArray[np.float32]:
    return np.arange(n * dimension, dtype=np.float32).reshape(n, dimension)


def test_a_text_is_asked_for_once_by_each_tenant(driver: Driver, slow: Slow) -> None:
    services = driver.engine.services
    assert known_queries(services, ACME, slow, ["one"], 2) is None
    first = embed_queries(services, ACME, slow, ["one", "three", "one"], 2)
    assert first.tolist() == [[3, 1], [5, 1], [3, 1]]
    assert slow.asked == [["one", "three"]]
    assert embed_queries(services, ACME, slow, ["three", "no", "one"], 2).tolist() == [[5, 1], [2, 1], [3, 1]]
    assert slow.asked[1:] == [["no"]]
    found = known_queries(services, ACME, slow, ["one", "no"], 2)
    assert found is not None and found.tolist() == [[3, 1], [2, 1]]
    assert known_queries(services, ACME, slow, ["one", "new"], 2) is None
    assert known_queries(services, GLOBEX, slow, ["one"], 2) is None, "nobody learns what another tenant searched for"
    embed_queries(services, GLOBEX, slow, ["one"], 2)
    assert slow.asked[2:] == [["one"]]
    assert embed_queries(services, ACME, slow, [], 2).shape == (0, 2)


def test_what_is_kept_is_nobodys_to_change(driver: Driver, slow: Slow) -> None:
    embed_queries(driver.engine.services, ACME, slow, ["one"], 2)[:] = 9
    found = known_queries(driver.engine.services, ACME, slow, ["one"], 2)
    assert found is not None and found.tolist() == [[3, 1]]


def test_a_quick_embedder_is_asked_every_time(driver: Driver) -> None:
    services = driver.engine.services
    lexical = services.models.embedder("lexical")
    assert lexical is not None
    found = known_queries(services, ACME, lexical, ["one"], 32)
    assert found is not None and found.tolist() == embed_queries(services, ACME, lexical, ["one"], 32).tolist()
    assert services.query_vectors.n_bytes == 0


def test_a_failure_is_not_kept(driver: Driver, slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(texts: Sequence[str], dimension: int) -> NDArray[np.float32]:
        raise InvalidArgument("the text is refused")

    with monkeypatch.context() as patched:
        patched.setattr(slow, "embed_queries", fail)
        with pytest.raises(InvalidArgument):
            embed_queries(driver.engine.services, ACME, slow, ["one"], 2)
    assert embed_queries(driver.engine.services, ACME, slow, ["one"], 2).tolist() == [[3, 1]]


def test_the_least_recently_asked_for_go_first() -> None:
    cache = QueryVectors(max_bytes=2 * (ENTRY_BYTES + 8))
    cache.keep("m", ACME, ["a", "b"], 2, rows(2))
    assert cache.n_bytes == 2 * (ENTRY_BYTES + 8)
    cache.found("m", ACME, ["a"], 2)
    cache.keep("m", ACME, ["c"], 2, rows(1))
    known = [row is not None for row in cache.found("m", ACME, ["a", "b", "c"], 2)]
    assert (known, cache.n_bytes) == ([True, False, True], 2 * (ENTRY_BYTES + 8))
    cache.keep("m", ACME, ["a", "a"], 2, rows(2))
    assert cache.n_bytes == 2 * (ENTRY_BYTES + 8), "one that is known takes no more"
    cache.keep("m", ACME, ["wide"], 2000, rows(1, 2000))
    assert (cache.n_bytes, cache.found("m", ACME, ["wide", "a"], 2000)) == (0, [None, None])


def test_models_and_dimensions_are_kept_apart() -> None:
    cache = QueryVectors()
    cache.keep("m", ACME, ["a"], 2, rows(1))
    assert cache.found("n", ACME, ["a"], 2) == [None]
    assert cache.found("m", ACME, ["a"], 3) == [None]


def test_one_tenants_slow_calls_leave_room_for_another(driver: Driver, slow: Slow) -> None:
    slow.go_on.clear()
    calls, services = driver.engine.services.model_calls, driver.engine.services
    futures = []
    with pytest.raises(QueueFull):
        for i in range(1000):
            futures.append(calls.submit(ACME, embed_queries, services, ACME, slow, [f"text {i}"], 2))
    other = calls.submit(GLOBEX, embed_queries, services, GLOBEX, slow, ["other"], 2)
    slow.go_on.set()
    assert other.result(30).tolist() == [[5, 1]]
    assert all(future.result(30).shape == (1, 2) for future in futures)


def test_models_are_in_the_metrics(driver: Driver, slow: Slow) -> None:
    embedder = driver.engine.services.models.embedder("slow")
    assert embedder is not None
    embed_queries(driver.engine.services, ACME, embedder, ["secret text"], 2)
    metrics = {name: values for name, _, _, values in driver.engine.metrics()}
    label = {"kind": "embedder", "model": "slow"}
    for name, value in (("calls", 1), ("failures", 0), ("texts", 1)):
        assert (label, value) in metrics[f"vdb_model_{name}_total"]
    assert metrics["vdb_query_vectors_bytes"] == [({}, ENTRY_BYTES + 8)]
    assert "secret" not in str(metrics)
