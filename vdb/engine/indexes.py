"""Payload and text indexes of collections: what is wanted, as the catalog says, and how what is there becomes that."""

from msgspec.structs import replace

from vdb.config import Limits
from vdb.engine.services import Services
from vdb.engine.shard import ShardGroup
from vdb.engine.text_indexes import wanted_text
from vdb.errors import InvalidArgument, TooLarge
from vdb.storage.catalog import CollectionDocument
from vdb.storage.env import Transaction
from vdb.storage.index_changes import index_step
from vdb.storage.payload_index import put_index, read_indexes
from vdb.storage.text_changes import is_text_whole, text_step
from vdb.storage.text_index import read_text_index
from vdb.types import FieldType, IndexState

TEXT_SHARE = 4
"""A step on points with a text index takes so many times fewer of them: each has some hundred terms."""


def checked_indexes(given: list[str], fields: dict[str, FieldType], limits: Limits) -> list[str]:
    """The fields to be indexed; raises TooLarge, and InvalidArgument for one that is not declared or named twice."""
    if len(given) > limits.max_indexes_per_collection:
        raise TooLarge.at("/indexes", f"up to {limits.max_indexes_per_collection} indexes")
    for place, field in enumerate(given):
        if field not in fields:
            raise InvalidArgument.at(f"/indexes/{place}", "an index is on a declared field: see fields")
        if field in given[:place]:
            raise InvalidArgument.at(f"/indexes/{place}", "the field is named twice")
    return list(given)


def states_of(txn: Transaction, collection: CollectionDocument) -> dict[str, IndexState]:
    """Of each index that is wanted, whether filters use it yet."""
    ready = {index.field for index in read_indexes(txn) if index.state is IndexState.READY}
    return {field: IndexState.READY if field in ready else IndexState.BUILDING for field in collection.indexes}


def are_whole(txn: Transaction, collection: CollectionDocument) -> bool:
    """Whether what is wanted is there and ready, and nothing else."""
    there = read_indexes(txn)
    is_wanted = sorted(index.field for index in there) == sorted(collection.indexed_fields)
    is_wanted = is_wanted and is_text_whole(txn, wanted_text(collection))
    return is_wanted and all(index.state is IndexState.READY for index in there)


def drop_damaged(services: Services, collection: CollectionDocument) -> None:
    """Drop the indexes of a collection in which one could not be read; those that are wanted are then built anew."""

    def apply(group: ShardGroup) -> None:
        for index in read_indexes(group.txn):
            put_index(group.txn, replace(index, state=IndexState.DROPPING))

    shard = services.shards.acquire(collection)
    services.shards.submit(shard, apply).result()
    services.damaged_indexes.discard(collection.id)


def step_points(group: ShardGroup, n_most: int) -> int:
    """How many points a step that removes or revokes takes, of `n_most`: fewer where each has its terms."""
    return max(1, n_most // TEXT_SHARE) if group.index_changes.text.is_kept else n_most


def advance_indexes(services: Services, collection: CollectionDocument, n_most: int) -> tuple[int, bool]:
    """One commit on the way to what is wanted: (points and entries done, whether it is reached)."""

    def apply(group: ShardGroup) -> tuple[int, bool]:
        n_done, is_done = index_step(group.txn, group.index_changes, collection.indexed_fields, n_most)
        if not is_done:
            return n_done, False
        return text_step(group.txn, group.index_changes.text, wanted_text(collection), max(1, n_most // TEXT_SHARE))

    with services.shards.use(collection) as shard, shard.env.read() as txn:
        text = read_text_index(txn)
        drops = text is not None and text.state is IndexState.DROPPING
        drops = drops or any(index.state is IndexState.DROPPING for index in read_indexes(txn))
    shard = services.shards.acquire(collection)
    result: tuple[int, bool] = services.shards.submit(shard, apply, frees_space=drops).result()
    return result
