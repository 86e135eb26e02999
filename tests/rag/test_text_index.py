"""The text index in the store: equal to what is counted from the records anew, whatever was written."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.rag.text_world import TextWorld
from vdb.storage.keyspace import EVERYONE_ID
from vdb.storage.text_index import read_text_index
from vdb.types import IndexState


@pytest.fixture
def world(tmp_path: Path) -> TextWorld:
    return TextWorld(tmp_path / "collection")


def test_a_point_stands_under_its_owner_and_who_it_is_granted_to(world: TextWorld) -> None:
    with world.commit() as (txn, changes):
        world.put(txn, changes, 0, 1, {"text": "red house", "title": "red"}, [2, 3])
        world.put(txn, changes, 1, 1, {"text": ["blue", "house", 7]}, [2, EVERYONE_ID])
        world.put(txn, changes, 2, 1, {"text": 12, "title": None})
    statistics, _ = world.stored()
    assert statistics == {1: (1, 5), 2: (1, 5), 3: (1, 5), EVERYONE_ID: (1, 2)}
    assert world.stored() == world.expected()


def test_long_lists_are_cut_into_blocks_and_mended_in_the_middle(world: TextWorld) -> None:
    world.insert(["cat"] * 1_000)
    for pid in range(400, 700):
        with world.commit() as (txn, changes):
            if pid % 3:
                world.remove(txn, changes, pid)
            else:
                world.put(txn, changes, pid, 1, {"text": "cat cat"})
    assert world.stored() == world.expected()
    with world.commit() as (txn, changes):
        for pid in list(world.points):
            world.remove(txn, changes, pid)
    assert world.stored() == ({}, {})


def test_a_list_is_filled_from_behind_and_emptied_from_the_front(world: TextWorld) -> None:
    for pid in reversed(range(600)):
        with world.commit() as (txn, changes):
            world.put(txn, changes, pid, 1, {"text": f"cat w{pid % 7}"})
    assert world.stored() == world.expected()
    for pid in range(600):
        with world.commit() as (txn, changes):
            world.remove(txn, changes, pid)
        if pid % 50 == 0:
            assert world.stored() == world.expected()
    assert world.stored() == ({}, {})


def test_any_writes_leave_what_the_records_say(world: TextWorld, rng: np.random.Generator) -> None:
    words = np.array([f"w{i}" for i in range(30)])

    def payload() -> dict[str, object]:
        texts = [" ".join(rng.choice(words, rng.integers(0, 9))) for _ in range(2)]
        return {"text": texts[0], "title": texts[1]} if rng.random() < 0.8 else {"text": texts}

    def shared() -> list[int]:
        return sorted(rng.choice([2, 3, 4, EVERYONE_ID], rng.integers(0, 4), replace=False).tolist())

    next_pid = 0
    for _ in range(60):
        with world.commit() as (txn, changes):
            for _ in range(int(rng.integers(1, 30))):
                action = rng.random()
                pid = int(rng.choice(list(world.points))) if world.points and action > 0.4 else next_pid
                if pid == next_pid:
                    next_pid += 1
                    world.put(txn, changes, pid, int(rng.integers(1, 4)), payload(), [])
                elif action > 0.85:
                    world.remove(txn, changes, pid)
                elif action > 0.6:
                    owner, record = world.points[pid]
                    given = [grantee for grantee in shared() if grantee != owner]
                    world.put(txn, changes, pid, owner, json.loads(record.payload), given)
                else:
                    world.put(txn, changes, pid, world.points[pid][0], payload(), world.points[pid][1].shared)
                if rng.random() < 0.2:  # a refused request leaves nothing
                    mark, points = changes.mark(), dict(world.points)
                    world.put(txn, changes, 10**6, 1, payload(), [2])
                    changes.restore(mark)
                    world.points = points
    assert world.stored() == world.expected()
    with world.env.read() as txn:
        index = read_text_index(txn)
    assert index is not None and index.state is IndexState.READY


def test_a_text_longer_than_a_posting_can_say_counts_as_the_longest(world: TextWorld) -> None:
    with world.commit() as (txn, changes):
        world.put(txn, changes, 0, 1, {"title": "cat " * 30_000, "text": "dog"})
    statistics, postings = world.stored()
    assert statistics == {1: (1, 65_535)} and (65_535, 65_535) in [found[0] for found in postings.values()]
    with world.commit() as (txn, changes):
        world.remove(txn, changes, 0)
    assert world.stored() == ({}, {})
