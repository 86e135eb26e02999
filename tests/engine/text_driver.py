"""What tests of text indexes in the engine ask: the ranked points of a tenant, states, keys."""

from collections.abc import Sequence
from typing import Any

from tests.engine.driver import Driver
from vdb.engine.text_indexes import reading_text, text_ready
from vdb.errors import CollectionNotFound, TextIndexBuilding
from vdb.protocol.requests import Empty, UpdateCollection
from vdb.rag.analysis import analyser_of
from vdb.rag.sparse import prepare
from vdb.storage.catalog import CollectionDocument
from vdb.storage.keyspace import Space

TEXT_SPACES = (Space.TEXT_INDEX, Space.TEXT_STATISTICS, Space.POSTINGS)


def document(driver: Driver, collection: str = "notes") -> CollectionDocument:
    found = driver.engine.services.catalog.collection(collection)
    if found is None:
        raise CollectionNotFound(collection)
    return found


def ranked(
    driver: Driver, tenant: str, text: str, collection: str = "notes", limit: int = 1_000
) -> list[tuple[str, float]]:
    """(id, score) of the points a tenant sees, best first; raises TextIndexBuilding."""
    services = driver.engine.services
    found = document(driver, collection)
    tenant_id = services.tenant_id(tenant) or 0
    with services.shards.use(found) as shard, shard.snapshot() as moment, reading_text(services, found):
        index = text_ready(moment.txn, found)
        terms = analyser_of(index.language).terms(text)
        pids, scores = prepare(moment.txn, tenant_id, terms, index.k1, index.b).top(limit)
        ids = dict(_visible(moment.txn))
    return [(ids[pid], score) for pid, score in zip(pids.tolist(), scores.tolist(), strict=True)]


def _visible(txn: Any) -> list[tuple[int, str]]:
    """(pid, id) of all points."""
    entries = [(key, value) for key, value in txn.cursor() if key[0] == Space.POINT_ID]
    return [(int.from_bytes(value, "little"), key[5:].decode()) for key, value in entries]


def names(driver: Driver, tenant: str, text: str) -> list[str]:
    """Ids of the points that a tenant finds, sorted."""
    return sorted(point_id for point_id, _ in ranked(driver, tenant, text))


def state(driver: Driver, collection: str = "notes") -> str | None:
    """What the collection's answer says of its text index."""
    text = driver.run("get_collection", None, (collection,), Empty()).text
    return None if text is None else str(text.state)


def answers(driver: Driver) -> bool:
    """Whether the text index answers; a search finds out what is damaged."""
    try:
        ranked(driver, "acme", "cat")
    except TextIndexBuilding:
        return False
    return True


def update(driver: Driver, **given: Any) -> Any:
    return driver.run("update_collection", None, ("notes",), UpdateCollection(**given))


def text_keys(driver: Driver) -> int:
    """Keys of the text index in the store."""
    services = driver.engine.services
    with services.shards.use(document(driver)) as shard, shard.env.read() as txn:
        return sum(key[0] in TEXT_SPACES for key, _ in txn.cursor())


def write(driver: Driver, tenant: str, texts: Sequence[str], prefix: str = "p", **columns: Any) -> None:
    """Points `p0`, `p1`, … with these texts."""
    ids = [f"{prefix}{i}" for i in range(len(texts))]
    driver.upsert(tenant, "notes", ids, payloads=[{"text": text} for text in texts], **columns)
