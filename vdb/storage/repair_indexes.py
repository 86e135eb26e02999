"""Repair of a collection's payload indexes: where one is not what the records say, all of them are built anew."""

from vdb.errors import CorruptData, DiskFull
from vdb.storage.catalog import CollectionDocument, iterate_prefix
from vdb.storage.check_indexes import IndexCheck
from vdb.storage.codec import decode_record
from vdb.storage.edits import PORTION, ROOM_BYTES, Edits
from vdb.storage.entries import is_known
from vdb.storage.env import Environment, MapFull, Transaction
from vdb.storage.index_changes import IndexChanges, index_step
from vdb.storage.keyspace import Space, pair_of
from vdb.storage.payload_index import read_indexes


def mend_indexes(env: Environment, collection: CollectionDocument, edits: Edits) -> None:
    """Check the indexes against the records, which are repaired by now; raises DiskFull, StorageFailure."""
    with env.read() as txn:
        is_sound = _are_sound(txn)
    if is_sound:
        return
    what = "keys of payload indexes removed, to build them anew"
    edits.visit(bytes((Space.PAYLOAD_INDEX,)), lambda txn, key, value: edits.drop(key, what))
    is_done = False
    while not is_done:
        try:
            with env.write() as txn:
                changes = IndexChanges(read_indexes(txn))
                n_points, is_done = index_step(txn, changes, collection.indexed_fields, PORTION)
                changes.flush(txn)
        except MapFull as exc:
            if not (env.grow() or env.grow(ROOM_BYTES)):
                raise DiskFull(f"{edits.place} has no room to be repaired: its map is full") from exc
            continue
        if n_points:
            edits.done["points entered into payload indexes"] += n_points


def _are_sound(txn: Transaction) -> bool:
    check = IndexCheck(txn)
    for key, value in iterate_prefix(txn, bytes((Space.RECORD,))):
        if not is_known(key):
            continue
        try:
            faults = check.see(*pair_of(key), decode_record(value).payload)
            if next(faults, None) is not None:
                return False
        except CorruptData:
            check.are_all_seen = False
    return next(check.faults(), None) is None
