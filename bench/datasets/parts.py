"""What a data set is made of, before its exact neighbours are known."""

from dataclasses import dataclass, field

from bench.tenants.workload import Access, Float32s, Int32s

__all__ = ["Parts"]


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Vectors float32 (n, d) as they lie in the store under `vectors_key`, and queries float32 (q, d).

    `metric` is "l2", "cosine" (all of length 1) or "ip". `key` names vectors, queries and access together. `access` and
    `askers` int32 (q,): who sees which rows and who asks; None: one tenant owns all and asks. `about`: for the report.
    """

    metric: str
    vectors: Float32s
    vectors_key: str
    queries: Float32s
    key: str
    access: Access | None = None
    askers: Int32s | None = None
    about: dict[str, object] = field(default_factory=dict)
