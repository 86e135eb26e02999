"""The ledgers: what was acknowledged, and what was under way when the server or the power went.

A ledger belongs to one writer, whose points nobody else writes and who has one request in flight at most. So after a
crash its points are exactly those before that request or exactly those after it; anything else is a fault. `note`
receives every event as a JSON object, and `replay` takes it back, so that a ledger can be rebuilt at any moment of a
recorded run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

Note = Callable[[dict[str, Any]], None]

FILL_POINTS = 7
"""Points that the administrator puts into a collection of its own."""

MAX_DEAD_SECRETS = 20
"""Secrets of withdrawn keys that are tried after a crash."""


class Stored(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a point; `version` 0: not known, the request was never answered."""

    payload: str
    vector: tuple[float, ...] | None
    shared: tuple[str, ...] = ()
    version: int = 0

    def agrees(self, other: "Stored") -> bool:
        """Whether both are the same point; an unknown version agrees with any."""
        same = (self.payload, self.vector, self.shared) == (other.payload, other.vector, other.shared)
        return same and (self.version == other.version or 0 in (self.version, other.version))


Changes = Mapping[str, Stored | None]
"""What a request does to a writer's points by id; None deletes."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind`: lost, partial, foreign, missing, count, search, refused, check, catalog."""

    kind: str
    where: str
    what: str


class Ledger:
    """One writer's points. Used by that writer's thread, and by the verifier while the writer rests."""

    def __init__(self, name: str, tenant: str, note: Note | None = None) -> None:
        self.name = name
        self.tenant = tenant
        self.points: dict[str, Stored] = {}
        self.in_flight: Changes | None = None
        self.n_acknowledged = 0
        self._note = note

    def begin(self, changes: Changes) -> None:
        """Call before the request is sent."""
        self._tell({"begin": msgspec.to_builtins(changes)})
        self.in_flight = dict(changes)

    def acknowledge(self, sequence: int) -> None:
        """The request was answered with its sequence: from now on it must not be lost."""
        self._settle(sequence)
        self._tell({"acknowledge": sequence})

    def refuse(self) -> None:
        """The request was refused: it changed nothing."""
        self.in_flight = None
        self._tell({"refuse": True})

    def replay(self, event: dict[str, Any]) -> None:
        """Take an event that `note` was given."""
        if "begin" in event:
            self.in_flight = msgspec.convert(event["begin"], dict[str, Stored | None])
        elif "acknowledge" in event:
            self._settle(event["acknowledge"])
        else:
            self.in_flight = None

    def judge(self, observed: Mapping[str, Stored]) -> list[Fault]:
        """Faults of what was found after a crash."""
        if not differences(self.points, observed):
            return []
        if self.in_flight is None:
            return self._lost(observed)
        after = _applied(self.points, self.in_flight)
        wrong = differences(after, observed)
        if not wrong:
            return []
        if set(wrong) <= set(self.in_flight) and set(differences(self.points, observed)) <= set(self.in_flight):
            return [Fault("partial", self.name, f"{len(wrong)} of {len(self.in_flight)} points of one request missing")]
        return self._lost(observed)

    def adopt(self, observed: Mapping[str, Stored]) -> None:
        """Go on from what is there."""
        self.points = dict(observed)
        self.in_flight = None

    def _lost(self, observed: Mapping[str, Stored]) -> list[Fault]:
        under_way = set(self.in_flight or ())
        wrong = [point_id for point_id in differences(self.points, observed) if point_id not in under_way]
        return [
            Fault("lost", f"{self.name}/{i}", f"acknowledged {self.points.get(i)}, found {observed.get(i)}")
            for i in wrong or under_way
        ]

    def _settle(self, sequence: int) -> None:
        assert self.in_flight is not None, "acknowledged without a request"
        known = {
            point_id: msgspec.structs.replace(new, version=sequence) if new is not None and not new.version else new
            for point_id, new in self.in_flight.items()
        }
        self.points = _applied(self.points, known)
        self.in_flight = None
        self.n_acknowledged += 1

    def _tell(self, event: dict[str, Any]) -> None:
        if self._note is not None:
            self._note({"ledger": self.name} | event)


