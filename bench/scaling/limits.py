"""Hard limits of one node, read from the code that sets them."""

from dataclasses import dataclass

from vdb.config import Settings
from vdb.index.curator.state import REVOKED
from vdb.index.curator.training import CELLS_PER_ROOT, FULLEST, SAMPLE_ROWS
from vdb.storage.keyspace import LAST_NUMBER
from vdb.storage.lists import MAX_MAP_BYTES
from vdb.tenancy.rate import MAX_TENANTS


@dataclass(frozen=True, slots=True)
class Limit:
    """`value` of `what`; `kind`: `format`, `code` or the name of a setting; what happens there."""

    what: str
    value: int
    kind: str
    then: str


def limits() -> list[Limit]:
    """All of them; nothing else in the code bounds points or tenants."""
    settings = Settings()
    caps = settings.limits
    return [
        Limit("point numbers of a collection, u32, never used again", LAST_NUMBER - 1, "format", "writes fail"),
        Limit("rows of an index, 31 bits of a place in a list", REVOKED, "format", "not checked: stay below"),
        Limit("bytes of a collection's map", settings.max_map_bytes, "`max_map_bytes`", "writes answer 507"),
        Limit("bytes of the map of posting lists", MAX_MAP_BYTES, "code", "folds fail"),
        Limit("pages of the file of posting lists, u32", 1 << 32, "format", "16 TiB, beyond the map"),
        Limit("points at which cells have one trained row each", _sampled_out(), "code", "cells become uneven"),
        Limit("collections", caps.max_collections, "`max_collections`", "making one is refused"),
        Limit("collections open at once", settings.max_open_environments, "`max_open_environments`", "idle ones close"),
        Limit("tenant numbers, u32, never used again", LAST_NUMBER - 1, "format", "making one fails"),
        Limit("tenants that a collection may list", caps.max_tenants_per_collection, "`max_tenants_per_collection`",
              "400; a collection without a list is for all"),
        Limit("tenants whose rates are held", MAX_TENANTS, "code", "idle ones are forgotten"),
        Limit("grantees of a point", caps.max_grantees_per_point, "`max_grantees_per_point`", "the write is refused"),
        Limit("bytes in RAM before a collection changes its tier", settings.memory_bytes, "`memory_bytes`",
              "vectors, then codes leave RAM"),
        Limit("processes that answer", 1, "code", "more than one worker is refused"),
    ]  # fmt: skip


def _sampled_out() -> int:
    """A model is trained on a sample; its cells are about 4 √n."""
    return int((FULLEST * SAMPLE_ROWS / CELLS_PER_ROOT) ** 2)
