"""Numbers an environment keeps about itself: format, write sequence, next ids, totals."""

from vdb.errors import CorruptData, FormatTooNew
from vdb.storage.codec import FORMAT_VERSION, decode_u64, encode_u64
from vdb.storage.env import Environment, Transaction
from vdb.storage.keyspace import META_COLLECTION, META_FORMAT, META_N_POINTS, META_NEXT_PID, META_SEQUENCE


def initialise(env: Environment, collection_id: int | None = None) -> None:
    """Write the format version (and whose environment it is) into a new environment."""
    with env.write() as txn:
        txn.put(META_FORMAT, encode_u64(FORMAT_VERSION))
        if collection_id is not None:
            txn.put(META_COLLECTION, encode_u64(collection_id))


def check_format(env: Environment, collection_id: int | None = None) -> None:
    """Raise FormatTooNew for a newer release's environment, CorruptData for one that is not ours."""
    with env.read() as txn:
        version = decode_u64(txn.get(META_FORMAT))
        owner = txn.get(META_COLLECTION)
    if version > FORMAT_VERSION:
        raise FormatTooNew(
            f"{env.path} has format {version}; this release reads up to {FORMAT_VERSION}: install a newer release"
        )
    if version == 0 or (collection_id is not None and decode_u64(owner) != collection_id):
        raise CorruptData(f"{env.path} does not hold what its place says")


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
