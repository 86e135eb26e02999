"""Numbers an environment keeps about itself: format, release, write sequence, next ids, totals."""

import re

from vdb import __version__
from vdb.errors import CorruptData, FormatTooNew
from vdb.storage.codec import FORMAT_VERSION, decode_u64, encode_u64
from vdb.storage.env import Environment, Transaction
from vdb.storage.keyspace import (
    META_CACHE,
    META_COLLECTION,
    META_FORMAT,
    META_N_POINTS,
    META_NEXT_PID,
    META_RELEASE,
    META_SEQUENCE,
)

_RELEASE_BASE = 1_000


def initialise(env: Environment, collection_id: int | None = None, cache_id: int | None = None) -> None:
    """Write the format version (and whose environment it is) into a new environment."""
    with env.write() as txn:
        write_format(txn, FORMAT_VERSION)
        if collection_id is not None:
            txn.put(META_COLLECTION, encode_u64(collection_id))
        if cache_id is not None:
            txn.put(META_CACHE, encode_u64(cache_id))


def write_format(txn: Transaction, version: int) -> None:
    """From now on the environment has this format, made by this release."""
    txn.put(META_FORMAT, encode_u64(version))
    txn.put(META_RELEASE, encode_u64(release_number(__version__)))


def check_format(env: Environment, collection_id: int | None = None, cache_id: int | None = None) -> int:
    """The format, at most `FORMAT_VERSION`.

    Raises FormatTooNew for a newer release's environment, CorruptData for one that is not ours.
    """
    with env.read() as txn:
        version = read_format(txn, str(env.path))
        places = ((META_COLLECTION, collection_id), (META_CACHE, cache_id))
        is_right = all(decode_u64(txn.get(key)) == wanted for key, wanted in places if wanted is not None)
    if version == 0 or not is_right:
        raise CorruptData(f"{env.path} does not hold what its place says")
    return version


def read_format(txn: Transaction, place: str) -> int:
    """The format of an environment, 0 where it has none; raises FormatTooNew, which says what to install."""
    version = decode_u64(txn.get(META_FORMAT))
    if version > FORMAT_VERSION:
        number = decode_u64(txn.get(META_RELEASE))
        is_known = number > release_number(__version__)
        wanted = f"vdb {release_name(number)}, which made it, or a newer one" if is_known else "a newer release"
        raise FormatTooNew(
            f"{place} has format {version}; this release, vdb {__version__}, reads up to {FORMAT_VERSION}: "
            f"install {wanted}"
        )
    return version


def release_number(name: str) -> int:
    """A release as a number: 1.2.3 is 1,002,003."""
    major, minor, patch = map(int, re.findall(r"\d+", name)[:3])
    return (major * _RELEASE_BASE + minor) * _RELEASE_BASE + patch


def release_name(number: int) -> str:
    rest, patch = divmod(number, _RELEASE_BASE)
    return "{}.{}.{}".format(*divmod(rest, _RELEASE_BASE), patch)


def read_number(txn: Transaction, key: bytes) -> int:
    """A counter, 0 where it was never written."""
    return decode_u64(txn.get(key))


def write_number(txn: Transaction, key: bytes, number: int) -> None:
    txn.put(key, encode_u64(number))


def take_number(txn: Transaction, key: bytes) -> int:
    """The next id of a counter that begins at 1; ids are never reused."""
    number = read_number(txn, key) + 1
    write_number(txn, key, number)
    return number


def read_sequence(txn: Transaction) -> int:
    """The sequence of the last committed write in this snapshot."""
    return decode_u64(txn.get(META_SEQUENCE))


def read_counters(txn: Transaction) -> tuple[int, int, int]:
    """(sequence, next pid, number of points)."""
    return read_sequence(txn), read_number(txn, META_NEXT_PID), read_number(txn, META_N_POINTS)


def write_counters(txn: Transaction, sequence: int, next_pid: int, n_points: int) -> None:
    write_number(txn, META_SEQUENCE, sequence)
    write_number(txn, META_NEXT_PID, next_pid)
    write_number(txn, META_N_POINTS, n_points)
