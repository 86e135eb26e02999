"""The calls on semantic caches; the sources and the retrieval of an answer. Pure: nothing is sent here."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec import Raw
from numpy.typing import ArrayLike

from vdb.client.arrays import to_query
from vdb.client.point_calls import Hits, listed, or_unset
from vdb.client.retry import Repeat
from vdb.client.wire import Call, call, encode
from vdb.errors import InvalidArgument, VdbError
from vdb.protocol import answers, cache_answers
from vdb.types import NAME

Sources = Mapping[str, Sequence[Any]] | Sequence[Any]
"""Hits or points by collection; or a list of them, or of mappings as the HTTP API has them."""

_LOOKUP_DEFAULTS: dict[str, Any] = {"load": 0.0, "lease": True, "wait_ms": 0, "with_candidate": False}


@dataclass(frozen=True, slots=True)
class Fresh:
    """What `Cache.answer` stores of a new answer: what it was made from, and whether the candidate was right."""

    answer: Any
    sources: Sources = ()
    retrieval: Mapping[str, Any] | None = None
    verdict: str | None = None
    outcome: str = "answer"
    ttl_s: float | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, cached or new.

    `found` is the look-up, None where the cache could not be asked; `stored` what became of a new answer, `error` why
    the cache could not be asked or did not store.
    """

    answer: Any
    found: cache_answers.LookupAnswer | None
    stored: cache_answers.Stored | None = None
    error: VdbError | None = None

    @property
    def is_hit(self) -> bool:
        return self.found is not None and self.found.hit is not None


def create_cache(fields: Mapping[str, Any]) -> Call[cache_answers.Cache]:
    return call("create_cache", fields=fields, repeat=Repeat.IF_REFUSED)


def get_cache(name: str) -> Call[cache_answers.Cache]:
    return call("get_cache", (name,))


def update_cache(name: str, fields: Mapping[str, Any]) -> Call[cache_answers.Cache]:
    return call("update_cache", (name,), fields)


def delete_cache(name: str) -> Call[answers.Done]:
    return call("delete_cache", (name,), repeat=Repeat.IF_REFUSED)


