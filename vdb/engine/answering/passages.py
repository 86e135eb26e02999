"""Points as passages: the text and place of a chunk, read from its payload, whoever wrote that."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, overload

import msgspec
from msgspec import Struct

from vdb.engine.document_payloads import main_field
from vdb.protocol.answers import Hit
from vdb.rag.passage import Passage
from vdb.storage.catalog import CollectionDocument

__all__ = ["FoundPassages", "PassageReader"]


class _Place(Struct):
    """Members of any type: a payload may have been written by a tenant."""

    text: Any = None
    title: Any = None
    heading: Any = None
    document: Any = None
    chunk: Any = None
    start: Any = None
    end: Any = None
    page: Any = None


class PassageReader:
    """Reads the passages of one collection. Any thread may use it."""

    def __init__(self, collection: CollectionDocument) -> None:
        self._decode = _decoder(main_field(collection))

    def read(self, point_id: str, owner: str, version: int, score: float, payload: bytes) -> Passage:
        """The point as a passage; its text is "" where the payload has none."""
        place = self._decode(payload) if payload else _NOTHING
        text, title, heading, document = place.text, place.title, place.heading, place.document
        chunk, start, end, page = place.chunk, place.start, place.end, place.page
        return Passage(
            point_id,
            owner,
            version,
            text if type(text) is str else "",
            score,
            title if type(title) is str else "",
            tuple(part for part in heading if type(part) is str) if type(heading) is list else (),
            document if type(document) is str else "",
            chunk if type(chunk) is int and chunk >= 0 else None,
            start if type(start) is int and start >= 0 else None,
            end if type(end) is int and end >= 0 else None,
            page if type(page) is int and page >= 0 else None,
        )


_NOTHING = _Place()


class FoundPassages(Sequence[Passage]):
    """The passages of hits, in their order, each read when it is first asked for: of fifty, an answer reads the best.

    `scores` (n,) are theirs. Belongs to one thread.
    """

    def __init__(self, collection: CollectionDocument, hits: Sequence[Hit]) -> None:
        self._reader = PassageReader(collection)
        self._hits = hits
        self._known: list[Passage | None] = [None] * len(hits)
        given: list[Any] = [hit.score for hit in hits]
        self.scores = [float(score) for score in given]

    def __len__(self) -> int:
        return len(self._hits)

    @overload
    def __getitem__(self, place: int) -> Passage: ...
    @overload
    def __getitem__(self, place: slice) -> list[Passage]: ...
    def __getitem__(self, place: int | slice) -> Passage | list[Passage]:
        if isinstance(place, slice):
            return [self[at] for at in range(*place.indices(len(self)))]
        known = self._known[place]
        if known is None:
            hit, score = self._hits[place], self.scores[place]
            known = self._reader.read(hit.id, hit.owner, hit.version, score, bytes(hit.payload))
            self._known[place] = known
        return known


@lru_cache(maxsize=256)
def _decoder(field: str) -> Any:
    """Decodes payloads whose text stands in `field`."""
    if field == "text":
        return msgspec.json.Decoder(_Place).decode
    members = [name for name in _Place.__struct_fields__ if name not in ("text", field)]
    fields = [("text", Any, None), *((name, Any, None) for name in members)]
    shape = msgspec.defstruct("_Named", fields, rename={"text": field}, bases=(), namespace={})
    missing = {name: None for name in _Place.__struct_fields__ if name not in shape.__struct_fields__}
    if not missing:
        return msgspec.json.Decoder(shape).decode
    return msgspec.json.Decoder(msgspec.defstruct("_NamedAs", [], bases=(shape,), namespace=missing)).decode
