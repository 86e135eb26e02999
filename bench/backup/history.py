"""What a writer did, in order and with times, and whether a state is that of one instant of all writers.

A writer has one request in flight, so what a snapshot holds of it is the state after its first so many requests, over
all collections; and it is of some moment after the last of them was sent and before the next was answered. The states
of all writers are of one instant if such moments have one in common, between the backup's own request and answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

Place = tuple[str, str]
"""(collection, point id); with an empty id the collection itself."""

State = dict[Place, int]
"""What is where: the token of the request that wrote a point, the number of points of a collection."""

Interval = tuple[float, float]
"""After the first and before the second, in monotonic seconds."""

Changes = Mapping[Place, int | None]


@dataclass(slots=True)
class Request:
    """One request: what it changes, when it was sent and answered (monotonic seconds)."""

    changes: Changes
    sent_at: float
    answered_at: float = inf


@dataclass(slots=True)
class History:
    """One writer's requests. Appended to by its thread; read by others at any time."""

    name: str
    state: State = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def begin(self, changes: Changes, now: float) -> None:
        """Call before the request is sent."""
        self.requests.append(Request(changes, now))

    def acknowledge(self, now: float) -> None:
        """The request was answered."""
        apply(self.state, self.requests[-1].changes)
        self.requests[-1].answered_at = now

    def intervals(self, observed: State, window: Interval) -> list[Interval]:
        """When in `window` the state may have been `observed`: after each number of first requests that gives it."""
        state: State = {}
        found = []
        began = -inf
        for n in range(len(self.requests) + 1):
            if n:
                began = self.requests[n - 1].sent_at
                apply(state, self.requests[n - 1].changes)
            if began > window[1]:
                break
            ended = self.requests[n].answered_at if n < len(self.requests) else inf
            if ended > window[0] and state == observed:
                found.append((began, ended))
        return found


def apply(state: State, changes: Changes) -> None:
    """Make a request's changes to a state."""
    for place, token in changes.items():
        if token is None:
            state.pop(place, None)
        else:
            state[place] = token


def overlaps(some: Sequence[Interval], others: Sequence[Interval]) -> list[Interval]:
    """The times that are in one of both."""
    both = [(max(a, c), min(b, d)) for a, b in some for c, d in others]
    return [(began, ended) for began, ended in both if began < ended]


def faults_of(
    histories: Sequence[History], observed: Mapping[str, State], asked_at: float, answered_at: float
) -> list[str]:
    """Why the observed states, by writer, are not those of one instant between the two times; empty when they are."""
    window = (asked_at, answered_at)
    common = [window]
    for history in histories:
        possible = history.intervals(observed.get(history.name, {}), window)
        if not possible:
            return [f"{history.name}: what was found is not its state at any moment of the backup"]
        common = overlaps(common, possible)
        if not common:
            return [f"{history.name}: what was found is of another moment than the other writers' points"]
    return []
