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
