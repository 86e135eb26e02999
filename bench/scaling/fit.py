"""Laws of size: y = a + b·n^c by least squares, how far they are off, and how much they depend on one size.

Three forms: `power` (a = 0, on logarithms), `affine` (c = 1, relative errors, a and b not negative) and `level` (c = 0:
what was measured at the largest size, for what hardly depends on it). Each is fitted again without every size in turn:
the spread of those laws is the range of what is extrapolated. `off` is the honest error of extrapolation: the law of
all sizes but the largest, at the largest, over what was measured there, less 1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64s = NDArray[np.float64]
LEAST_SIZES = {"power": 3, "affine": 2, "level": 1}
"""Sizes that a law of each form needs; with no more than these, none can be left out, and nothing is known of `off`."""


@dataclass(frozen=True, slots=True)
class Curve:
    """y = a + b·n^c."""

    a: float
    b: float
    c: float

    def at(self, n: float) -> float:
        """The value at a size, above 0."""
        return float(self.a + self.b * n**self.c)


@dataclass(frozen=True, slots=True)
class Law:
    """A fitted curve. `residual`: root mean square of its relative errors at the sizes measured, `least` to `most`.

    `others` are the curves without one size each; `off` as the module says.
    """

    curve: Curve
    residual: float
    off: float
    others: tuple[Curve, ...]
    least: float
    most: float

    def at(self, n: float) -> float:
        """The value at a size."""
        return self.curve.at(n)

    def range_at(self, n: float) -> tuple[float, float]:
        """The least and the most that this law and those without one size say."""
        found = [one.at(n) for one in (self.curve, *self.others)]
        return min(found), max(found)

    @property
    def exponents(self) -> tuple[float, float]:
        """The least and the most exponent of those laws."""
        found = [one.c for one in (self.curve, *self.others)]
        return min(found), max(found)


def power(sizes: Float64s, values: Float64s) -> Curve:
    """b·n^c through values above 0, by least squares on logarithms."""
    wanted = np.log(values)
    c, shift = np.polyfit(np.log(sizes), wanted, 1)
    return Curve(0.0, float(np.exp(shift)), float(c))


def affine(sizes: Float64s, values: Float64s) -> Curve:
    """a + b·n by least squares of relative errors; a and b are not negative."""
    parts = np.stack([1 / values, sizes / values], axis=1)
    (a, b), *_ = np.linalg.lstsq(parts, np.ones(len(values)), rcond=None)
    if a < 0:
        a, b = 0.0, _share(parts[:, 1])
    elif b < 0:
        a, b = _share(parts[:, 0]), 0.0
    return Curve(float(a), float(b), 1.0)


def level(sizes: Float64s, values: Float64s) -> Curve:
    """What was measured at the largest size."""
    return Curve(float(values[sizes.argmax()]), 0.0, 0.0)


FORMS: dict[str, Callable[[Float64s, Float64s], Curve]] = {"power": power, "affine": affine, "level": level}


def law(form: str, measured: Mapping[int, float]) -> Law:
    """The law of values by size, of one of `FORMS`. Raises ValueError with fewer sizes than the form needs."""
    if len(measured) < LEAST_SIZES[form]:
        raise ValueError(f"{len(measured)} sizes are too few for this law: {LEAST_SIZES[form]} at least")
    sizes = np.array(sorted(measured), np.float64)
    values = np.array([measured[int(n)] for n in sizes])
    fit = FORMS[form]
    curve = fit(sizes, values)
    errors = np.array([curve.at(n) for n in sizes]) / values - 1
    others: tuple[Curve, ...] = ()
    off = float("nan")
    if len(sizes) > LEAST_SIZES[form]:
        others = tuple(fit(np.delete(sizes, i), np.delete(values, i)) for i in range(len(sizes)))
        off = float(others[-1].at(sizes[-1]) / values[-1] - 1)
    return Law(curve, float(np.sqrt(np.mean(errors**2))), off, others, float(sizes[0]), float(sizes[-1]))


def _share(part: Float64s) -> float:
    return float(part.sum() / (part @ part))
