"""Environments come into being whole: made in a draft folder, synced, then renamed to their place."""

from pathlib import Path

from vdb.storage.directory import make_folder, remove_folder, sync_folder
from vdb.storage.env import Environment
from vdb.storage.meta import initialise


def create_environment(path: Path, *, map_bytes: int, max_map_bytes: int, collection_id: int | None = None) -> None:
    """Make the environment at `path`; after a crash or a power failure it is there and usable, or not there at all."""
    draft = path.with_name(f"{path.name}.draft")
    remove_folder(draft)
    make_folder(draft)
    env = Environment(draft, map_bytes=map_bytes, max_map_bytes=max_map_bytes, create=True)
    try:
        initialise(env, collection_id)
    finally:
        env.close()
    sync_folder(draft)
    draft.rename(path)
    sync_folder(path.parent)
