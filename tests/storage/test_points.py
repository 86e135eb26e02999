"""Points inside a transaction: the indexes follow the records, reads are in insertion order."""

from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest
from msgspec.structs import replace

from vdb.config import MIB
from vdb.storage import points
from vdb.storage.codec import Record, Usage, encode_record
from vdb.storage.env import Environment, Transaction
from vdb.storage.index_changes import IndexChanges
from vdb.storage.keyspace import ALL_OWNERS, EVERYONE_ID, Space, vector_key

VECTOR = b"\0\0\x80\x3f"
ACME, GLOBEX = 1, 2
NO_INDEX = IndexChanges(())


@pytest.fixture
def txn(tmp_path: Path) -> Iterator[Transaction]:
    env = Environment(tmp_path, create=True, map_bytes=MIB, max_map_bytes=MIB)
    with env.write() as txn:
        yield txn
    env.close()


def record(point_id: str, **fields: object) -> Record:
    plain = Record(point_id.encode(), 1, 1, 0, (), b"", True, crc32(VECTOR))
    return replace(plain, **fields)


def keys(txn: Transaction) -> set[int]:
    """Spaces that hold something."""
    return {key[0] for key, _ in txn.cursor()}


def test_a_point_put_is_in_every_index_and_a_point_removed_in_none(txn: Transaction) -> None:
    full = record("a", expires_at_ms=9, shared=(GLOBEX, EVERYONE_ID))
    points.put_point(txn, NO_INDEX, ACME, 5, None, full, VECTOR)
    assert points.find_pids(txn, ACME, [b"a", b"b"]) == {b"a": 5}
    assert (points.read_record(txn, ACME, 5), points.read_vector(txn, ACME, 5)) == (full, VECTOR)
    assert list(points.iterate_grants(txn, GLOBEX)) == list(points.iterate_grants(txn, EVERYONE_ID)) == [(5, ACME)]
    assert list(points.iterate_expiries(txn, 9)) == [(5, ACME)] and list(points.iterate_expiries(txn, 8)) == []
    points.remove_point(txn, NO_INDEX, ACME, 5, full)
    assert keys(txn) == set()


def test_replacing_a_point_moves_its_expiry_grants_and_vector(txn: Transaction) -> None:
    old = record("a", expires_at_ms=9, shared=(GLOBEX,))
    points.put_point(txn, NO_INDEX, ACME, 5, None, old, VECTOR)
    new = record("a", expires_at_ms=11, shared=(EVERYONE_ID,), has_vector=False)
    points.put_point(txn, NO_INDEX, ACME, 5, old, new, None)
    assert list(points.iterate_expiries(txn, 99)) == [(5, ACME)] and list(points.iterate_expiries(txn, 10)) == []
    assert (list(points.iterate_grants(txn, GLOBEX)), points.read_vector(txn, ACME, 5)) == ([], None)


def test_a_record_changed_without_a_vector_keeps_the_stored_one(txn: Transaction) -> None:
    points.put_point(txn, NO_INDEX, ACME, 5, None, record("a"), VECTOR)
    points.put_point(txn, NO_INDEX, ACME, 5, record("a"), record("a", payload=b"{}"), None)
    assert points.read_vector(txn, ACME, 5) == VECTOR


def test_reads_of_an_owner_are_in_insertion_order_and_stop_at_the_next_owner(txn: Transaction) -> None:
    for owner, pid in ((ACME, 300), (GLOBEX, 2), (ACME, 1), (ACME, 4_000_000_000)):
        points.put_point(txn, NO_INDEX, owner, pid, None, record(f"p{pid}"), VECTOR)
    assert [pid for pid, _ in points.iterate_records(txn, ACME)] == [1, 300, 4_000_000_000]
    assert [pid for pid, _ in points.iterate_records(txn, ACME, 300)] == [300, 4_000_000_000]


def test_points_with_vectors_come_with_their_records(txn: Transaction) -> None:
    for pid in range(6):
        has_vector = pid in (1, 2, 5)
        points.put_point(
            txn, NO_INDEX, ACME, pid, None, record(f"p{pid}", has_vector=has_vector), VECTOR if has_vector else None
        )
    txn.put(vector_key(ACME, 9), VECTOR)  # leads nowhere
    found = list(points.iterate_vectored(txn, ACME))
    assert [pid for pid, _, _ in found] == [1, 2, 5]
    assert [value for _, value, _ in found] == [encode_record(record(f"p{pid}")) for pid in (1, 2, 5)]


def test_many_plain_points_are_inserted_like_one_by_one(txn: Transaction) -> None:
    ids = [b"z", b"a", b"m"]
    records = [encode_record(record(point_id.decode(), has_vector=i != 1)) for i, point_id in enumerate(ids)]
    points.insert_plain(txn, NO_INDEX, ACME, 10, records, [VECTOR, None, VECTOR], ids, [b""] * 3)
    assert points.find_pids(txn, ACME, ids) == {b"z": 10, b"a": 11, b"m": 12}
    assert [pid for pid, _, _ in points.iterate_vectored(txn, ACME)] == [10, 12]


def test_an_owner_of_nothing_has_no_usage(txn: Transaction) -> None:
    points.write_usage(txn, ACME, Usage(2, id_bytes=30))
    points.write_usage(txn, GLOBEX, Usage(1, id_bytes=1))
    assert list(points.iterate_owners(txn)) == [(ACME, Usage(2, id_bytes=30)), (GLOBEX, Usage(1, id_bytes=1))]
    points.write_usage(txn, ACME, Usage())
    assert (points.read_usage(txn, ACME), points.has_any(txn, Space.USAGE, ACME)) == (Usage(), False)


def test_the_totals_are_nobodys_usage(txn: Transaction) -> None:
    points.write_usage(txn, ALL_OWNERS, Usage(2, id_bytes=30))
    assert (points.read_totals(txn).points, points.read_usage(txn, ALL_OWNERS)) == (2, Usage())
    assert list(points.iterate_owners(txn)) == []


def test_records_are_looked_up_together_with_their_vectors_where_there_are_both(txn: Transaction) -> None:
    for pid, point_id in ((3, "a"), (7, "b"), (8, "c")):
        points.put_point(txn, NO_INDEX, ACME, pid, None, record(point_id, has_vector=pid != 7), VECTOR * (pid != 7))
    txn.delete(vector_key(ACME, 7))
    points.put_point(txn, NO_INDEX, GLOBEX, 5, None, record("a"), VECTOR)
    asked = [(8, ACME), (7, ACME), (5, GLOBEX), (5, ACME), (3, ACME), (3, GLOBEX)]
    found = [(8, ACME, "c"), (5, GLOBEX, "a"), (3, ACME, "a")]
    expected = [(pid, owner, encode_record(record(point_id)), VECTOR) for pid, owner, point_id in found]
    assert list(points.read_vectored(txn, asked)) == expected
    assert list(points.read_vectored(txn, [])) == []
