"""Each value once, by sorting.

NumPy's `unique` puts integers into a hash table (2.3 and later), alone with the interpreter's lock: a million uint32
take .5 to 1 s, and all other threads stand still. Sorting them takes 7 ms, and others run meanwhile.
"""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)


def distinct(values: NDArray[T]) -> NDArray[T]:
    """The values of (n,) integers, ascending, each once."""
    found = np.sort(values)
    return found[is_first(found)]


def is_first(ordered: NDArray[Any]) -> NDArray[np.bool_]:
    """Of (n,) values in which equal ones are neighbours: which differ from the one before."""
    first = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return first
