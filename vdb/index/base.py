"""What an index over one audience offers to the engine, whatever its structure: `Index`, and the `Hits` it returns.

An audience is a set of points read together: a tenant's own, those granted to a tenant, those shared with everyone.
"""

from dataclasses import dataclass
from typing import Protocol, TypeVar

from vdb.kernels import Kernels
from vdb.kernels.reference import Float32s, Int64s, UInt8s

State = TypeVar("State")


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """The nearest rows of each query: ascending, ties by pid; short answers end in row −1 at +inf.

    distance: float32 (q, k), as the API states it (l2 is the root). row: int64 (q, k), rows of the state searched.
    """

    distance: Float32s
    row: Int64s


class Index(Protocol[State]):
    """A `State` is immutable: searches of one state see one set of rows, whatever is written meanwhile."""

    @property
    def state(self) -> State: ...

    @property
    def nbytes(self) -> int: ...

    def search(
        self,
        state: State,
        queries: Float32s,
        k: int,
        sequence: int,
        now_ms: int,
        mask: UInt8s | None = None,
        kernels: Kernels | None = None,
    ) -> Hits: ...
