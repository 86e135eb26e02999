"""What a (tenant, category) was asked and has served, by score: the counts that budgets are held against.

Two histograms over the bins of `error_model`: `served`, of all hits, says what was spent; `asked`, of the last one to
two thousand lookups, forecasts how many a bar would serve. All counts are halved now and then, so that the spending of
long ago does not count for ever, nor the thrift.
"""

import numpy as np

from vdb.cache.error_model import BINS, Floats

MEMORY = 65_536
"""Requests after which what was spent is halved."""
FORECAST = 2_048
"""Lookups after which the forecast is halved."""


class Spending:
    """Counts; floats, for they are halved. Threads may race: a count is lost at worst."""

    __slots__ = ("asked", "n_asked", "n_hits", "n_reported", "n_requests", "served")

    def __init__(self) -> None:
        self.n_requests = 0.0
        self.n_hits = 0.0
        self.n_reported = 0.0
        self.n_asked = 0.0
        self.asked = [0.0] * BINS
        self.served = [0.0] * BINS

    def count_request(self, number: int | None) -> None:
        """A request, with a candidate in bin `number` or (None) with none."""
        self.n_requests += 1.0
        self.n_asked += 1.0
        if number is not None:
            self.asked[number] += 1.0
        if self.n_asked >= FORECAST:
            self.n_asked /= 2.0
            self.asked = [count / 2.0 for count in self.asked]
        if self.n_requests >= MEMORY:
            self.n_requests /= 2.0
            self.n_hits /= 2.0
            self.n_reported /= 2.0
            self.served = [count / 2.0 for count in self.served]

    def count_hit(self, number: int) -> None:
        """A hit served from bin `number`."""
        self.n_hits += 1.0
        self.served[number] += 1.0

    def asked_by_bin(self) -> Floats:
        """(BINS,)"""
        return np.array(self.asked)

    def served_by_bin(self) -> Floats:
        """(BINS,)"""
        return np.array(self.served)
