"""What the engine tells about itself: health and metrics."""

from importlib.metadata import PackageNotFoundError, version

import vdb.kernels as kernels
from vdb.engine.answer_figures import answer_metrics
from vdb.engine.backup_schedule import BackupSchedule
from vdb.engine.cache_figures import cache_metrics
from vdb.engine.device_figures import device_metrics
from vdb.engine.model_figures import model_metrics
from vdb.engine.services import Services

Sample = tuple[str, str, str, list[tuple[dict[str, str], float]]]
"""(name, Prometheus type, help, [(labels, value)])."""


def health(services: Services) -> dict[str, object]:
    """Ready as soon as the catalog is open: NumPy answers until the kernels are compiled."""
    return {"status": "ready", "kernels": kernels.current().name, "version": release()}


def release() -> str:
    """The installed release of vdb."""
    try:
        return version("vdb")
    except PackageNotFoundError:
        return "unknown"


def metrics(services: Services, n_purged: int, backups: BackupSchedule) -> list[Sample]:
    """Gauges and counters of the open collections and of the whole server."""
    shown = services.catalog.names  # the names of now: an open shard knows the one it was opened with
    named = [(shard, shown.by_id(shard.collection.id)) for shard in services.shards.open_shards()]
    shards = [shard for shard, document in named if document is not None]
    names = [{"collection": document.name} for _, document in named if document is not None]

    def per_collection(values: list[float]) -> list[tuple[dict[str, str], float]]:
        return list(zip(names, values, strict=True))

    def where_known(values: list[float | None]) -> list[tuple[dict[str, str], float]]:
        return [(name, value) for name, value in zip(names, values, strict=True) if value is not None]

    checked = [shard.index.recall.checked for shard in shards]
    indexes = [shard.index.current for shard in shards]
    return [
        ("vdb_index_rows", "gauge", "Rows of the index, dead ones included; 0 without one.",
         per_collection([index.n_rows if index is not None else 0 for index in indexes])),
        ("vdb_index_bytes", "gauge", "Bytes of the index and of recorded queries; most are mapped from its file.",
         per_collection([shard.index_bytes for shard in shards])),
        ("vdb_index_cells", "gauge", "Cells of the index.",
         per_collection([shard.index.n_cells for shard in shards])),
        ("vdb_index_builds_total", "counter", "Indexes made since the collection was opened.",
         per_collection([shard.index.n_builds for shard in shards])),
        ("vdb_index_layouts_total", "counter", "Layouts of the index made since the collection was opened.",
         per_collection([shard.index.n_layouts for shard in shards])),
        ("vdb_lists_queries_total", "counter", "Queries answered from lists on disk since the collection was opened.",
         per_collection([shard.index.list_figures.n_queries for shard in shards])),
        ("vdb_lists_pages_read_total", "counter", "Pages of 4 KiB that they read, of lists and of vectors.",
         per_collection([shard.index.list_figures.n_pages for shard in shards])),
        ("vdb_lists_bytes_read_total", "counter", "Bytes of those pages, whether from RAM or from the disk.",
         per_collection([shard.index.list_figures.n_bytes for shard in shards])),
        ("vdb_lists_backlog_rows", "gauge", "Rows in RAM that wait to be folded into lists on disk.",
         per_collection([shard.index.n_late for shard in shards])),
        ("vdb_lists_folds_total", "counter", "Folds into lists on disk since the collection was opened.",
         per_collection([shard.index.folds.n for shard in shards])),
        ("vdb_lists_fold_rows_total", "counter", "Rows that those folds took in.",
         per_collection([shard.index.folds.n_rows for shard in shards])),
        ("vdb_lists_splits_total", "counter", "Lists that those folds split.",
         per_collection([shard.index.folds.n_split for shard in shards])),
        ("vdb_lists_moved_total", "counter", "Rows that those folds moved to another list.",
         per_collection([shard.index.folds.n_moved for shard in shards])),
        ("vdb_recorded_queries", "gauge", "Recent queries kept to tune the index by.",
         per_collection([len(shard.index.tuner.recorded) for shard in shards])),
        ("vdb_index_recall", "gauge", "Mean recall of the newest 100 searches that were compared with all rows.",
         where_known([one.recall for one in checked])),
        ("vdb_index_recall_target", "gauge", "Mean recall that those searches aimed at.",
         where_known([one.target for one in checked])),
        ("vdb_index_recall_checks_total", "counter", "Searches compared with all rows since the collection was opened.",
         per_collection([one.n_checks for one in checked])),
        ("vdb_collections", "gauge", "Collections.", [({}, len(services.catalog.collections()))]),
        ("vdb_open_collections", "gauge", "Collections whose environment is open.", [({}, len(shards))]),
        ("vdb_resident_bytes", "gauge", "Bytes of vectors held in RAM.", [({}, services.memory.n_bytes)]),
        ("vdb_evictions_total", "counter", "Readings dropped to stay under memory_bytes.",
         [({}, services.memory.n_evictions)]),
        ("vdb_purged_points_total", "counter", "Expired points removed from disk.", [({}, n_purged)]),
        ("vdb_queued_writes_refused_total", "counter", "Writes with ack queued that were refused at their commit.",
         [({}, services.n_queued_refused)]),
        ("vdb_scheduled_backups_total", "counter", "Scheduled backups made.", [({}, backups.n_made)]),
        ("vdb_scheduled_backup_failures_total", "counter", "Scheduled backups that failed.", [({}, backups.n_failed)]),
        ("vdb_last_scheduled_backup_timestamp_seconds", "gauge", "When the newest scheduled backup was begun; 0: none.",
         [({}, (backups.last_ms or 0) / 1000)]),
        ("vdb_sequence", "gauge", "Sequence of the last write.",
         per_collection([shard.readings.published_sequence for shard in shards])),
        ("vdb_resident_readings", "gauge", "Tenants whose vectors are in RAM.",
         per_collection([shard.readings.n_residents for shard in shards])),
        ("vdb_queued_writes", "gauge", "Writes waiting for a commit.",
         per_collection([shard.queue.n_waiting for shard in shards])),
        ("vdb_commits_total", "counter", "Commits since the collection was opened.",
         per_collection([shard.queue.n_commits for shard in shards])),
        ("vdb_committed_writes_total", "counter", "Writes in those commits.",
         per_collection([shard.queue.n_requests for shard in shards])),
        *model_metrics(services),
        *cache_metrics(services),
        *answer_metrics(services),
        *device_metrics(services),
    ]  # fmt: skip
