"""Postings that are kept: the same as those read, of the snapshot that asks, within their bytes."""

from pathlib import Path

import numpy as np
import pytest

from tests.rag.text_world import TextWorld
from vdb.rag.kept_postings import TERM_BYTES, KeptPostings
from vdb.rag.sparse import TextQuery, prepare
from vdb.storage.keyspace import EVERYONE_ID

WORDS = [f"w{i}" for i in range(30)]


@pytest.fixture
def world(tmp_path: Path) -> TextWorld:
    return TextWorld(tmp_path / "collection")


def _kept(world: TextWorld, kept: KeptPostings, tenant: int, terms: list[str]) -> TextQuery:
    with world.env.read() as txn:
        return prepare(txn, tenant, terms, kept=(kept, kept.of((1, tenant), (txn.id(), 0))))


def _plain(world: TextWorld, tenant: int, terms: list[str]) -> TextQuery:
    with world.env.read() as txn:
        return prepare(txn, tenant, terms)


def _told(query: TextQuery) -> tuple[bytes, bytes, int, int, int, float]:
    pids, scores = query.top(20)
    return pids.tobytes(), scores.tobytes(), query.n_postings, query.n_terms, query.n_documents, query.bound


def test_a_query_of_kept_postings_is_that_of_read_ones_after_any_write(
    world: TextWorld, rng: np.random.Generator
) -> None:
    kept = KeptPostings()
    for _ in range(12):
        owner = int(rng.integers(1, 4))
        texts = [" ".join(rng.choice(WORDS, 6)) for _ in range(5)]
        world.insert(texts, owner, (EVERYONE_ID,) if rng.random() < 0.3 else ())
        for _ in range(10):
            tenant = int(rng.integers(1, 4))
            terms = [str(word) for word in rng.choice([*WORDS, "unknown"], 5)]
            assert _told(_kept(world, kept, tenant, terms)) == _told(_plain(world, tenant, terms))


def test_a_term_is_read_once_until_something_is_written(world: TextWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world.insert(["cat dog", "cat"])
    asked: list[bytes] = []
    read = prepare.__globals__["read_blocks"]

    def noted(cursor: object, prefix: bytes) -> list[bytes]:
        asked.append(prefix)
        blocks: list[bytes] = read(cursor, prefix)
        return blocks

    monkeypatch.setattr("vdb.rag.sparse.read_blocks", noted)
    kept = KeptPostings()
    for _ in range(3):
        assert _kept(world, kept, 1, ["cat", "bird"]).n_postings == 2
    assert len(asked) == 2
    world.insert(["cat"], owner=2)
    assert _kept(world, kept, 1, ["cat", "bird"]).n_postings == 2
    assert len(asked) == 4, "another tenant's write is a write"


def test_an_older_snapshot_gets_nothing_newer_and_leaves_nothing() -> None:
    kept = KeptPostings()
    newer = kept.of((1, 1), (8, 3))
    kept.keep(newer, "cat", (b"12345678",))
    older = kept.of((1, 1), (7, 3))
    assert older.lists == {}
    kept.keep(older, "dog", (b"12345678",))
    assert older.lists == {} and kept.of((1, 1), (8, 3)) is newer


def test_tenants_share_nothing() -> None:
    kept = KeptPostings()
    kept.keep(kept.of((1, 1), (8, 3)), "cat", (b"12345678",))
    assert kept.of((1, 2), (8, 3)).lists == {} and kept.of((2, 1), (8, 3)).lists == {}


def test_bytes_are_capped_and_what_was_asked_longest_ago_goes() -> None:
    kept = KeptPostings(10 * TERM_BYTES)
    first = kept.of((1, 1), (1, 1))
    kept.keep(first, "cat", (bytes(8),))
    for tenant in range(2, 30):
        known = kept.of((1, tenant), (1, 1))
        kept.keep(known, "cat", (bytes(8), bytes(16)))
        assert kept.n_bytes <= 10 * TERM_BYTES
        assert "cat" in known.lists
    n_bytes = kept.n_bytes
    kept.keep(first, "dog", (bytes(8),))
    assert "dog" not in first.lists and kept.n_bytes == n_bytes, "it was forgotten"
    assert kept.of((1, 1), (1, 1)).lists == {}


def test_a_new_version_frees_what_the_old_one_took() -> None:
    kept = KeptPostings()
    for sequence in range(100):
        kept.keep(kept.of((1, 1), (sequence, sequence)), "cat", (bytes(800),))
    assert kept.n_bytes < 3 * (TERM_BYTES + 800)


def test_a_list_larger_than_all_may_be_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vdb.rag.kept_postings.LARGEST_BYTES", 16)
    kept = KeptPostings()
    known = kept.of((1, 1), (1, 1))
    kept.keep(known, "cat", (bytes(16), bytes(8)))
    assert known.lists == {}
