"""What happened in a tenant's category since the cache was made: plain counters, stored now and then as JSON."""

from collections import Counter

from msgspec import Struct, field

from vdb.cache.calibration import CalibrationState

COUNTED = (
    "requests", "exact_hits", "semantic_hits", "relaxed_hits", "misses", "explored", "stale_prevented", "labels_right",
    "labels_wrong", "feedback_wrong", "evictions", "expired",
)  # fmt: skip


class Counts(Struct, kw_only=True):
    """Counted without a lock, on the threads of lookups: what two count at one moment may be counted once."""

    requests: int = 0
    exact_hits: int = 0
    semantic_hits: int = 0
    relaxed_hits: int = 0
    misses: int = 0
    explored: int = 0
    stale_prevented: int = 0
    labels_right: int = 0
    labels_wrong: int = 0
    feedback_wrong: int = 0
    evictions: int = 0
    expired: int = 0
    guard_rejects: dict[str, int] = field(default_factory=dict)

    @property
    def n_events(self) -> int:
        """A number that is another once something was counted."""
        return sum(getattr(self, name) for name in COUNTED)

    def reject(self, rule: str) -> None:
        """The guard refused a candidate by this rule."""
        self.guard_rejects[rule] = self.guard_rejects.get(rule, 0) + 1

    def add(self, other: "Counts") -> None:
        """Count what another counted."""
        for name in COUNTED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.guard_rejects = dict(Counter(self.guard_rejects) + Counter(other.guard_rejects))


class Kept(Struct, kw_only=True):
    """What is stored of a tenant's category now and then."""

    counts: Counts
    calibration: CalibrationState | None = None
