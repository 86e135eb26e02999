"""What a kernel must do at least, counted before it runs, and what share of the measured ceilings its time is.

Bytes are those that device memory must give or take once, however often a cache repeats them; operations count a
multiplication and an addition as two. A floor is the longest of the times that the ceilings leave for each.
"""

from dataclasses import dataclass
from enum import StrEnum

from bench.gpu.peaks import Ceilings
from bench.report import Figure

__all__ = ["Unit", "Work", "seconds"]


class Unit(StrEnum):
    """What computes: tensor cores on 16 bits, float32 cores, or dot products of bytes, which have no ceiling here."""

    HALF = "16-bit"
    FLOAT = "float32"
    BYTES = "byte"


@dataclass(frozen=True, slots=True)
class Work:
    """One call's least: `n_bytes` of device memory, `n_operations` of a unit, `n_carried` bytes to or from the host."""

    name: str
    n_bytes: float
    n_operations: float
    unit: Unit
    n_carried: float = 0.0

    def times_s(self, ceilings: Ceilings) -> dict[str, float]:
        """What each of the ceilings leaves: seconds by the name of what binds."""
        times = {"memory": self.n_bytes / ceilings.copied_bytes_per_s}
        rate = {Unit.HALF: ceilings.half_per_s, Unit.FLOAT: ceilings.float_per_s}.get(self.unit)
        if rate:
            times["products"] = self.n_operations / rate
        if self.n_carried:
            times["host link"] = self.n_carried / ceilings.carried_bytes_per_s
        return times

    def floor_s(self, ceilings: Ceilings) -> float:
        """No call can be shorter, the host link left out: what is on the device is what kernels are judged by."""
        times = self.times_s(ceilings)
        return max(seconds for name, seconds in times.items() if name != "host link")

    def counted(self, ceilings: Ceilings) -> str:
        """The line that is printed before anything runs."""
        times = ", ".join(f"{_in_words(seconds)} by {name}" for name, seconds in self.times_s(ceilings).items())
        operations = f"{self.n_operations / 1e12:.3g} T {self.unit} operations"
        carried = f", {self.n_carried / 1e9:.3g} GB over the host link" if self.n_carried else ""
        return f"{self.name}: {self.n_bytes / 1e9:.3g} GB, {operations}{carried}; at least {times}"

    def memory_share(self, ceilings: Ceilings, seconds: float) -> float:
        """Of the bandwidth of copies, counted read and written."""
        return self.n_bytes / seconds / ceilings.copied_bytes_per_s

    def product_share(self, ceilings: Ceilings, seconds: float) -> float:
        """Of the rate of matrix products of its unit."""
        rate = ceilings.half_per_s if self.unit is Unit.HALF else ceilings.float_per_s
        return self.n_operations / seconds / rate


def _in_words(seconds: float) -> str:
    """A time in words."""
    return f"{seconds * 1e3:.3g} ms"


def seconds(name: str, runs: list[float]) -> Figure:
    """The figure of a time: the median of runs, in ms."""
    in_ms = sorted(run * 1e3 for run in runs)
    middle = len(in_ms) // 2
    value = in_ms[middle] if len(in_ms) % 2 else (in_ms[middle - 1] + in_ms[middle]) / 2
    return Figure(name, value, "ms", runs=tuple(run * 1e3 for run in runs))
