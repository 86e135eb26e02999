"""What a request asks of an indexed collection, it gets: limits, filters, distances, sequences, several queries."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from tests.engine.indexed.books import TENANTS, Books, D, indexed_books
from vdb.engine import shard
from vdb.engine.shard_index import INDEX_PLACE
from vdb.protocol.columns import SearchHead


def some_queries(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.standard_normal((n, D)).astype(np.float32)


def test_many_queries_at_once_answer_as_one_by_one(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng) as books:
        queries = some_queries(rng, 40)
        for limit in (1, 10, 500):
            head = SearchHead(limit=limit, n_queries=len(queries))
            answer = books.driver.run("search", "globex", ("books",), head, queries.reshape(-1))
            alone = [books.driver.search("globex", "books", query, limit) for query in queries]
            assert [list(hits.hits) for hits in answer.results] == alone


def test_a_limit_beyond_the_reading_gives_all_of_it(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng) as books:
        for tenant in TENANTS:
            n_seen = len(books.seen_by(tenant))
            for limit in (n_seen - 1, n_seen, n_seen + 1, 1000):
                assert len(books.driver.search(tenant, "books", [0] * D, limit)) == min(limit, n_seen)


def test_hits_beyond_max_distance_are_left_out(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng) as books:
        for query in some_queries(rng, 10):
            far = sorted(float(np.linalg.norm(v - query)) for v in books.seen_by("acme").values())[12] + 1e-3
            hits = books.driver.search("acme", "books", query, 100, max_distance=far)
            assert len(hits) == 13 and all(hit.distance <= far for hit in hits)


def test_hits_have_the_vectors_that_were_stored(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng) as books:
        for hit in books.driver.search("acme", "books", some_queries(rng, 1)[0], 20, with_vector=True):
            assert np.array_equal(np.asarray(hit.vector, np.float32), books.points[hit.owner, hit.id][0])


def test_a_write_is_found_by_the_search_that_names_its_sequence(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng) as books:
        for i in range(20):
            vector = some_queries(rng, 1)[0]
            sequence = books.driver.upsert("acme", "books", [f"mine-{i}"], [vector])
            assert books.driver.found("acme", "books", vector, 1, min_sequence=sequence) == [f"mine-{i}"]


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
def test_a_filter_finds_as_many_as_match(tmp_path: Path, rng: np.random.Generator, share: float) -> None:
    with indexed_books(tmp_path / "data", rng) as books:
        is_wanted: dict[tuple[str, str], bool] = {}
        for tenant in TENANTS:
            flags = [bool(flag) for flag in rng.random(200) < share]
            ids = books.add(200, tenant, ("*",) if tenant == "acme" else (), payloads=[{"flag": f} for f in flags])
            is_wanted |= {(tenant, point_id): flag for point_id, flag in zip(ids, flags, strict=True)}
        wanted = {"field": "flag", "eq": True}
        for tenant in TENANTS:
            matching = {key for key in books.seen_by(tenant) if is_wanted.get(key)}
            for limit in (1, 5, 50, 500):
                query = some_queries(rng, 1)[0]
                hits = books.driver.search(tenant, "books", query, limit, filter=wanted)
                found = [(hit.owner, hit.id) for hit in hits]
                nearest = sorted(matching, key=lambda key: float(((books.points[key][0] - query) ** 2).sum()))
                assert found == nearest[:limit]


def test_a_point_that_expires_this_second_leaves_no_gap(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index keeps whole seconds: until one was over, a search answered one hit less."""
    with indexed_books(tmp_path / "data", rng) as books:
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3600, milliseconds=100)
        query = np.zeros(D, np.float32)
        books.driver.upsert("acme", "books", ["goes"], [query], expires_at=[until])
        epoch_ms = int(until.timestamp() * 1000)
        for later_ms, n_more in ((-1, 1), (1, 0), (500, 0), (900, 0), (2000, 0)):
            monkeypatch.setattr(shard, "epoch_ms", lambda now=epoch_ms + later_ms: now)
            hits = books.driver.search("acme", "books", query, 5)
            assert len(hits) == 5 and ("goes" in {hit.id for hit in hits}) == bool(n_more)
            many = books.driver.run(
                "search", "acme", ("books",), SearchHead(limit=5, n_queries=2), np.zeros(2 * D, np.float32)
            )
            assert [len(found.hits) for found in many.results] == [5, 5]


def memory_of(books: Books) -> int:
    return books.driver.engine._memory.n_bytes


def test_an_index_counts_towards_the_memory_cap_when_it_is_loaded(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng) as books:
        index = books.index.current
        books.shard.count_index()  # queries recorded since it was counted are counted the next time
        assert index is not None and memory_of(books) == index.nbytes + books.index.tuner.recorded.nbytes
        books.index.drop()
        books.shard.count_index()
        assert memory_of(books) == 0
        books.check()
        loaded = books.index.current
        books.shard.count_index()
        assert loaded is not None and memory_of(books) == loaded.nbytes + books.index.tuner.recorded.nbytes


def test_an_index_beyond_the_memory_cap_is_dropped_and_loaded_again(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng, memory_bytes=1000) as books:
        books.driver.create("notes")
        for _ in range(5):
            books.driver.upsert("acme", "notes", ["a"], [[0, 0]])
            assert books.driver.found("acme", "notes", [0, 0]) == ["a"]
            assert books.index.current is None
            books.change()
            books.check()
            assert books.path_of() == "index" and books.index.n_builds == 1


def test_an_index_that_is_searched_stays_rather_than_one_that_is_not(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng) as books:
        memory = books.driver.engine._memory
        memory.keep((99, 99), 1000)
        books.check()
        assert list(memory._sizes)[-1] == (books.shard.collection.id, INDEX_PLACE)
