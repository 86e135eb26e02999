"""From values to places on an axis, with its ticks: linear in the logarithm of a value, or of what recall lacks."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["BEST_RECALL", "Scale", "logarithmic", "of_recall"]

BEST_RECALL = 0.9995
"""What finds more is drawn here: a thousand queries cannot tell it from finding all."""
_RECALLS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, BEST_RECALL)
_STEPS = (1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from `low` to `high`, with `ticks` at values and their labels; `straight` makes distances even."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    straight: Callable[[float], float]

    def share(self, value: float) -> float:
        """Where a value lies on the axis, 0 at its low end and 1 at its high one; what lies beyond is at the end."""
        low, high = self.straight(self.low), self.straight(self.high)
        at = self.straight(min(max(value, self.low), self.high))
        return (at - low) / (high - low)


def logarithmic(values: Sequence[float]) -> Scale:
    """A logarithmic axis over positive values, from a round number to a round number."""
    low, high = _round_down(min(values)), _round_up(max(values))
    if low == high:
        low, high = low / 2, high * 2
    ticks = tuple((tick, _short(tick)) for tick in _rounds(low, high))
    return Scale(low, high, ticks, math.log10)


def of_recall(values: Sequence[float]) -> Scale:
    """An axis of recall: each tenfold of what is missed takes as much room, since that is what costs."""
    low = max((tick for tick in _RECALLS[:5] if tick <= min(values)), default=_RECALLS[0])
    ticks = tuple((tick, _recall_text(tick)) for tick in _RECALLS if tick >= low)
    return Scale(low, BEST_RECALL, ticks, lambda recall: -math.log10(1 - recall))


def _recall_text(recall: float) -> str:
    return f"≥ {recall:g}".replace("0.", ".") if recall == BEST_RECALL else f"{recall:g}".replace("0.", ".")


def _rounds(low: float, high: float) -> list[float]:
    """Of 1, 2 and 5 with their tens, those in between; whole tens alone where there would be many."""
    exponents = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    found = [step * 10.0**power for power in exponents for step in _STEPS]
    inside = [value for value in found if low * 0.999 <= value <= high * 1.001]
    tens = [value for value in inside if abs(math.log10(value) - round(math.log10(value))) < 1e-9]
    return tens if len(inside) > 10 and len(tens) > 2 else inside


def _round_down(value: float) -> float:
    power = math.floor(math.log10(value))
    return max(step * 10.0**power for step in _STEPS if step * 10.0**power <= value * 1.0001)


def _round_up(value: float) -> float:
    power = math.floor(math.log10(value))
    return min(step * 10.0**power for step in (*_STEPS, 10.0) if step * 10.0**power >= value * 0.9999)


def _short(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"
