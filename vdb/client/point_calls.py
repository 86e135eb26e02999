"""The calls on points, but for upsert (see upload): search, get, delete, scroll, count, payloads, sharing."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET, Raw
from numpy.typing import ArrayLike

from vdb.client.arrays import from_base64, to_query
from vdb.client.retry import Repeat
from vdb.client.wire import Call, call, encode
from vdb.errors import InvalidArgument
from vdb.protocol import answers
from vdb.protocol.calibrating import AnswersCalibrated


class Hits(list[Any]):
    """Neighbours, nearest first: of `Hit` for one query, of one `Hits` per row for a matrix.

    `sequence` is the state of the collection that was searched; `explain` says how, where it was asked for.
    """

    def __init__(self, found: Sequence[Any], sequence: int, explain: answers.Explain | None = None) -> None:
        super().__init__(found)
        self.sequence = sequence
        self.explain = explain


def search(
    collection: str,
    vector: ArrayLike | None,
    filter: Any,
    max_distance: float | None,
    params: dict[str, Any],
    fields: dict[str, Any],
    ranked: dict[str, Any],
) -> Call[Hits]:
    """`params`: exact, recall, budget, rerank, None where not given.

    `fields`: limit, with_payload, with_vector, explain, min_sequence, timeout_s. `ranked`: text (or a list of them),
    mode, fusion, reranker, group, combine, weights, None where not given.
    """
    if vector is None and ranked["text"] is None:
        raise InvalidArgument.at("/vector", "give a vector, a text or both")
    vectors, n_queries = (None, None) if vector is None else to_query(vector)
    head = _with_encoding(fields)
    if n_queries is not None:
        head["n_queries"] = n_queries
    for name, value in ranked.items():
        if value is not None:
            is_several = name == "text" and not isinstance(value, str)
            head["texts" if is_several else name] = listed(value, "/texts") if is_several else value
    if "weights" in head:
        head["weights"] = [float(weight) for weight in listed(head["weights"], "/weights")]
    if filter is not None:
        head["filter"] = filter
    if max_distance is not None:
        head["max_distance"] = max_distance
    if given := {name: value for name, value in params.items() if value is not None}:
        head["params"] = given
    return call("search", (collection,), head, vectors=vectors, finish=_hits)


def learn_fusion(
    collection: str, queries: Sequence[Mapping[str, Any]], field: str | None, fields: dict[str, Any]
) -> Call[answers.FusionLearned]:
    """`fields`: metric, at, dry_run, min_sequence, timeout_s."""
    head = fields | {"queries": _asked(queries, "/queries"), "field": or_unset(field)}
    return call("learn_fusion", (collection,), head, repeat=Repeat.IF_REFUSED)


def calibrate_answers(
    collection: str, questions: Sequence[Mapping[str, Any]], fields: dict[str, Any]
) -> Call[AnswersCalibrated]:
    """`fields`: max_lost, dry_run, min_sequence, timeout_s."""
    head = fields | {"questions": _asked(questions, "/questions")}
    return call("calibrate_answers", (collection,), head, repeat=Repeat.IF_REFUSED)


def _asked(queries: Sequence[Mapping[str, Any]], member: str) -> list[dict[str, Any]]:
    """Judged queries, their vectors as lists."""
    judged = []
    for query in listed(queries, member):
        made = dict(query)
        if made.get("vector") is not None:
            made["vector"] = to_query(made["vector"])[0].tolist()
        judged.append(made)
    return judged


def get(collection: str, ids: Sequence[str], owner: str | None, fields: dict[str, Any]) -> Call[list[answers.Point]]:
    """`fields`: with_payload, with_vector, min_sequence, timeout_s."""
    head = _with_encoding(fields) | {"ids": listed(ids, "/ids"), "owner": or_unset(owner)}
    return call("get_points", (collection,), head, finish=_points)


def delete(
    collection: str,
    ids: Sequence[str] | None,
    filter: Any,
    scope: str,
    owner: str | None,
    if_version: int | None,
) -> Call[answers.Deleted | answers.Job]:
    """By ids the answer is Deleted, by filter a Job."""
    fields = {
        "ids": UNSET if ids is None else listed(ids, "/ids"),
        "filter": or_unset(filter),
        "scope": scope,
        "owner": or_unset(owner),
        "if_version": or_unset(if_version),
    }
    answer = answers.Job if ids is None else answers.Deleted
    repeat = Repeat.ALWAYS if if_version is None else Repeat.NEVER
    return call("delete_points", (collection,), fields, answer=answer, repeat=repeat)


def scroll_page(
    collection: str, filter: Any, cursor: str | None, fields: dict[str, Any]
) -> Call[tuple[list[answers.Point], str | None]]:
    """One page: its points, and the cursor of the next page or None. `fields`: limit, scope and those of get."""
    head = _with_encoding(fields) | {"filter": or_unset(filter), "cursor": or_unset(cursor)}
    return call("scroll", (collection,), head, finish=lambda found: (_points(found), found.next_cursor))


def count(collection: str, filter: Any, fields: dict[str, Any]) -> Call[int]:
    """`fields`: scope, min_sequence, timeout_s."""
    return call("count", (collection,), fields | {"filter": or_unset(filter)}, finish=lambda found: found.count)


def update_payload(
    collection: str,
    ids: Sequence[str],
    payloads: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    mode: str,
    if_version: int | Sequence[int | None] | None,
    owner: str | None,
) -> Call[int]:
    """One payload for all ids, or one for each."""
    names = listed(ids, "/ids")
    bodies = for_each(payloads, len(names), "/payloads", is_one=isinstance(payloads, Mapping))
    versions = for_each(if_version, len(names), "/if_version", is_one=not hasattr(if_version, "__iter__"))
    points = []
    for index, (name, payload, version) in enumerate(zip(names, bodies, versions, strict=True)):
        change = {"id": name, "payload": Raw(encode(payload, f"/points/{index}/payload"))}
        points.append(change if version is None else change | {"if_version": version})
    repeat = Repeat.ALWAYS if if_version is None else Repeat.NEVER
    fields = {"points": points, "mode": mode, "owner": or_unset(owner)}
    return call("update_payload", (collection,), fields, finish=sequence_of, repeat=repeat)


def share(collection: str, action: str, ids: Sequence[str], to: Sequence[str], owner: str | None) -> Call[int]:
    fields = {"action": action, "ids": listed(ids, "/ids"), "to": listed(to, "/to"), "owner": or_unset(owner)}
    return call("share", (collection,), fields, finish=sequence_of)


def or_unset(value: Any) -> Any:
    return UNSET if value is None else value


def listed(values: Any, pointer: str) -> list[Any]:
    """`values` as a list; InvalidArgument for one string, which Python would take apart into characters."""
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise InvalidArgument.at(pointer, "must be a list")
    try:
        return list(values)
    except TypeError as exc:  # an array without dimensions
        raise InvalidArgument.at(pointer, "must be a list") from exc


def for_each(value: Any, n: int, pointer: str, *, is_one: bool) -> list[Any]:
    """A column of n entries: `value` repeated if it is one entry (or None), else its own entries, which must be n."""
    if value is None or is_one:
        return [value] * n
    column = listed(value, pointer)
    if len(column) != n:
        raise InvalidArgument.at(pointer, f"{len(column)} entries for {n} ids")
    return column


def sequence_of(found: Any) -> int:
    return int(found.sequence)


def _with_encoding(fields: dict[str, Any]) -> dict[str, Any]:
    return fields | {"vector_encoding": "base64"} if fields.get("with_vector") else dict(fields)


def _points(found: Any) -> list[answers.Point]:
    points: list[answers.Point] = found.points
    _decode_vectors(points)
    return points


def _hits(found: answers.SearchAnswer) -> Hits:
    explain = None if found.explain is UNSET else found.explain
    if found.results is UNSET:
        return _one(found.hits or [], found.sequence, explain)
    return Hits([_one(row.hits, found.sequence, explain) for row in found.results], found.sequence, explain)


def _one(hits: list[answers.Hit], sequence: int, explain: answers.Explain | None) -> Hits:
    _decode_vectors(hits)
    return Hits(hits, sequence, explain)


def _decode_vectors(found: Sequence[answers.Hit | answers.Point]) -> None:
    for item in found:
        if isinstance(item.vector, str):
            item.vector = from_base64(item.vector)
