"""Tiers: where a collection's index lies, by what it takes of memory and what there is of that.

Sizes are estimates from counts alone, so that a tier is chosen before anything is built. Of a row (D components):

- `memory`: its vector (4·D), its code, 28 bytes of columns; 4 bytes per grant.
- `hybrid`: the same without the vector.
- `disk`: 14 bytes of bookkeeping, 5 per grant; its share of the heads (a list of 50 rows has two nodes of the tree,
  each a code and 24 bytes more), and of the rows that wait for a fold, 5 % of all, coded in memory.
"""

from dataclasses import dataclass
from functools import cached_property

from vdb.engine.shard_index import ShardIndex
from vdb.errors import InvalidArgument
from vdb.index.curator.upkeep import default_encoding as encoding_in_memory
from vdb.index.spann.coding import default_encoding as encoding_on_disk
from vdb.protocol.requests import MAX_MEMORY_BYTES
from vdb.storage.catalog import CollectionDocument
from vdb.storage.codec import Usage
from vdb.types import Tier

COLUMN_BYTES = 28
GRANT_BYTES = 4
DISK_ROW_BYTES = 14
DISK_GRANT_BYTES = 5
ROWS_PER_LIST = 50
NODES_PER_LIST = 2
NODE_BYTES = 24
"""What a node takes beside its code."""
LATE_SHARE = 0.05
LATE_ROW_BYTES = 48
"""What a row that waits for a fold takes beside its code."""

SHARED_PART = 4
"""Of a cap that all collections share, one has its vectors in memory only if that takes no more than a fourth."""
LEAVES_ABOVE = 1.1
"""A tier is left once it takes more than this share of the cap, ..."""
RETURNS_BELOW = 0.7
"""... and one that takes more memory is chosen again where that is no more than this share."""

_FASTEST_FIRST = (Tier.MEMORY, Tier.HYBRID, Tier.DISK)


@dataclass(frozen=True)
class Sizes:
    """What decides how much memory an index takes: rows, grants of them, components of a vector.

    `row_bytes`: of a row's code in memory, where rows are coded already; 0: as they are by default.
    """

    n_rows: int
    n_granted: int
    dimension: int
    row_bytes: int = 0

    @classmethod
    def of(cls, usage: Usage, dimension: int) -> "Sizes":
        """Of what all owners of a collection have together."""
        return cls(usage.vectors, usage.grants, dimension)

    @cached_property
    def needed(self) -> dict[Tier, int]:
        """Bytes of memory by tier."""
        coded = (self.row_bytes or encoding_in_memory(self.dimension).row_bytes) + COLUMN_BYTES
        hybrid = self.n_rows * coded + GRANT_BYTES * self.n_granted
        return {
            Tier.MEMORY: hybrid + 4 * self.dimension * self.n_rows,
            Tier.HYBRID: hybrid,
            Tier.DISK: self._on_disk(),
        }

    def _on_disk(self) -> int:
        encoding = encoding_on_disk(self.dimension)
        n_lists = -(-self.n_rows // ROWS_PER_LIST)
        heads = n_lists * NODES_PER_LIST * (encoding.dimension + NODE_BYTES)
        late = int(LATE_SHARE * self.n_rows) * (encoding.row_bytes + LATE_ROW_BYTES)
        return DISK_ROW_BYTES * self.n_rows + DISK_GRANT_BYTES * self.n_granted + heads + late


@dataclass(frozen=True, slots=True)
class Cap:
    """Bytes of memory that an index may take; `is_shared`: with all other collections."""

    n_bytes: int
    is_shared: bool

    def of(self, tier: Tier) -> float:
        """How much of it an index of a tier may take."""
        return self.n_bytes / SHARED_PART if self.is_shared and tier is Tier.MEMORY else self.n_bytes


def cap_of(collection: CollectionDocument, server_bytes: int) -> Cap:
    """A collection's own cap, or the server's."""
    if collection.memory_bytes is None:
        return Cap(server_bytes, is_shared=True)
    return Cap(collection.memory_bytes, is_shared=False)


def chosen_tier(wish: Tier, cap: Cap, sizes: Sizes, present: Tier | None = None) -> Tier:
    """The tier that a collection's index is to have: as wished for; of `auto` the fastest that fits the cap.

    `present` is the one it has: it is left downwards above 110 % of the cap, upwards where the other takes 70 %, so
    that a collection at the border is not built again and again. Where nothing fits it is `disk`.
    """
    if wish is not Tier.AUTO:
        return wish
    for tier in _FASTEST_FIRST[:-1]:
        if sizes.needed[tier] <= _slack(tier, present) * cap.of(tier):
            return tier
    return Tier.DISK


def _slack(tier: Tier, present: Tier | None) -> float:
    """How much of the cap a tier may take to be chosen where another one, or it, is there."""
    if present is None:
        return 1.0
    steps_up = _FASTEST_FIRST.index(present) - _FASTEST_FIRST.index(tier)
    return LEAVES_ABOVE if steps_up == 0 else RETURNS_BELOW if steps_up > 0 else 1.0


def wanted_tier(
    collection: CollectionDocument, server_bytes: int, usage: Usage, present: Tier | None = None, beside_bytes: int = 0
) -> Tier:
    """The tier for a collection that holds `usage`, on a server whose cap is `server_bytes`; see `chosen_tier`.

    `beside_bytes` of that cap are taken by others: none of them is to make room for vectors, which can be read again.
    """
    sizes, cap = Sizes.of(usage, collection.dimension), cap_of(collection, server_bytes)
    tier = chosen_tier(collection.tier, cap, sizes, present)
    is_crowded = cap.is_shared and sizes.needed[Tier.MEMORY] + beside_bytes > server_bytes
    return Tier.HYBRID if tier is Tier.MEMORY and is_crowded and collection.tier is Tier.AUTO else tier


def checked_memory_bytes(given: int | None) -> int | None:
    """What is stored of a collection's cap, None for none; raises InvalidArgument."""
    if given is not None and not 1 <= given <= MAX_MEMORY_BYTES:
        raise InvalidArgument.at("/memory_bytes", f"memory_bytes is 1 to {MAX_MEMORY_BYTES}, or null for no cap")
    return given


def check_fits(tier: Tier, memory_bytes: int | None, sizes: Sizes, pointer: str) -> None:
    """Raise InvalidArgument at `pointer` where the tier, or for `auto` the least of them, takes more than the cap."""
    least = Tier.DISK if tier is Tier.AUTO else tier
    needed = sizes.needed[least]
    if memory_bytes is not None and needed > memory_bytes:
        raise InvalidArgument.at(
            pointer, f"a {least} index of the {sizes.n_rows} vectors there are needs {needed} bytes of memory_bytes"
        )


def keeps_no_vectors(collection: CollectionDocument, index: ShardIndex) -> bool:
    """Whether exact searches read vectors from the store, since they are not to be in memory."""
    return Tier.DISK in (collection.tier, index.tier, index.wanted_tier)
