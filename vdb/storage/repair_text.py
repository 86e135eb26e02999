"""Repair of a collection's text index: where it is not what the records say it goes, and is built anew."""

from vdb.errors import CorruptData, DiskFull
from vdb.storage.catalog import CollectionDocument, iterate_prefix
from vdb.storage.check_text import TextCheck
from vdb.storage.codec import decode_record
from vdb.storage.edits import PORTION, ROOM_BYTES, Edits
from vdb.storage.entries import is_known
from vdb.storage.env import Environment, MapFull, Transaction
from vdb.storage.keyspace import Space, pair_of
from vdb.storage.text_changes import TextChanges, text_step
from vdb.storage.text_index import Analysers, read_text_index, wanted_index


def mend_text(env: Environment, collection: CollectionDocument, edits: Edits, analysers: Analysers | None) -> None:
    """Check the text index against the records, which are repaired by now; raises DiskFull, StorageFailure.

    Without `analysers` a damaged one goes, and is left to the server's start.
    """
    with env.read() as txn:
        is_sound = _is_sound(txn, analysers)
    if is_sound:
        return
    what = "keys of the text index removed, to build it anew"
    for space in (Space.TEXT_INDEX, Space.TEXT_STATISTICS, Space.POSTINGS):
        edits.visit(bytes((space,)), lambda txn, key, value: edits.drop(key, what))
    if analysers is None or collection.text is None:
        return
    try:
        wanted = wanted_index(collection.text.fields, collection.text.language, analysers)
    except KeyError:  # of a newer release: nobody here could build it
        return
    is_done = False
    while not is_done:
        try:
            with env.write() as txn:
                changes = TextChanges(read_text_index(txn), analysers)
                n_points, is_done = text_step(txn, changes, wanted, PORTION)
                changes.flush(txn)
        except MapFull as exc:
            if not (env.grow() or env.grow(ROOM_BYTES)):
                raise DiskFull(f"{edits.place} has no room to be repaired: its map is full") from exc
            continue
        if n_points:
            edits.done["points entered into the text index"] += n_points


def _is_sound(txn: Transaction, analysers: Analysers | None) -> bool:
    check = TextCheck(txn, analysers)
    for key, value in iterate_prefix(txn, bytes((Space.RECORD,))):
        if not is_known(key):
            continue
        try:
            check.see(*pair_of(key), decode_record(value))
        except CorruptData:
            check.are_all_seen = False
    return next(check.faults(), None) is None
