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
    """What one administrator has made: collections (name → points put into each), their aliases (alias → name), tenants
    of a while (name → points), keys (id → secret) and deleted keys' secrets."""

    name = "catalog"

    def __init__(self, note: Note | None = None) -> None:
        self.collections: dict[str, int] = {}
        self.aliases: dict[str, str] = {}
        self.tenants: dict[str, int] = {}
        self.half_made: set[str] = set()
        self.keys: dict[str, str] = {}
        self.dead_secrets: list[str] = []
        self.in_flight: tuple[str, str] | None = None
        self.n_acknowledged = 0
        self._note = note

    def begin(self, action: str, name: str) -> None:
        """Actions: create, fill, drop (a collection), issue, withdraw (a key), settle, expel (a tenant), and rename (a
        collection) and alias, whose `name` is the old name, or the alias, and the collection's name behind a blank."""
        self.in_flight = (action, name)
        self._tell({"begin": [action, name]})

    def acknowledge(self, answer: list[Any]) -> None:
        """`answer`: the number of points put by fill, [id, secret] of an issued key, else nothing."""
        self._settle(answer)
        self._tell({"acknowledge": answer})

    def refuse(self) -> None:
        self._forget()
        self._tell({"refuse": True})

    def replay(self, event: dict[str, Any]) -> None:
        if "begin" in event:
            self.in_flight = tuple(event["begin"])
        elif "acknowledge" in event:
            self._settle(event["acknowledge"])
        else:
            self._forget()

    def _forget(self) -> None:
        """A refused request changed nothing, but a first write may have made its tenant."""
        action, name = self.in_flight or ("", "")
        self.half_made |= {name} if action == "settle" else set()
        self.in_flight = None

    def judge(
        self,
        collections: Mapping[str, int],
        keys: set[str],
        aliases: Mapping[str, str] | None = None,
        tenants: Mapping[str, int] | None = None,
    ) -> list[Fault]:
        """Faults of the collections (name → number of points), key ids, aliases and tenants found after a crash."""
        faults = self._judge_names(collections, aliases or {}) + self._judge_tenants(tenants or {})
        action, name = self.in_flight or ("", "")
        lost = set(self.keys) - keys - ({name} if action == "withdraw" else set())
        faults += [Fault("catalog", key_id, "an acknowledged key is gone") for key_id in lost]
        if len(keys - set(self.keys)) > (action == "issue"):
            faults.append(Fault("catalog", "keys", f"{len(keys - set(self.keys))} keys nobody made"))
        return faults

    def adopt(
        self,
        collections: Mapping[str, int],
        keys: set[str],
        aliases: Mapping[str, str] | None = None,
        tenants: Mapping[str, int] | None = None,
    ) -> None:
        """Go on from what is there; the secret of a key whose answer never came is unknown and empty."""
        self.collections, self.aliases, self.tenants = dict(collections), dict(aliases or {}), dict(tenants or {})
        self.keys = {key_id: self.keys.get(key_id, "") for key_id in keys}
        self.half_made = set()
        self.in_flight = None

    def _judge_names(self, collections: Mapping[str, int], aliases: Mapping[str, str]) -> list[Fault]:
        """A rename or an alias under way is there wholly, aliases that lead to the renamed one among it, or not."""
        action, name = self.in_flight or ("", "")
        known = (self.collections, self.aliases)
        faults = self._differences(*known, collections, aliases)
        if faults and action in ("rename", "alias"):
            after = _renamed(*known, name) if action == "rename" else _aliased(*known, name)
            return self._differences(*after, collections, aliases) and faults
        return faults

    def _differences(
        self,
        known: Mapping[str, int],
        known_aliases: Mapping[str, str],
        collections: Mapping[str, int],
        aliases: Mapping[str, str],
    ) -> list[Fault]:
        action, name = self.in_flight or ("", "")
        faults = [
            Fault("catalog", wanted, f"collection with {n} points, found {collections.get(wanted)}")
            for wanted, n in known.items()
            if collections.get(wanted) not in self._allowed(wanted, n)
        ]
        extra = set(collections) - set(known) - ({name} if action == "create" else set())
        faults += [Fault("catalog", unknown, "a deleted collection is back") for unknown in extra]
        is_gone = action == "drop" and name not in collections
        wanted_aliases = {alias: to for alias, to in known_aliases.items() if not (is_gone and to == name)}
        if dict(aliases) != wanted_aliases:
            faults.append(Fault("catalog", "aliases", f"they were {wanted_aliases}, found {dict(aliases)}"))
        return faults

    def _judge_tenants(self, tenants: Mapping[str, int]) -> list[Fault]:
        """A tenant that was deleted is gone with its points once its job is done; one being made may have none yet."""
        action, name = self.in_flight or ("", "")
        allowed: dict[str, set[int | None]] = {name: {None, 0} for name in self.half_made}
        allowed |= {known: {n} for known, n in self.tenants.items()}
        if action == "settle":
            allowed[name] = {None, 0, FILL_POINTS}
        elif action == "expel":
            allowed[name] |= {None}
        return [
            Fault(
                "catalog", f"tenant {tenant}", f"found {tenants.get(tenant)} points, not one of {allowed.get(tenant)}"
            )
            for tenant in allowed.keys() | tenants.keys()
            if tenants.get(tenant) not in allowed.get(tenant, set())
        ]

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
            self.aliases = {alias: to for alias, to in self.aliases.items() if to != name}
        elif action in ("rename", "alias"):
            change = _renamed if action == "rename" else _aliased
            self.collections, self.aliases = change(self.collections, self.aliases, name)
        elif action == "settle":
            self.tenants[name] = FILL_POINTS
        elif action == "expel":
            del self.tenants[name]
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


Names = tuple[dict[str, int], dict[str, str]]
"""Collections and aliases."""


def _renamed(collections: Mapping[str, int], aliases: Mapping[str, str], names: str) -> Names:
    old, _, new = names.partition(" ")
    return (
        {new if name == old else name: n for name, n in collections.items()},
        {alias: new if to == old else to for alias, to in aliases.items()},
    )


def _aliased(collections: Mapping[str, int], aliases: Mapping[str, str], names: str) -> Names:
    alias, _, to = names.partition(" ")
    return dict(collections), {**aliases, alias: to}
