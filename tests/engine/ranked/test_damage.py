"""What is damaged on the disk becomes no wrong answer of a search by text."""

import time
from pathlib import Path

import pytest
from msgspec import UNSET

import vdb
from tests.engine.ranked.conftest import DIMENSION, direction
from tests.storage.damage import changing, flip, put
from vdb.errors import TextIndexBuilding
from vdb.storage.keyspace import postings_prefix, vector_key
from vdb.storage.text_postings import LAST_BLOCK, term_hash

ACME = 1


def test_a_distance_is_not_made_of_a_damaged_vector(tmp_path: Path) -> None:
    """Only the words find the point, and its vector is looked up: that it is unsound is seen before it is answered."""
    with vdb.open(tmp_path, compile_kernels=False) as database:
        database.create_collection("notes", DIMENSION, text={"fields": {"text": 1}})
        notes = database.as_tenant("acme").collection("notes")
        notes.upsert(["a", "b"], [direction(0), direction(1)], [{"text": "pump"}, {"text": "valve"}])
    with changing(tmp_path / "collections" / "00000001") as txn:
        flip(vector_key(ACME, 1), 2)(txn)
    with vdb.open(tmp_path, compile_kernels=False) as database:
        notes = database.as_tenant("acme").collection("notes")
        hits = notes.search(direction(0), text="valve", fusion={"kind": "minmax", "weight": 0.5})
        assert {hit.id for hit in hits} == {"a", "b"}
        (damaged,) = [hit for hit in hits if hit.id == "b"]
        assert damaged.distance is UNSET and damaged.legs.dense.score is UNSET and damaged.legs.sparse.rank == 1


def test_a_damaged_text_index_is_built_anew_and_meanwhile_says_so(tmp_path: Path) -> None:
    with vdb.open(tmp_path, compile_kernels=False) as database:
        database.create_collection("notes", DIMENSION, text={"fields": {"text": 1}})
        notes = database.as_tenant("acme").collection("notes")
        notes.upsert(["a", "b"], [direction(0), direction(1)], [{"text": "pump"}, {"text": "valve pump"}])
    with changing(tmp_path / "collections" / "00000001") as txn:
        put(postings_prefix(ACME, term_hash("pump")) + LAST_BLOCK, b"\1\0\1")(txn)
    with vdb.open(tmp_path, compile_kernels=False) as database:
        notes = database.as_tenant("acme").collection("notes")
        with pytest.raises(TextIndexBuilding):
            notes.search(text="pump", mode="sparse")
        give_up = time.monotonic() + 30
        while True:
            try:
                hits = notes.search(text="pump", mode="sparse")
                break
            except TextIndexBuilding:
                assert time.monotonic() < give_up
                time.sleep(0.05)
        assert [hit.id for hit in hits] == ["a", "b"]


def test_postings_out_of_order_are_not_kept_beyond_the_text_index_that_had_them(tmp_path: Path) -> None:
    with vdb.open(tmp_path, compile_kernels=False) as database:
        database.create_collection("notes", DIMENSION, text={"fields": {"text": 1}})
        notes = database.as_tenant("acme").collection("notes")
        notes.upsert(["a", "b"], [direction(0), direction(1)], [{"text": "pump"}, {"text": "valve pump"}])
    with changing(tmp_path / "collections" / "00000001") as txn:
        key = postings_prefix(ACME, term_hash("pump")) + LAST_BLOCK
        block = txn.get(key)
        put(key, block[8:] + block[:8])(txn)
    with vdb.open(tmp_path, compile_kernels=False) as database:
        notes = database.as_tenant("acme").collection("notes")
        with pytest.raises(TextIndexBuilding):
            notes.search(text="pump", mode="sparse")
        give_up = time.monotonic() + 30
        while True:
            try:
                hits = notes.search(text="pump", mode="sparse")
                break
            except TextIndexBuilding:
                assert time.monotonic() < give_up
                time.sleep(0.05)
        assert [hit.id for hit in hits] == ["a", "b"]
