"""What is compared: an index that is built from a workload and answers one tenant's query at a time."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.tenants.workload import Float32s, Workload


class LeftOut(Exception):
    """A contender or a workload takes no part; the message says why, in words for the report."""


class Contender(ABC):
    """One index. The bench calls `build` once, then for each setting `use` and many times `search`, in one thread.

    `settings` are search parameters from fast to thorough, each a short text for the report; an exact one has "".
    """

    name: ClassVar[str]

    @property
    @abstractmethod
    def settings(self) -> Sequence[str]:
        """The search parameters to sweep; read after `build`."""

    @abstractmethod
    def build(self, workload: Workload) -> None:
        """Build from the workload's vectors and access. Raises LeftOut where it cannot, or would take too much."""

    @abstractmethod
    def use(self, setting: str) -> None:
        """Search with these parameters from now on."""

    @abstractmethod
    def search(self, tenant: int, query: Float32s) -> NDArray[np.integer]:
        """The rows (k,) nearest to `query` (d,) float32 that the tenant may see, nearest first; may be padded with −1.

        This call is what is timed: everything that a search needs happens in it.
        """

    @property
    def tenants(self) -> frozenset[int] | None:
        """The tenants it can answer for, or None: all. Only these are asked of it."""
        return None

    @property
    def built_share(self) -> float:
        """The part of what all tenants see that was built, from which memory is scaled up; 1 for all."""
        return 1.0

    def scaled(self, n_bytes: float) -> float:
        """What a growth of memory by so many bytes would have been, had all been built."""
        return n_bytes / self.built_share

    @property
    def facts(self) -> dict[str, float | str]:
        """What the report should know of the build, by name: bytes by its own account, parameters, shortcuts."""
        return {}
