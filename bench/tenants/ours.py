"""Our own index among the contenders."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.tenants.contender import Contender, LeftOut
from bench.tenants.workload import Float32s, Workload


class Ours(Contender):
    """The shared clustering with tenant directories. Takes no part until there is one."""

    name = "ours"

    @property
    def settings(self) -> Sequence[str]:
        return ()

    def build(self, workload: Workload) -> None:
        raise LeftOut("the index is not built yet")

    def use(self, setting: str) -> None:
        raise LeftOut("the index is not built yet")

    def search(self, tenant: int, query: Float32s) -> NDArray[np.integer]:
        raise LeftOut("the index is not built yet")
