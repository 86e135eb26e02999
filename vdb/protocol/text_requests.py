"""Request shapes of what is learned of searches by text. Conventions: `vdb.protocol.requests`."""

from typing import Literal

from msgspec import UNSET, UnsetType

from vdb.protocol.requests import Request, Vector


class JudgedQuery(Request):
    """A query and the ids of the points that answer it, each with a grade, 1 and more; 0 is a point that does not.

    `tenant` is who asks; not given: the tenant of the request.
    """

    relevant: dict[str, int]
    text: str
    vector: Vector | UnsetType = UNSET
    tenant: str | UnsetType = UNSET


class LearnFusion(Request):
    """Learn how a collection's legs are to be fused, from judged queries, and keep it if it wins.

    The metric is `ndcg` or `recall` at `at`. `field`: `relevant` names values of that payload field instead of ids of
    points, as `document` does. With `dry_run` nothing is kept.
    """

    queries: list[JudgedQuery]
    metric: Literal["ndcg", "recall", "mrr"] = "ndcg"
    at: int = 10
    field: str | UnsetType = UNSET
    dry_run: bool = False
    min_sequence: int = 0
    timeout_s: float = 10.0
