"""Comparing an engine's answers with the model's. `Mismatch` says what differs.

A difference that shows a tenant what it may not see is a `ForeignResult`.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from bench.isolation.model import ModelCollection, ModelPoint, Place, Vector, distances
from vdb.types import Metric

ROUNDING = 1e-5

EVERYTHING = {"budget": 1_000_000, "rerank": 1_000}
"""Whatever the tier, searches compare all rows: `params` that have them do so."""


class Mismatch(AssertionError):
    """The engine and the model differ."""


class ForeignResult(Mismatch):
    """A tenant was shown what it may not see."""


@dataclass(frozen=True, slots=True)
class View:
    """A tenant's view of a collection: all that it may be shown at all."""

    collection: ModelCollection
    tenant: str
    allowed: set[Place]


def check_hits(
    view: View,
    query: Vector,
    hits: list[dict[str, Any]],
    expected: list[tuple[Place, ModelPoint]],
    limit: int,
) -> None:
    places = [(hit["owner"], hit["id"]) for hit in hits]
    _check_seen(view, places)
    if len(hits) != min(limit, len(expected)):
        raise Mismatch(f"{len(hits)} hits of {len(expected)} points at limit {limit}")
    exact = distances(
        view.collection.metric, query, [point.vector for _, point in expected if point.vector is not None]
    )
    order = np.argsort(exact, kind="stable")[:limit]
    nearest = [expected[i][0] for i in order]
    if not np.allclose([hit["distance"] for hit in hits], exact[order], atol=ROUNDING):
        raise Mismatch(f"distances {[hit['distance'] for hit in hits]}, the model has {exact[order]}")
    # Of small integers the cosine alone is rounded, so that equal distances may trade places.
    own_distance = dict(zip([place for place, _ in expected], exact, strict=True))
    wrong = places != nearest and (
        view.collection.metric is not Metric.COSINE
        or not np.allclose([own_distance[place] for place in places], exact[order], atol=ROUNDING)
    )
    if wrong:
        raise Mismatch(f"hits {places}, the model has {nearest}")
    by_place = dict(expected)
    for hit, place in zip(hits, places, strict=True):
        if hit["payload"] != by_place[place].payload or hit["version"] != by_place[place].version:
            raise Mismatch(f"hit {hit}, the model has {by_place[place]}")


def check_points(
    view: View,
    listed: list[dict[str, Any]],
    expected: list[tuple[Place, ModelPoint]],
) -> None:
    places = [(point["owner"], point["id"]) for point in listed]
    _check_seen(view, places)
    if places != [place for place, _ in expected]:
        raise Mismatch(f"{view.tenant} is shown {places}, the model has {[place for place, _ in expected]}")
    for shown, (place, point) in zip(listed, expected, strict=True):
        if _shown(shown) != _expected(place, point, view.tenant):
            raise Mismatch(f"{view.tenant} is shown {shown}, the model has {point}")


def _check_seen(view: View, places: list[Place]) -> None:
    foreign = [place for place in places if place not in view.allowed]
    if foreign:
        raise ForeignResult(f"{view.tenant} is shown {foreign} in {view.collection.name}")
    if len(set(places)) != len(places):
        raise Mismatch(f"shown twice: {[place for place, n in Counter(places).items() if n > 1]}")


def check_sequence(
    collection: ModelCollection,
    answer: tuple[dict[str, Any], Any] | None,
    agrees: Callable[[dict[str, Any], Any], bool] = lambda given, expected: True,
) -> None:
    if answer is None:
        return
    given, expected = answer
    if given["sequence"] != collection.sequence or not agrees(given, expected):
        raise Mismatch(f"answered {given}, the model has {expected} at sequence {collection.sequence}")


def _shown(point: dict[str, Any]) -> tuple[Any, ...]:
    expires_at = point.get("expires_at")
    moment = round(datetime.fromisoformat(expires_at).timestamp() * 1000) if expires_at else 0
    vector = point.get("vector")
    shared = point.get("shared_with")
    return point["payload"], vector and tuple(vector), moment, shared, point["version"]


def _expected(place: Place, point: ModelPoint, tenant: str) -> tuple[Any, ...]:
    shared = sorted(point.shared) if place[0] == tenant else None
    return point.payload, point.vector, point.expires_at_ms, shared, point.version
