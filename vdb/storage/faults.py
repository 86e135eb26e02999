"""What a check of a data directory finds: faults, bounded in number."""

from dataclasses import dataclass, field

MAX_FAULTS = 1_000
"""A broken directory can have one fault per point; past this many they are only counted."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One broken invariant: `where` names the file, document or point, `what` says what is wrong with it."""

    where: str
    what: str


@dataclass(slots=True)
class Findings:
    """Collects faults, and counts what was looked at."""

    faults: list[Fault] = field(default_factory=list)
    n_faults: int = 0
    n_collections: int = 0
    n_tenants: int = 0
    n_points: int = 0
    n_caches: int = 0
    n_entries: int = 0
    older: dict[str, int] = field(default_factory=dict)
    """Environments of an older format, checked by its rules: place → format."""

    def add(self, where: str, what: str) -> None:
        self.n_faults += 1
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(Fault(where, what))

    def expect(self, is_right: bool, where: str, what: str) -> None:
        """A fault unless `is_right`."""
        if not is_right:
            self.add(where, what)
