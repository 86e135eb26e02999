"""Which pages come to a device, and which go for them: those that are asked for most are there.

Pages are wanted together, all that one search reads. They come where there is room, or where as many others are asked
for much less: pages of about the same heat would only take turns. What room is left is filled with all the others.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vdb.index.curator.resident_pages import ResidentPages
from vdb.index.curator.state import State
from vdb.kernels.reference import Int64s

SWAP: Final = 2.0
"""How much more than one that is there a page must be asked for to take its place."""
MOST_WANTED: Final = 1_024
"""Searches whose pages are waited for at once."""


class Wishes:
    """What was asked for and is not there. One thread."""

    def __init__(self) -> None:
        self._wanted: dict[tuple[int, int], Int64s] = {}

    def add(self, key: tuple[int, int], mine: Int64s, everyones: Int64s) -> Int64s | None:
        """Two readings want their pages, ascending; returns all of them, None where that is known already, or full."""
        if key in self._wanted or len(self._wanted) >= MOST_WANTED:
            return None
        pages = np.union1d(mine, everyones)
        self._wanted[key] = pages
        return pages

    def drop(self, key: tuple[int, int]) -> None:
        """Nothing is wanted for these two."""
        self._wanted.pop(key, None)

    def clear(self) -> None:
        """Nothing is wanted any more."""
        self._wanted.clear()

    def are_open(self, pages: ResidentPages | None) -> bool:
        """Whether something may come."""
        if pages is None:
            return False
        return bool(self._wanted) or (pages.n_held < pages.n_slots and pages.n_held < pages.n_known)

    def grant(self, pages: ResidentPages, state: State, heat: NDArray[np.float64], n_most: int) -> None:
        """Have up to `n_most` pages come, the most asked for first; `heat` float64 (n,) of every page.

        What is colder than all that would have to go is forgotten: it is asked for again.
        """
        wanted = sorted(self._wanted.items(), key=lambda item: -float(heat[item[1]].min(initial=np.inf)))
        self._wanted = {}
        for key, its_pages in wanted:
            missing = its_pages[~pages.are_there(its_pages)]
            if n_most <= 0:
                self._wanted[key] = its_pages
            elif len(missing) and _make_room(pages, heat, its_pages, missing, n_most):
                pages.bring(missing[:n_most], state)
                if len(missing) > n_most:
                    self._wanted[key] = its_pages
                n_most -= len(missing)
        n_more = min(n_most, pages.n_slots - pages.n_held)
        if n_more > 0 and pages.n_held < pages.n_known:
            others = np.flatnonzero(~pages.are_there(np.arange(pages.n_known)))
            hottest = others[np.argsort(-heat[others], kind="stable")[:n_more]]
            pages.bring(np.sort(hottest), state)


def _make_room(pages: ResidentPages, heat: NDArray[np.float64], wanted: Int64s, missing: Int64s, n_most: int) -> bool:
    """Have room for the first `n_most` of `missing`; False, and nothing goes, where there cannot be for all."""
    n_free = pages.n_slots - pages.n_held
    if len(missing) <= n_free:
        return True
    others = np.setdiff1d(pages.held, wanted, assume_unique=True)
    cold = others[SWAP * heat[others] < heat[missing].min()]
    if len(cold) < len(missing) - n_free:
        return False
    n_gone = min(len(missing), n_most) - n_free
    if n_gone > 0:
        pages.give_up(cold[np.argsort(heat[cold], kind="stable")[:n_gone]])
    return True
