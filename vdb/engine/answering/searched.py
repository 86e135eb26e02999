"""The search of an answer: kept from earlier while it holds (`vdb.engine.answering.result_sets`), or made now."""

from concurrent.futures import Future

from vdb.engine.names import PinnedName
from vdb.engine.search import search
from vdb.engine.services import Services
from vdb.engine.shard import Shard, epoch_ms
from vdb.protocol.answers import SearchAnswer
from vdb.protocol.requests import Search
from vdb.storage.catalog import CollectionDocument
from vdb.storage.keyspace import Space, expiry_key
from vdb.tenancy.access import check_tenant_exists
from vdb.types import Caller

__all__ = ["searched"]


def searched(
    services: Services, caller: Caller, collection: CollectionDocument, request: Search, *, may_be_kept: bool = True
) -> SearchAnswer:
    """What `vdb.engine.search.search` answers to a search of one query; do not change it, others may get the same.

    Waits for models where it has to. Raises as that does.
    """
    path = (PinnedName(collection.name, collection.id),)
    sets = services.result_sets
    key = sets.key_of(collection, request) if may_be_kept else None
    if key is None:
        return _made(services, caller, path, request)
    document = services.usable(caller, path[0])
    tenant_id = check_tenant_exists(caller)
    with services.shard_for_read(document, request) as shard:
        kept = sets.find(tenant_id, key, document, shard.touched, request.min_sequence)
    if kept is not None:
        return kept
    began_ms = epoch_ms()
    answer = _made(services, caller, path, request)
    with services.shards.use(document) as shard:
        expires_ms = _next_expiry_ms(shard, began_ms)
    sets.keep(tenant_id, key, document, answer, expires_ms)
    return answer


def _made(services: Services, caller: Caller, path: tuple[str, ...], request: Search) -> SearchAnswer:
    found = search(services, caller, path, request, None)
    return found.result() if isinstance(found, Future) else found


def _next_expiry_ms(shard: Shard, since_ms: int) -> int:
    """When the first point of the collection expires that had not at `since_ms`, 0 for never.

    Of anybody's: also a candidate that is no hit has a part in what the others score.
    """
    with shard.env.read() as txn, txn.cursor() as cursor:
        if not cursor.set_range(expiry_key(since_ms + 1, 0)):
            return 0
        key = cursor.key()
        return int.from_bytes(key[1:9], "big") if key[:1] == bytes((Space.EXPIRY,)) else 0