def question(
    text: str | None,
    vector: ArrayLike | None,
    category: str | None,
    scope: str,
    model: str,
    fingerprint: str,
    turns: str,
    retrieval: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The fields that say what is asked; defaults are left out."""
    equal = {"scope": scope, "model": model, "fingerprint": fingerprint, "turns": turns}
    fields: dict[str, Any] = {name: value for name, value in equal.items() if value != ""}
    given = {"text": text, "category": category, "retrieval": retrieval}
    fields |= {name: value for name, value in given.items() if value is not None}
    if vector is not None:
        fields["vector"] = packed(vector)
    return fields


def lookup(
    cache: str, asked: dict[str, Any], load: float, lease: bool, wait_ms: int, with_candidate: bool
) -> Call[cache_answers.LookupAnswer]:
    told = {"load": load, "lease": lease, "wait_ms": wait_ms, "with_candidate": with_candidate}
    return call(
        "cache_lookup", (cache,), asked | {name: value for name, value in told.items() if _is_other(name, value)}
    )


def _is_other(name: str, value: Any) -> bool:
    """Whether a field of a lookup is not its default, which need not travel; False is no number here."""
    default = _LOOKUP_DEFAULTS[name]
    return type(value) is not type(default) or value != default


def store(
    cache: str,
    found: "cache_answers.LookupAnswer | str | None",
    answer: Any,
    asked: dict[str, Any],
    sources: Sources,
    fields: Mapping[str, Any],
) -> Call[cache_answers.Stored]:
    """`fields`: outcome, verdict, lease, ttl_s, None where not given."""
    sent = asked | {name: value for name, value in fields.items() if value is not None}
    if found is not None:
        sent["lookup_id"] = found if isinstance(found, str) else found.lookup_id
    if answer is not None:
        sent["answer"] = Raw(encode(answer, "/answer"))
    if named := sources_of(sources, (asked.get("retrieval") or {}).get("collection")):
        sent["sources"] = named
    return call("cache_store", (cache,), sent, repeat=Repeat.IF_REFUSED)


def feedback(
    cache: str, found: "cache_answers.LookupAnswer | str | None", verdict: str, entry_id: str | None
) -> Call[cache_answers.FeedbackAnswer]:
    lookup_id = found.lookup_id if isinstance(found, cache_answers.LookupAnswer) else found
    fields = {"verdict": verdict, "lookup_id": or_unset(lookup_id), "entry_id": or_unset(entry_id)}
    return call("cache_feedback", (cache,), fields)


def invalidate(cache: str, fields: Mapping[str, Any]) -> Call[cache_answers.Invalidated]:
    """`fields`: entry_ids, source, tenant, category, embedding_version, dry_run; None where not given."""
    given = {name: or_unset(value) for name, value in fields.items()}
    if fields["entry_ids"] is not None:
        given["entry_ids"] = listed(fields["entry_ids"], "/entry_ids")
    return call("cache_invalidate", (cache,), given)


def stats(cache: str) -> Call[cache_answers.CacheStats]:
    return call("cache_stats", (cache,))


def entries_page(
    cache: str, category: str | None, cursor: str | None, page_size: int, with_answer: bool
) -> Call[tuple[list[cache_answers.CachedEntry], str | None]]:
    fields = {
        "category": or_unset(category),
        "cursor": or_unset(cursor),
        "limit": page_size,
        "with_answer": with_answer,
    }
    return call("scroll_entries", (cache,), fields, finish=lambda found: (found.entries, found.next_cursor))


def get_entry(cache: str, entry_id: str) -> Call[cache_answers.CachedEntry]:
    return call("get_entry", (cache, entry_id))


def policies(cache: str) -> Call[cache_answers.Policies]:
    return call("list_policies", (cache,))


def get_policy(cache: str, category: str) -> Call[cache_answers.Policy]:
    return call("get_policy", (cache, category))


def put_policy(cache: str, category: str, fields: Mapping[str, Any]) -> Call[cache_answers.Policy]:
    """Raises InvalidArgument for a category that no path can carry: it is to be made, so "not found" would mislead."""
    if not isinstance(category, str) or not NAME.match(category):
        raise InvalidArgument("a category's name is [a-z0-9][a-z0-9_-]{0,63}")
    sent = dict(fields)
    if "examples" in sent:
        sent["examples"] = [_example(i, given) for i, given in enumerate(listed(sent["examples"], "/examples"))]
    return call("put_policy", (cache, category), sent)


def delete_policy(cache: str, category: str) -> Call[answers.Done]:
    return call("delete_policy", (cache, category), repeat=Repeat.IF_REFUSED)


def packed(vector: ArrayLike, pointer: str = "/vector") -> str:
    """A vector (d,) as base64 of little-endian float32; raises InvalidArgument for anything else."""
    array, n_rows = to_query(vector)
    if n_rows is not None:
        raise InvalidArgument.at(pointer, "must be one vector")
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode()


def retrieval(
    collection: str,
    vector: ArrayLike | None = None,
    *,
    limit: int = 10,
    filter: Mapping[str, Any] | None = None,
    hits: Hits | None = None,
    text: str | None = None,
    mode: str | None = None,
    fusion: Mapping[str, Any] | None = None,
    depth: int | None = None,
) -> dict[str, Any]:
    """The search that an answer is made from: what `collection.search(vector, limit, filter=filter)` answered.

    Before the search, without `vector` and `hits`, it is what a look-up needs of it; with both, what a store needs.
    `text`, `mode` and `fusion` are those of a search by text; the vector is then needed where the search had one, or
    made one. `depth`: of how many candidates a reranker chose the hits. `mode="whole"`: everything was read.
    """
    made: dict[str, Any] = {"collection": collection, "limit": limit}
    told = {"filter": filter, "text": text, "mode": mode, "fusion": fusion, "depth": depth}
    made |= {name: value for name, value in told.items() if value is not None}
    if vector is not None:
        made["vector"] = packed(vector, "/retrieval/vector")
    if hits is not None:
        made["sequence"] = hits.sequence
        if text is not None or mode not in (None, "dense"):
            made["hits"] = [{"id": hit.id, "owner": hit.owner} for hit in hits]
        elif len(hits) == limit:  # with fewer, any new point would be among them
            made["distance"] = hits[-1].distance
    return made


def sources_of(given: Sources, collection: str | None) -> list[dict[str, Any]]:
    """Sources as they travel; hits and points that stand in a list are of `collection`."""
    if isinstance(given, Mapping):
        return [_source(point, name) for name, points in given.items() for point in listed(points, "/sources")]
    return [_source(point, collection) for point in listed(given, "/sources")]


def _source(point: Any, collection: str | None) -> dict[str, Any]:
    if isinstance(point, Mapping):
        return dict(point) if collection is None else {"collection": collection, **point}
    if not isinstance(point, (answers.Hit, answers.Point)):
        raise InvalidArgument.at("/sources", "sources are hits, points or mappings")
    if collection is None:
        raise InvalidArgument.at("/sources", "name the collection of the hits: sources={collection: hits}")
    return {"collection": collection, "owner": point.owner, "id": point.id, "version": point.version}


def _example(i: int, given: Any) -> Any:
    """An example as it travels: a mapping, or a pair of text and vector."""
    text, vector = (given["text"], given["vector"]) if isinstance(given, Mapping) else given
    return {"text": text, "vector": vector if isinstance(vector, str) else packed(vector, f"/examples/{i}/vector")}
