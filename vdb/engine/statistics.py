"""Statistics of a collection: what it holds on disk and in memory, by part. From counters; no record is read.

An admin without a tenant sees the whole, a tenant what it owns itself and its own reading in memory.
"""

from vdb.engine.choosing import described
from vdb.engine.services import Services
from vdb.engine.shard import Shard
from vdb.engine.tenants import moment_of
from vdb.engine.tuning import DEFAULT
from vdb.errors import TenantRequired
from vdb.protocol.statistics import CollectionStats, MemoryBytes, StoredBytes, VectorIndex
from vdb.storage.codec import Usage
from vdb.storage.keyspace import EVERYONE_ID
from vdb.storage.meta import read_sequence
from vdb.storage.points import count_owners, read_totals, read_usage
from vdb.tenancy.access import check_tenant_exists
from vdb.types import Caller, Role, Tier

POINT_INDEX_BYTES = 9
"""Key and value of a point's entry in the index of ids, beside the id."""

GRANT_INDEX_BYTES = 13


def collection_stats(services: Services, caller: Caller, path: tuple[str, ...], request: object) -> CollectionStats:
    """Raises CollectionNotFound, TenantNotFound, TenantRequired (a service key that names no tenant)."""
    collection = services.usable(caller, path[0])
    is_whole = caller.role is Role.ADMIN and caller.tenant is None
    if caller.tenant is None and not is_whole:
        raise TenantRequired("name the tenant in the Vdb-Tenant header")
    tenant_id = None if is_whole else check_tenant_exists(caller)
    with services.shards.use(collection, counts_as_use=False) as shard:
        return _of_all(services, shard) if tenant_id is None else _of_tenant(shard, tenant_id)


def _of_tenant(shard: Shard, tenant_id: int) -> CollectionStats:
    with shard.env.read() as txn:
        usage, sequence = read_usage(txn, tenant_id), read_sequence(txn)
    vector_bytes, row_bytes = _in_memory(shard, tenant_id)
    return CollectionStats(
        points=usage.points,
        vectors=usage.vectors,
        sequence=sequence,
        stored=_stored(usage, shard.collection.dimension),
        memory=MemoryBytes(vector_bytes=vector_bytes, row_bytes=row_bytes),
    )


def _in_memory(shard: Shard, tenant_id: int) -> tuple[int, int]:
    """Bytes of a tenant's vectors in RAM, or of their codes in the index, and of what else its rows take."""
    index = shard.index.current
    if index is not None:
        return index.bytes_of(tenant_id)
    reading = shard.readings.get(tenant_id)
    return (reading.vector_bytes, reading.n_bytes - reading.vector_bytes) if reading is not None else (0, 0)


def _of_all(services: Services, shard: Shard) -> CollectionStats:
    with shard.env.read() as txn:
        usage, sequence, n_owners = read_totals(txn), read_sequence(txn), count_owners(txn)
    live_bytes, file_bytes = shard.env.live_bytes, shard.env.used_bytes
    stored = _stored(usage, shard.collection.dimension)
    stored.index_bytes = usage.id_bytes + POINT_INDEX_BYTES * usage.points + GRANT_INDEX_BYTES * usage.grants
    counted = stored.id_bytes + stored.payload_bytes + stored.vector_bytes + stored.index_bytes
    stored.overhead_bytes = max(0, live_bytes - counted)
    stored.live_bytes, stored.file_bytes = live_bytes, file_bytes
    stored.free_bytes = max(0, file_bytes - live_bytes)
    readings = shard.readings.residents()
    vector_bytes = sum(reading.vector_bytes for _, reading in readings)
    last_commit_ms = shard.queue.last_commit_ms
    return CollectionStats(
        points=usage.points,
        vectors=usage.vectors,
        sequence=sequence,
        stored=stored,
        memory=MemoryBytes(
            vector_bytes=vector_bytes,
            row_bytes=sum(reading.n_bytes for _, reading in readings) - vector_bytes,
            index_bytes=shard.index_bytes,
            n_tenants=sum(tenant_id != EVERYONE_ID for tenant_id, _ in readings),
            map_bytes=shard.env.map_bytes,
        ),
        index=_index(services, shard),
        n_owners=n_owners,
        waiting_writes=shard.queue.n_waiting,
        last_commit_at=moment_of(last_commit_ms) if last_commit_ms else None,
    )


def _index(services: Services, shard: Shard) -> VectorIndex:
    accelerator = services.accelerator
    index, tuner = shard.index.current, shard.index.tuner
    tuning, profile = tuner.tuning, tuner.profile
    is_there, is_tuned = index is not None, index is not None and shard.index.tier is not Tier.DISK
    checked, stages = shard.index.recall.checked, shard.index.build_stages
    return VectorIndex(
        state=shard.index.state,
        tier=shard.index.tier,
        rows=index.n_rows if index is not None else 0,
        cells=shard.index.n_cells,
        builds=shard.index.n_builds,
        layouts=shard.index.n_layouts,
        encoding=described(index.state.model.encoding) if index is not None else None,
        chosen_by=tuning.origin if is_tuned else DEFAULT if is_there else None,
        for_queries=is_tuned and tuning.for_queries,
        expected_recall=tuning.recall if is_tuned else None,
        expected_cost_us=tuning.cost_us if is_tuned else None,
        profile_levels=len(profile.levels) if is_tuned and profile is not None else 0,
        profiled_rows=tuning.n_profiled if is_tuned and profile is not None else 0,
        recorded_queries=len(tuner.recorded),
        recall_checks=checked.n_checks,
        checked_recall=checked.recall,
        checked_target=checked.target,
        late_rows=shard.index.n_late,
        stage=stages.stage or None,
        stage_share=stages.share,
        device=accelerator.name if accelerator is not None and not accelerator.is_lost else None,
        device_bytes=accelerator.residents.nbytes_of(index) if accelerator is not None else 0,
    )


def _stored(usage: Usage, dimension: int) -> StoredBytes:
    return StoredBytes(
        id_bytes=usage.id_bytes, payload_bytes=usage.payload_bytes, vector_bytes=4 * dimension * usage.vectors
    )
