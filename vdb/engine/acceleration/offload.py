"""What one request does about the accelerator: whether its queries go there, and what is told of where they went."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from msgspec import UNSET

from vdb.engine.acceleration.accelerator import Accelerator
from vdb.engine.acceleration.figures import Declined
from vdb.engine.acceleration.wanted import Abandoned, is_wanted_here
from vdb.engine.plan import Plan, Wish
from vdb.engine.services import Services
from vdb.index.curator.index import CuratorIndex, Found
from vdb.index.curator.resident import Ask

__all__ = ["Backend", "Offload", "may_use", "offload_of", "wish_of_plan"]

Backend = Literal["cpu", "gpu"]


def wish_of_plan(services: Services, plan: Plan) -> Wish:
    """Where a request is to be answered: as it says, else as the server's setting does."""
    return plan.backend or services.settings.backend


def may_use(services: Services, wish: Wish, n_queries: int) -> bool:
    """Whether a request may wait for the accelerator: a single query does only where that is asked for."""
    return services.accelerator is not None and (wish == "gpu" or (wish == "auto" and n_queries > 1))


def offload_of(services: Services, plan: Plan, tenant: int, barred: str = "") -> "Offload":
    """Of a request, made on its thread; `barred`: why the accelerator is not asked."""
    if services.accelerator is None:
        barred = Declined.NO_DEVICE
    return Offload(
        services.accelerator, wish_of_plan(services, plan), services.settings.gpu_from_s, tenant, barred,
        is_wanted_here(),
    )  # fmt: skip


@dataclass(slots=True)
class Offload:
    """Of one request. `barred`: why the accelerator cannot answer it; "" where it may."""

    accelerator: Accelerator | None = None
    wish: Wish = "cpu"
    from_s: float = 0.0
    tenant: int = 0
    barred: str = ""
    is_wanted: Callable[[], bool] = lambda: True
    n_found: int = 0
    reason: str = field(init=False, default="")

    def is_open(self, n_queries: int) -> bool:
        """Whether so many queries may go to the accelerator, whatever they would cost here."""
        if self.accelerator is None or self.barred:
            return False
        return self.wish == "gpu" or (self.wish == "auto" and n_queries > 1)

    def is_worth(self, cpu_s: float) -> bool:
        """Whether what would take so long on the CPU goes to the accelerator."""
        return self.wish == "gpu" or cpu_s >= self.from_s

    def search(self, index: CuratorIndex, asks: Sequence[Ask]) -> list[Found | None]:
        """What the accelerator finds; None for what the CPU is to answer. Raises Abandoned."""
        assert self.accelerator is not None, "is_open comes first"
        found: list[Found | None] = []
        for one in self.accelerator.search(index, self.tenant, asks, self.is_wanted):
            if isinstance(one, str):
                self.reason = str(one)
                found.append(None)
            else:
                self.n_found += 1
                found.append(one)
        if not self.is_wanted():
            raise Abandoned
        return found

    @property
    def backend(self) -> Backend:
        """Where queries were answered: any of them by the accelerator, or none."""
        return "gpu" if self.n_found else "cpu"

    def explain(self) -> dict[str, Any]:
        """For `Explain`: the backend, and why the CPU answered what was to be the accelerator's."""
        reason = self.reason or self.barred
        is_told = reason and (self.n_found or self.wish == "gpu")
        return {"backend": self.backend, "backend_reason": str(reason) if is_told else UNSET}
