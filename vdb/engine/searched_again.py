"""A search by more than its vector, as a cached answer keeps it, and as it is made again.

It has its words, its mode, its fusion and what it may cost. A reranker and groups are left out, they only choose among
the best `depth` candidates: so these are what is found again, and a new one among them may have changed the answer.
"""

from typing import Literal

import msgspec
import numpy as np
from msgspec import UNSET, Struct, UnsetType

from vdb.protocol import cache_requests
from vdb.protocol.requests import Fusion, Search, SearchParams
from vdb.storage.cache_codec import Retrieval

MOST_ATTEMPTS = 4
"""So often a search is made again, where points are written while it is made."""


class SearchedBy(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What of a search is kept beside its vector, filter and limit. `whole`: there was none, all was read."""

    mode: Literal["dense", "sparse", "hybrid", "whole"]
    text: str = ""
    fusion: Fusion | UnsetType = UNSET
    params: SearchParams | UnsetType = UNSET
    depth: int = 0
    """Candidates beyond the limit, 0 for no more than that."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SearchedBy).decode


def kept_search(given: cache_requests.Retrieval) -> bytes:
    """What is stored of a retrieval; empty for one by its vector alone, whose last distance says enough."""
    text = "" if isinstance(given.text, UnsetType) else given.text
    if isinstance(given.mode, UnsetType):
        if not text:
            return b""
        mode: Literal["dense", "sparse", "hybrid", "whole"] = "sparse" if given.vector is UNSET else "hybrid"
    else:
        mode = given.mode
    if mode == "dense" and isinstance(given.depth, UnsetType):
        return b""
    by = SearchedBy(
        mode=mode,
        text=text,
        fusion=given.fusion if mode == "hybrid" else UNSET,
        params=given.params,
        depth=0 if isinstance(given.depth, UnsetType) else given.depth,
    )
    return _encode(by)


def searched_by(retrieval: Retrieval) -> SearchedBy | None:
    """What was kept; None for a search by its vector alone. What cannot be read counts as `whole`: all may matter."""
    if not retrieval.search:
        return None
    try:
        return _decode(retrieval.search)
    except msgspec.MsgspecError:
        return SearchedBy(mode="whole")


def request_of(retrieval: Retrieval, by: SearchedBy) -> Search:
    """The search, to be made again: its best candidates, in their order before any reranker."""
    assert by.mode != "whole", "there was no search"
    filter_ = msgspec.json.decode(retrieval.filter) if retrieval.filter else None
    return Search(
        vector=np.frombuffer(retrieval.vector, "<f4") if retrieval.vector else UNSET,  # type: ignore[arg-type]
        text=by.text if by.mode != "dense" else UNSET,
        mode=by.mode,
        fusion=by.fusion,
        params=by.params,
        limit=max(retrieval.limit, by.depth),
        filter=filter_,
        with_payload=False,
    )
