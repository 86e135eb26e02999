"""Rarity of terms among what a tenant may see: that of BM25, and nobody else's points."""

from pathlib import Path

import pytest

from tests.rag.text_world import TextWorld
from vdb.rag.extractive.rarities import rarities
from vdb.rag.kept_postings import KeptPostings
from vdb.rag.sparse import prepare
from vdb.storage.keyspace import EVERYONE_ID


def test_rarities_are_the_weights_of_bm25_and_of_nobody_elses_points(tmp_path: Path) -> None:
    world = TextWorld(tmp_path / "collection")
    world.insert(["cat dog", "cat", "bird"])
    world.insert(["cat"], owner=2, shared=[EVERYONE_ID])
    with world.env.read() as txn:
        before = rarities(txn, 1, ["cat", "dog", "cow", "cat"])
    world.insert(["cow cat dog"] * 5, owner=3)
    with world.env.read() as txn:
        found = rarities(txn, 1, ["cat", "dog", "cow"])
        assert found == before
        assert rarities(txn, 3, ["cow"])["cow"] < found["cow"]
    assert sum(found.values()) == pytest.approx(world.query(1, "cat dog cow").bound)
    assert found["cow"] > found["dog"] > found["cat"] > 0


def test_who_sees_no_text_has_no_rarities(tmp_path: Path) -> None:
    world = TextWorld(tmp_path / "collection")
    world.insert(["cat"])
    with world.env.read() as txn:
        assert rarities(txn, 2, ["cat"]) == {}


def test_rarities_of_kept_postings_are_those_that_are_read(tmp_path: Path) -> None:
    world = TextWorld(tmp_path / "collection")
    kept = KeptPostings()
    for text in ("cat dog", "cat bird", "dog"):
        world.insert([text])
        world.insert([text], owner=2, shared=[EVERYONE_ID])
        with world.env.read() as txn:
            known = kept.of((1, 1), (txn.id(), 0))
            assert rarities(txn, 1, ["cat", "dog"], known) == rarities(txn, 1, ["cat", "dog"])
            prepare(txn, 1, ["cat", "cow"], kept=(kept, known))
            asked = ["dog", "cat", "cow", "cat"]
            assert known.lists.keys() == {"cat", "cow"}
            assert list(rarities(txn, 1, asked, known).items()) == list(rarities(txn, 1, asked).items())
