"""Damage to a data directory: stored values changed behind the engine's back."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.golden.make import directory_of
from vdb.storage.codec import FORMAT_VERSION
from vdb.storage.env import Environment, Transaction

Damage = Callable[[Transaction], object]

CATALOG, NOTES, SHAPES = "catalog", "collections/00000001", "collections/00000002"


def golden_copy(target: Path, version: int = FORMAT_VERSION) -> Path:
    """A copy of a golden directory; version control does not keep the secret's mode."""
    shutil.copytree(directory_of(version), target)
    (target / "secret").chmod(0o600)
    return target


@contextmanager
def changing(path: Path) -> Iterator[Transaction]:
    """A write transaction on the environment at `path`."""
    env = Environment(path, map_bytes=1 << 20, max_map_bytes=1 << 20)
    try:
        with env.write() as txn:
            yield txn
    finally:
        env.close()


def leave_last_pages_unwritten(path: Path) -> None:
    """As LMDB does: pages that one transaction took and gave back are counted, and the file ends before them."""
    keys = [b"\x77%d" % i for i in range(30)]
    for _ in range(2):  # the list of free pages finds room among those
        with changing(path) as txn:
            txn.put(b"\x77", b"x" * 40_000)
            txn.delete(b"\x77")
    with changing(path) as txn:
        for key in keys:
            txn.put(key, b"x" * 2000)
        for key in keys:
            txn.delete(key)
    env = Environment(path, map_bytes=1 << 20, max_map_bytes=1 << 20, read_only=True)
    try:
        assert (path / "data.mdb").stat().st_size < env.used_bytes
    finally:
        env.close()


def flip(key: bytes, position: int) -> Damage:
    """One bit of a value is another."""

    def damage(txn: Transaction) -> None:
        value = bytearray(txn.get(key))
        value[position] ^= 1
        txn.put(key, bytes(value))

    return damage


def drop(key: bytes) -> Damage:
    """A key is gone."""
    return lambda txn: txn.delete(key)


def put(key: bytes, value: bytes) -> Damage:
    """A key has this value."""
    return lambda txn: txn.put(key, value)


def hurt(path: Path, place: str, damage: Damage) -> None:
    """Damage the environment at `place` in the directory `path`."""
    with changing(path / place) as txn:
        damage(txn)


def files(path: Path) -> dict[str, bytes]:
    """The bytes of every environment's file."""
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("data.mdb")}


def entries(path: Path) -> dict[str, dict[bytes, bytes]]:
    """Every key and value in every environment."""
    found = {}
    for place in (CATALOG, NOTES, SHAPES):
        env = Environment(path / place, map_bytes=1 << 20, max_map_bytes=1 << 20, read_only=True)
        with env.read() as txn:
            found[place] = dict(txn.cursor())
        env.close()
    return found
