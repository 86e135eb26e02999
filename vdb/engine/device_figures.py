"""What the accelerator has done, for /metrics: by collection and reason, never by tenant or query."""

from vdb.engine.acceleration.accelerator import Accelerator
from vdb.engine.services import Services

__all__ = ["Sample", "device_metrics"]

Sample = tuple[str, str, str, list[tuple[dict[str, str], float]]]


def device_metrics(services: Services) -> list[Sample]:
    """Counters of the accelerator since the start; none where there is no accelerator."""
    accelerator = services.accelerator
    if accelerator is None:
        return []
    figures, traffic = accelerator.figures, accelerator.residents.traffic()
    declined = list(figures.declined.items())
    return [
        ("vdb_gpu_up", "gauge", "Whether the GPU is used: 0 once it was lost.",
         [({"device": accelerator.name}, float(not accelerator.is_lost))]),
        ("vdb_gpu_searches_total", "counter", "Queries that were put to the GPU, by what answered them.",
         [({"backend": "gpu"}, figures.n_searched), ({"backend": "cpu"}, sum(n for _, n in declined))]),
        ("vdb_gpu_fallbacks_total", "counter", "Queries put to the GPU that the CPU answered, by why.",
         [({"reason": reason}, n) for reason, n in declined]),
        ("vdb_gpu_abandoned_total", "counter", "Queries put to the GPU that nobody waited for any more.",
         [({}, figures.n_abandoned)]),
        ("vdb_gpu_batches_total", "counter", "Batches of queries.", [({}, figures.n_batches)]),
        ("vdb_gpu_batch_queries_total", "counter", "Queries in those batches.", [({}, figures.n_batched)]),
        ("vdb_gpu_batch_requests_total", "counter", "Requests that those batches had a part of.",
         [({}, figures.n_requests)]),
        ("vdb_gpu_batch_waits_total", "counter", "Batches that waited for more queries.", [({}, figures.n_waits)]),
        ("vdb_gpu_queries_waiting", "gauge", "Queries that wait for the GPU.", [({}, accelerator.n_waiting)]),
        ("vdb_gpu_out_of_memory_total", "counter", "How often the GPU was out of memory.",
         [({}, figures.n_out_of_memory)]),
        ("vdb_gpu_failures_total", "counter", "How often the GPU failed otherwise.", [({}, figures.n_failures)]),
        ("vdb_gpu_resident_bytes", "gauge", "Bytes of the collection's index in the GPU's memory.",
         _per_collection(services, accelerator)),
        ("vdb_gpu_resident_most_bytes", "gauge", "Bytes that indexes may take there together.",
         [({}, accelerator.residents.most_bytes)]),
        ("vdb_gpu_pages_total", "counter", "Pages of 4,096 rows of indexes that came to the GPU, and went.",
         [({"way": "in"}, traffic.n_pages_in), ({"way": "out"}, traffic.n_pages_out)]),
        ("vdb_gpu_synced_rows_total", "counter", "Rows there that writes added or ended.", [({}, traffic.n_rows)]),
    ]  # fmt: skip


def _per_collection(services: Services, accelerator: Accelerator) -> list[tuple[dict[str, str], float]]:
    found: list[tuple[dict[str, str], float]] = []
    for shard in services.shards.open_shards():
        document = services.catalog.names.by_id(shard.collection.id)
        if document is not None:
            n_bytes = accelerator.residents.nbytes_of(shard.index.current)
            found.append(({"collection": document.name}, n_bytes))
    return found
