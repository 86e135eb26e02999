"""Environments come into being whole: made in a draft folder, synced, then renamed to their place."""

from pathlib import Path

from vdb.storage.directory import make_folder, remove_folder, sync_folder
from vdb.storage.env import Environment
from vdb.storage.meta import initialise
from vdb.storage.payload_index import make_indexes
from vdb.storage.text_changes import make_text_index
from vdb.storage.text_index import TextIndex
from vdb.types import FieldType


def create_environment(
    path: Path,
    *,
    map_bytes: int,
    max_map_bytes: int,
    collection_id: int | None = None,
    cache_id: int | None = None,
    indexes: dict[str, FieldType] | None = None,
    text: TextIndex | None = None,
) -> None:
    """Make the environment at `path`; after a crash or a power failure it is there and usable, or not there at all.

    `collection_id` or `cache_id` says whose it is; without them it is the catalog's. `indexes`: field → type of the
    payload indexes of a new collection; `text`: its text index.
    """
    draft = path.with_name(f"{path.name}.draft")
    remove_folder(draft)
    make_folder(draft)
    env = Environment(draft, map_bytes=map_bytes, max_map_bytes=max_map_bytes, create=True)
    try:
        initialise(env, collection_id, cache_id)
        if indexes or text is not None:
            with env.write() as txn:
                make_indexes(txn, indexes or {})
                if text is not None:
                    make_text_index(txn, text)
    finally:
        env.close()
    sync_folder(draft)
    draft.rename(path)
    sync_folder(path.parent)
