"""Answer shapes of a collection's statistics; see `vdb.protocol.answers`."""

from datetime import datetime

from msgspec import UNSET, Struct, UnsetType

from vdb.protocol.answers import Answer
from vdb.types import Tier


class StoredBytes(Answer):
    """What points take on disk, by part; and, for an admin who sees the whole, what the file takes.

    `index_bytes` are the entries that lead to points by id and by grantee; `overhead_bytes` the heads of records,
    payload indexes, LMDB's own, and unused room in pages. The five make `live_bytes`; with `free_bytes`, for later
    writes, `file_bytes`.
    """

    id_bytes: int
    payload_bytes: int
    vector_bytes: int
    index_bytes: int | UnsetType = UNSET
    overhead_bytes: int | UnsetType = UNSET
    live_bytes: int | UnsetType = UNSET
    free_bytes: int | UnsetType = UNSET
    file_bytes: int | UnsetType = UNSET


class MemoryBytes(Answer):
    """What is in memory: vectors, or their codes, and the bookkeeping of rows; for an admin who sees the whole also of
    how many tenants, and all of the index.

    `map_bytes` is address space, not memory.
    """

    vector_bytes: int
    row_bytes: int
    n_tenants: int | UnsetType = UNSET
    map_bytes: int | UnsetType = UNSET
    index_bytes: int | UnsetType = UNSET


class VectorIndex(Struct, kw_only=True):
    """`state` is absent, building or ready; `builds` and `layouts` count since the collection was opened. `tier` is the
    one that answers now, null while none does.

    `encoding` is what rows are coded in, `chosen_by` what chose it: `default`, `rows` or `recorded` queries by
    measurement, or `requested`; `for_queries`: its projection was learned from recorded queries. `expected_recall` and
    `expected_cost_us`: of a search for 10 hits in a typical reading, as the choice measured it. `profile_levels` says
    by how many measured classes of searches effort is planned, `profiled_rows` how many rows there were then.
    `recorded_queries` are kept. `recall_checks` searches were compared with all rows since the collection was opened;
    `checked_recall` and `checked_target` are the means of the newest 100. On tier `disk` `late_rows` wait for a fold;
    `stage` is what a build of such an index does, null while there is none, `stage_share` how much of it is done, null
    where that is not known. `device` is the GPU that the server uses, null without one, and `device_bytes` what of
    the index lies in its memory.
    """

    state: str
    tier: Tier | None
    rows: int
    cells: int
    builds: int
    layouts: int
    encoding: str | None
    chosen_by: str | None
    for_queries: bool
    expected_recall: float | None
    expected_cost_us: float | None
    profile_levels: int
    profiled_rows: int
    recorded_queries: int
    recall_checks: int
    checked_recall: float | None
    checked_target: float | None
    late_rows: int
    stage: str | None
    stage_share: float | None
    device: str | None = None
    device_bytes: int = 0


class CollectionStats(Answer):
    """Counts and sizes of a collection: the whole for an admin without a tenant, a tenant's own part for a tenant.

    `last_commit_at` is null until the first commit since the collection was opened.
    """

    points: int
    vectors: int
    sequence: int
    stored: StoredBytes
    memory: MemoryBytes
    index: VectorIndex | UnsetType = UNSET
    n_owners: int | UnsetType = UNSET
    waiting_writes: int | UnsetType = UNSET
    last_commit_at: datetime | None | UnsetType = UNSET