def differences(expected: Mapping[str, Stored], observed: Mapping[str, Stored]) -> list[str]:
    """Ids whose point is not the same on both sides."""
    wrong = [i for i, point in expected.items() if i not in observed or not point.agrees(observed[i])]
    return wrong + [i for i in observed if i not in expected]


def _applied(points: Mapping[str, Stored], changes: Changes) -> dict[str, Stored]:
    merged = {**points, **changes}
    return {point_id: point for point_id, point in merged.items() if point is not None}


class CatalogLedger:
    """Collections (name → points put into each), keys (id → secret) and deleted keys' secrets, by one administrator."""

    name = "catalog"

    def __init__(self, note: Note | None = None) -> None:
        self.collections: dict[str, int] = {}
        self.keys: dict[str, str] = {}
        self.dead_secrets: list[str] = []
        self.in_flight: tuple[str, str] | None = None
        self.n_acknowledged = 0
        self._note = note

    def begin(self, action: str, name: str) -> None:
        """Actions: create, fill, drop (a collection), issue, withdraw (a key)."""
        self.in_flight = (action, name)
        self._tell({"begin": [action, name]})

    def acknowledge(self, answer: list[Any]) -> None:
        """`answer`: the number of points put by fill, [id, secret] of an issued key, else nothing."""
        self._settle(answer)
        self._tell({"acknowledge": answer})

    def refuse(self) -> None:
        self.in_flight = None
        self._tell({"refuse": True})

    def replay(self, event: dict[str, Any]) -> None:
        if "begin" in event:
            self.in_flight = tuple(event["begin"])
        elif "acknowledge" in event:
            self._settle(event["acknowledge"])
        else:
            self.in_flight = None

    def judge(self, collections: Mapping[str, int], keys: set[str]) -> list[Fault]:
        """Faults of the collections (name → number of points) and key ids found after a crash."""
        action, name = self.in_flight or ("", "")
        faults = [
            Fault("catalog", wanted, f"collection with {n} points, found {collections.get(wanted)}")
            for wanted, n in self.collections.items()
            if collections.get(wanted) not in self._allowed(wanted, n)
        ]
        extra = set(collections) - set(self.collections) - ({name} if action == "create" else set())
        faults += [Fault("catalog", unknown, "a deleted collection is back") for unknown in extra]
        lost = set(self.keys) - keys - ({name} if action == "withdraw" else set())
        faults += [Fault("catalog", key_id, "an acknowledged key is gone") for key_id in lost]
        if len(keys - set(self.keys)) > (action == "issue"):
            faults.append(Fault("catalog", "keys", f"{len(keys - set(self.keys))} keys nobody made"))
        return faults

    def adopt(self, collections: Mapping[str, int], keys: set[str]) -> None:
        """Go on from what is there; the secret of a key whose answer never came is unknown and empty."""
        self.collections = dict(collections)
        self.keys = {key_id: self.keys.get(key_id, "") for key_id in keys}
        self.in_flight = None

    def _allowed(self, name: str, n_points: int) -> set[int | None]:
        """Numbers of points that a collection may have; None: it may be gone."""
        action, under_way = self.in_flight or ("", "")
        if under_way != name:
            return {n_points}
        return {n_points, FILL_POINTS} if action == "fill" else {n_points, None}

    def _settle(self, answer: list[Any]) -> None:
        assert self.in_flight is not None, "acknowledged without a request"
        action, name = self.in_flight
        if action in ("create", "fill"):
            self.collections[name] = FILL_POINTS if action == "fill" else 0
        elif action == "drop":
            del self.collections[name]
        elif action == "issue":
            self.keys[answer[0]] = answer[1]
        else:
            self.dead_secrets.append(self.keys.pop(name))
            del self.dead_secrets[:-MAX_DEAD_SECRETS]
        self.in_flight = None
        self.n_acknowledged += 1

    def _tell(self, event: dict[str, Any]) -> None:
        if self._note is not None:
            self._note({"ledger": self.name} | event)
