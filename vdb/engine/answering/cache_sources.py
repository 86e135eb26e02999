"""What a cached answer was made from: its passages as sources, and the search that found them."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vdb.engine.names import PinnedName
from vdb.engine.services import Services
from vdb.protocol.answers import SearchAnswer
from vdb.protocol.cache_requests import HitName, Retrieval, Source
from vdb.protocol.requests import CANDIDATES, Fusion, Reranker, Search
from vdb.rag.passage import Passage
from vdb.storage.cache_codec import CacheEntry
from vdb.storage.catalog import CollectionDocument

__all__ = ["retrieval_of", "sources_of", "stated_sources"]


def sources_of(collection: CollectionDocument, passages: Sequence[Passage]) -> list[Source]:
    """The points of the passages, each once."""
    place = PinnedName(collection.name, collection.id)
    points = dict.fromkeys((passage.owner, passage.id, passage.version) for passage in passages)
    return [Source(collection=place, owner=owner, id=point, version=version) for owner, point, version in points]


def stated_sources(services: Services, entry: CacheEntry) -> list[Source]:
    """The sources of an entry, to be those of another. One whose collection is gone is none that can be seen."""
    return [
        Source(
            collection="" if document is None else PinnedName(document.name, document.id),
            owner=services.tenant_name(source.owner),
            id=source.id.decode(),
            version=source.version,
        )
        for source in entry.sources
        for document in (services.catalog.collection_by_id(source.collection),)
    ]


def retrieval_of(
    collection: CollectionDocument,
    search: Search,
    vector: NDArray[np.float32] | None,
    found: SearchAnswer | None,
    sequence: int,
    most_hits: int,
) -> Retrieval | None:
    """The search as a cache keeps it, `vector` that of the question; `found` None: everything was read at `sequence`.

    None where it could not be made again: it went by a vector that is not known.
    """
    place = PinnedName(collection.name, collection.id)
    made = Retrieval(collection=place, limit=search.limit, filter=search.filter)
    if found is None:
        made.mode, made.sequence = "whole", sequence
        return made
    mode = search.mode if isinstance(search.mode, str) else _widest(collection, vector)
    if mode != "sparse" and vector is None:
        return None
    hits = found.hits if isinstance(found.hits, list) else []
    made.mode, made.sequence, made.params = mode, found.sequence, search.params
    made.hits = [HitName(id=hit.id, owner=hit.owner) for hit in hits[:most_hits]]
    if mode != "sparse":
        assert vector is not None, "it is asked above"
        made.vector = vector  # type: ignore[assignment]
    if mode != "dense":
        made.text, made.fusion = search.text, search.fusion
    elif len(hits) == search.limit and isinstance(hits[-1].distance, float):
        made.distance = hits[-1].distance
    if isinstance(search.reranker, Reranker):
        of_legs = search.fusion.depth if isinstance(search.fusion, Fusion) else CANDIDATES
        made.depth = max(of_legs, search.reranker.depth)
    return made


def _widest(collection: CollectionDocument, vector: NDArray[np.float32] | None) -> Literal["dense", "sparse", "hybrid"]:
    """The mode of a search that names none."""
    if vector is None:
        return "sparse"
    return "dense" if collection.text is None else "hybrid"
