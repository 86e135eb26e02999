"""Hits of an answer, made of what was found and checked."""

from collections.abc import Sequence

from msgspec import UNSET, Raw

from vdb.engine.answer_size import AnswerSize
from vdb.engine.owners import is_visible
from vdb.engine.read import EMPTY_PAYLOAD, payload_of
from vdb.engine.services import Services
from vdb.engine.shard import Snapshot
from vdb.protocol.answers import Hit
from vdb.storage.codec import Record, decode_hit, decode_record
from vdb.storage.points import read_values

__all__ = ["hits_of", "stored_hits"]


def hits_of(
    services: Services,
    found: Sequence[tuple[float, int, int, Record]],
    size: AnswerSize,
    with_payload: bool,
    names: dict[int, str],
) -> list[Hit]:
    """The hits of (distance, pid, owner, record), in order, without vectors; raises TooLarge.

    `names` of owners are looked up once a request.
    """
    size.add(len(found), sum([len(record.payload) for _, _, _, record in found]))
    hits = []
    for distance, _, owner, record in found:
        name = names.get(owner)
        if name is None:
            name = names[owner] = services.tenant_name(owner)
        payload = payload_of(record) if with_payload else UNSET
        hits.append(Hit(id=record.id.decode(), owner=name, distance=distance, version=record.version, payload=payload))
    return hits


def stored_hits(
    services: Services,
    snapshot: Snapshot,
    places: Sequence[tuple[int, int]],
    distances: Sequence[float],
    tenant_id: int,
    size: AnswerSize,
    with_payload: bool,
) -> list[Hit] | None:
    """The hits at (owner, pid), in order, without vectors, each made of its stored bytes at once; raises TooLarge.

    None where a point is not there, or the tenant may not see it any more.
    """
    values = read_values(snapshot.txn, places)
    if values is None:
        return None
    hits, n_payload_bytes = [], 0
    names: dict[int, str] = {}
    for value, (owner, _), distance in zip(values, places, distances, strict=True):
        point_id, version, expires_at_ms, payload = decode_hit(value)
        # Most are the tenant's own and never expire: no more is looked at of those.
        if (owner != tenant_id or expires_at_ms) and not is_visible(
            decode_record(value), owner, tenant_id, snapshot.now_ms
        ):
            return None
        name = names.get(owner)
        if name is None:
            name = names[owner] = services.tenant_name(owner)
        n_payload_bytes += len(payload)
        shown = UNSET if not with_payload else Raw(payload) if payload else EMPTY_PAYLOAD
        hits.append(Hit(id=point_id.decode(), owner=name, distance=distance, version=version, payload=shown))
    size.add(len(hits), n_payload_bytes)
    return hits
