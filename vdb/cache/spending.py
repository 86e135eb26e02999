"""What a (tenant, category) was asked and has served, by score: the counts that budgets are held against.

Two histograms over the bins of `error_model`: `asked`, of the last one to two thousand lookups, forecasts how many a
bar would serve; `served`, of the last hits, says what they cost. How often candidates of a score are wrong changes
while a cache fills, so hits of long ago are not priced by the model of today: with every `SETTLE` hits, half of those
in `served` are settled at the price of the moment. All counts are halved now and then, so that what was spent long ago
does not count for ever, nor what was saved.
"""

import numpy as np

from vdb.cache.error_model import BINS, ErrorModel, Floats

MEMORY = 65_536
"""Requests after which what was spent is halved."""
FORECAST = 2_048
"""Lookups after which the forecast is halved."""
SETTLE = 512
"""Unsettled hits, of which half are settled."""


class Spending:
    """Counts; floats, for they are halved. Threads may race: a count is lost at worst."""

    __slots__ = (
        "asked",
        "n_asked",
        "n_hits",
        "n_reported",
        "n_requests",
        "n_unsettled",
        "served",
        "settled",
        "settled_deviation",
    )

    def __init__(self) -> None:
        self.n_requests = 0.0
        self.n_hits = 0.0
        self.n_reported = 0.0
        self.n_asked = 0.0
        self.n_unsettled = 0.0
        self.asked = [0.0] * BINS
        self.served = [0.0] * BINS
        self.settled = 0.0
        self.settled_deviation = 0.0

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
            self._forget()

    def count_hit(self, number: int) -> None:
        """A hit served from bin `number`."""
        self.n_hits += 1.0
        self.n_unsettled += 1.0
        self.served[number] += 1.0

    def spent(self, model: ErrorModel) -> tuple[float, float]:
        """How many hits were wrong, and its standard error, taken as if all errors of the model went one way."""
        served = np.array(self.served)
        expected, deviation = model.expected(served), model.deviation(served)
        if self.n_unsettled >= SETTLE:
            self.settled += expected / 2.0
            self.settled_deviation += deviation / 2.0
            self.served = [count / 2.0 for count in self.served]
            self.n_unsettled /= 2.0
            expected, deviation = expected / 2.0, deviation / 2.0
        return self.settled + expected, self.settled_deviation + deviation

    def asked_by_bin(self) -> Floats:
        """(BINS,)"""
        return np.array(self.asked)

    def _forget(self) -> None:
        """Halve what was spent, and what it is measured against."""
        for name in ("n_requests", "n_hits", "n_reported", "n_unsettled", "settled", "settled_deviation"):
            setattr(self, name, getattr(self, name) / 2.0)
        self.served = [count / 2.0 for count in self.served]
