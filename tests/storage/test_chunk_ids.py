"""Ids of chunks: which points are a document's, found without a look at those that only begin alike."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vdb.storage.chunk_ids import chunk_id, chunk_number, find_chunks, iterate_documents
from vdb.storage.codec import encode_u32
from vdb.storage.env import Environment
from vdb.storage.keyspace import point_id_prefix

OWNER = 7


@pytest.fixture
def env(tmp_path: Path) -> Iterator[Environment]:
    environment = Environment(tmp_path / "env", map_bytes=1 << 20, max_map_bytes=1 << 24, create=True)
    yield environment
    environment.close()


def _fill(env: Environment, ids: list[bytes], owner: int = OWNER) -> None:
    with env.write() as txn:
        for pid, point_id in enumerate(ids):
            txn.put(point_id_prefix(owner) + point_id, encode_u32(pid))


def test_a_number_has_one_spelling() -> None:
    assert [chunk_number(text) for text in (b"0", b"7", b"10", b"999999999")] == [0, 7, 10, 999_999_999]
    others = (b"", b"00", b"07", b"-1", b"1 ", b"1x", b"x", b"1000000000", "\u0661".encode())
    assert [chunk_number(text) for text in others] == [None] * len(others)
    assert chunk_id(b"a#b", 12) == b"a#b#12"


def test_only_chunks_of_the_document_are_found(env: Environment) -> None:
    ids = [b"d#0", b"d#1", b"d#10", b"d#2", b"d#07", b"d#7x", b"d#", b"d", b"d#x", b"d#2#0", b"d#2#1", b"dd#0", b"c#9"]
    _fill(env, ids)
    _fill(env, [b"d#5"], OWNER + 1)
    with env.read() as txn:
        assert find_chunks(txn, OWNER, b"d") == {0: 0, 1: 1, 2: 3, 10: 2}
        assert find_chunks(txn, OWNER, b"d#2") == {0: 9, 1: 10}
        assert find_chunks(txn, OWNER, b"e") == find_chunks(txn, OWNER + 2, b"d") == {}


@pytest.mark.parametrize("seed", range(20))
def test_any_ids_are_told_apart_as_by_looking_at_each(env: Environment, seed: int) -> None:
    rng = np.random.default_rng(seed)
    letters = np.array([b"0", b"1", b"9", b"#", b"a", b" ", b"~"])
    ids = sorted({b"d#" + b"".join(rng.choice(letters, rng.integers(0, 5))) for _ in range(150)})
    _fill(env, ids)
    wanted = {n: pid for pid, i in enumerate(ids) if (n := chunk_number(i[2:])) is not None}
    with env.read() as txn:
        assert find_chunks(txn, OWNER, b"d") == wanted
        found = [document for document, pid in iterate_documents(txn, OWNER) if pid is not None]
        assert found == [i[:-2] for i in ids if i.endswith(b"#0")]


def test_ids_that_begin_alike_are_jumped_over(env: Environment) -> None:
    _fill(
        env, [b"d#0", b"d#1"] + [b"d#1#%d" % i for i in range(2_000)] + [b"d#2"] + [b"d#x%d" % i for i in range(2_000)]
    )
    n_steps = 0

    def counted(real: Any) -> Any:
        def step(*args: Any) -> Any:
            nonlocal n_steps
            n_steps += 1
            return real(*args)

        return step

    with env.read() as txn, txn.cursor() as cursor:

        class Watched:
            set_range, next = staticmethod(counted(cursor.set_range)), staticmethod(counted(cursor.next))
            key, value = staticmethod(cursor.key), staticmethod(cursor.value)

            def __enter__(self) -> Any:
                return self

            def __exit__(self, *_: object) -> None:
                return None

        assert find_chunks(SimpleNamespace(cursor=Watched), OWNER, b"d") == {0: 0, 1: 1, 2: 2002}
    assert n_steps < 10


def test_documents_are_listed_from_a_place_and_by_prefix(env: Environment) -> None:
    _fill(env, [b"#0", b"a#0", b"a#1", b"b/1#0", b"b/2#0", b"b/2#1", b"b#0", b"c"])
    with env.read() as txn:
        every = list(iterate_documents(txn, OWNER))
        assert [d for d, pid in every if pid is not None] == [b"a", b"b", b"b/1", b"b/2"]
        assert [d for d, pid in iterate_documents(txn, OWNER, b"b/") if pid is not None] == [b"b/1", b"b/2"]
        assert [d for d, pid in iterate_documents(txn, OWNER, b"b#0")] == [b"b#0"]
        assert [d for d, pid in iterate_documents(txn, OWNER, b"b/", b"b/1#0") if pid is not None] == [b"b/2"]
