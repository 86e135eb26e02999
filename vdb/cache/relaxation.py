"""Load relaxation with hysteresis: how far a bar may be lowered while the model behind the cache is overloaded.

Load is a number in [0, 1], smoothed over lookups. Relaxation begins when it passes `ON` and ends below `OFF`, so that a
load near one of them does not switch back and forth; in between it is in proportion to the load.
"""

ON = 0.7
OFF = 0.4
SMOOTHING = 1 / 16
"""Weight of a lookup's load in the smoothed one."""


class Relaxation:
    """The state of one (tenant, category). Threads may race: an update is lost at worst."""

    __slots__ = ("is_on", "smoothed")

    def __init__(self) -> None:
        self.smoothed = 0.0
        self.is_on = False

    def level(self, load: float) -> float:
        """Take note of a lookup's load; returns the share of the greatest relaxation, 0 while it is off."""
        smoothed = self.smoothed + SMOOTHING * (min(max(load, 0.0), 1.0) - self.smoothed)
        self.smoothed = smoothed
        if smoothed >= ON:
            self.is_on = True
        elif smoothed < OFF:
            self.is_on = False
        return smoothed if self.is_on else 0.0
