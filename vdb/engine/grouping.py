"""At most so many hits of one group: chunks of one document, vectors of one thing. The best of a group speak for it."""

from collections import Counter
from typing import Any

import msgspec

from vdb.engine.scored import Scored
from vdb.protocol.paths import Absent, find
from vdb.protocol.requests import Group

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def grouped(ranked: list[Scored], group: Group | None, limit: int, tenant_id: int) -> list[Scored]:
    """The first `limit` of `ranked` of which no more than the group's size have one value in its field.

    Two owners' values are two groups: what one tenant calls its documents says nothing of another's. A point without
    the field is a group of its own.
    """
    if group is None:
        return ranked[:limit]
    counts: Counter[tuple[int, bytes]] = Counter()
    kept: list[Scored] = []
    for scored in ranked:
        value = find(_decode(scored.record.payload) if scored.record.payload else {}, group.field)
        if not isinstance(value, Absent) and value is not None:
            key = scored.owner, msgspec.json.encode(value)
            counts[key] += 1
            if counts[key] > group.size:
                continue
        kept.append(scored)
        if len(kept) == limit:
            break
    return kept
