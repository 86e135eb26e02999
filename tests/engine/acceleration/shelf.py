"""Books whose index lies on a device: searches by either backend, and what is told of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from tests.engine.driver import wait_until
from tests.engine.indexed.books import TENANTS, Books, D
from vdb.engine.acceleration.accelerator import Accelerator
from vdb.kernels.numpy_device import NumpyDevice
from vdb.protocol.columns import SearchHead
from vdb.protocol.requests import SearchParams

GPU, CPU, AUTO = (SearchParams(backend=name) for name in ("gpu", "cpu", "auto"))


@dataclass
class Shelf:
    """The collection `books` of an engine, and the engine's device."""

    books: Books
    device: NumpyDevice

    @property
    def accelerator(self) -> Accelerator:
        found = self.books.driver.engine.services.accelerator
        assert found is not None
        return found

    def search(self, tenant: str, queries: NDArray[np.float32], limit: int = 8, **given: Any) -> Any:
        """The answer to one query (d,) or several (q, d), explained."""
        head = SearchHead(limit=limit, explain=True, **given)
        if queries.ndim == 2:
            head.n_queries = len(queries)
        return self.books.driver.run("search", tenant, ("books",), head, queries)

    def told(self, **given: Any) -> tuple[str, Any]:
        """Which backend answers a query of acme, and why not the other."""
        explain = self.search("acme", self.queries(1)[0], **{"params": GPU, **given}).explain
        return explain.backend, None if explain.backend_reason is UNSET else explain.backend_reason

    def bring(self) -> None:
        """Until all tenants' searches are the device's."""
        query = np.zeros(D, np.float32)

        def are_there() -> bool:
            return all(self.search(of, query, params=GPU).explain.backend == "gpu" for of in TENANTS)

        wait_until(are_there)

    def queries(self, n: int) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self.books.rng.standard_normal((n, D)).astype(np.float32)
        return found


def hits_of(answer: Any) -> list[list[tuple[str, str, float]]]:
    """(owner, id, distance to 1e-4) of each list of hits."""
    lists = [answer.hits] if answer.hits is not UNSET else [result.hits for result in answer.results]
    return [[(hit.owner, hit.id, round(hit.distance, 4)) for hit in hits] for hits in lists]
