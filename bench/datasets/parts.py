"""What a data set is made of, before its exact neighbours are known."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.tenants.growth import generated
from bench.tenants.store import Store, save
from bench.tenants.workload import Access, Float32s, Int32s, Truth

__all__ = ["QUICK", "Maker", "Parts", "stand_in"]

QUICK = (2_000, 32, 50)
"""Rows, dimension and queries of what is generated in the place of a set."""


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Vectors float32 (n, d) as they lie in the store under `vectors_key`, and queries float32 (q, d).

    `metric` is "l2", "cosine" (all of length 1) or "ip". `key` names vectors, queries and access together. `access` and
    `askers` int32 (q,): who sees which rows and who asks; None: one tenant owns all and asks. `truth`: exact neighbours
    that are known already. `recorded`: queries of the same kind that are never asked, where they are unlike the points.
    `name`: for the report, where what was asked for is none to show. `about`: for the report.
    """

    metric: str
    vectors: Float32s
    vectors_key: str
    queries: Float32s
    key: str
    access: Access | None = None
    askers: Int32s | None = None
    truth: Truth | None = None
    recorded: Float32s | None = None
    name: str | None = None
    about: dict[str, object] = field(default_factory=dict)


Maker = Callable[[str, Store, int, bool], Parts | None]
"""Makes the set of that name, None for a name of another kind: name, store, seed, whether a small one will do."""


def stand_in(metric: str, store: Store, seed: int) -> Parts:
    """A small generated set of length-1 vectors in the place of one that is read from files."""
    key = f"stand-in-s{seed}"

    def write(folder: Path) -> None:
        drawn = generated(*QUICK, seed)
        save(folder, {"vectors": drawn.vectors, "queries": drawn.queries})

    kept = store.arrays(key, write)
    return Parts(metric, kept["vectors"], key, kept["queries"], f"{key}-{metric}", about={"source": "a stand-in"})
