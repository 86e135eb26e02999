"""Tiers: where a collection's index lies, as it was wished for and as it is."""

from vdb.engine.shard_index import ShardIndex
from vdb.errors import InvalidArgument
from vdb.protocol.requests import MAX_MEMORY_BYTES
from vdb.types import Tier


def checked_memory_bytes(given: int | None) -> int | None:
    """What is stored of a collection's cap, None for none; raises InvalidArgument."""
    if given is not None and not 1 <= given <= MAX_MEMORY_BYTES:
        raise InvalidArgument.at("/memory_bytes", f"memory_bytes is 1 to {MAX_MEMORY_BYTES}, or null for no cap")
    return given


def served_tier(index: ShardIndex) -> Tier | None:
    """The tier that answers now; None where there is no index, so that every row is compared."""
    return None if index.current is None else Tier.HYBRID
