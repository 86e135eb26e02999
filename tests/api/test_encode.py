"""Answers encoded in pieces are the same bytes as those encoded at once."""

from typing import Any

import numpy as np
import pytest
from msgspec import Raw

from vdb.protocol.answers import Counted, Explain, Hit, Hits, Point, Points, ScrollPage, SearchAnswer
from vdb_api.encode import PIECE, encode, encode_in_pieces

SIZES = (0, 1, PIECE, PIECE + 1, 3 * PIECE)
EXPLAIN = Explain(
    path='"hits":[]',
    reason="",
    rows=0,
    queries=1,
    kernels="",
    plan_us=0,
    scan_us=0,
    recheck_us=0,
    payloads_us=0,
    total_us=0,
)


def points(n: int) -> list[Point]:
    payload = Raw(b'{"points":[],"hits":[]}')
    return [
        Point(id=f'"points":[]{i}', owner="acme", version=i, payload=payload, vector=np.full(3, i, np.float32))
        for i in range(n)
    ]


def hits(n: int) -> list[Hit]:
    return [Hit(id=f'"hits":[]{i}', owner="acme", distance=i / 3, version=i) for i in range(n)]


@pytest.mark.parametrize("n", SIZES)
def test_every_kind_of_answer_is_the_same_in_pieces(n: int) -> None:
    answers: list[Any] = [
        Points(points=points(n), sequence=7),
        ScrollPage(points=points(n), next_cursor='"points":[]', sequence=7),
        SearchAnswer(sequence=7, hits=hits(n), explain=EXPLAIN),
        SearchAnswer(sequence=7, results=[Hits(hits=hits(i % 3)) for i in range(n)]),
        Counted(count=n, sequence=7),
    ]
    for answer in answers:
        assert encode_in_pieces(answer) == encode(answer)
