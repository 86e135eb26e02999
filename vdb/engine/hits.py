"""Hits of an answer, made of what was found and checked."""

from collections.abc import Sequence

from msgspec import UNSET

from vdb.engine.answer_size import AnswerSize
from vdb.engine.read import payload_of
from vdb.engine.services import Services
from vdb.protocol.answers import Hit
from vdb.storage.codec import Record

__all__ = ["hits_of"]


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
    size.add(*[record for _, _, _, record in found])
    hits = []
    for distance, _, owner, record in found:
        name = names.get(owner)
        if name is None:
            name = names[owner] = services.tenant_name(owner)
        payload = payload_of(record) if with_payload else UNSET
        hits.append(Hit(id=record.id.decode(), owner=name, distance=distance, version=record.version, payload=payload))
    return hits
