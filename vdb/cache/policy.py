"""The policy of a category: which answers may be served, how sure that must be, how long and how many are kept."""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

Mode = Literal["off", "exact", "shadow", "semantic"]

UNKNOWN = "unknown"
"""The category of questions that no category is known of."""

MODES: tuple[Mode, ...] = ("off", "exact", "shadow", "semantic")
"""From the strictest on."""

LONGEST_TTL_S = 366 * 86_400.0


class ExampleVector(Struct, frozen=True):
    """A question that belongs to the category; `vector` is base64 of little-endian float32, of unit length."""

    text: str
    vector: str


class Policy(Struct, frozen=True, kw_only=True):
    """As `vdb.protocol.cache_requests.PutPolicy` says. Stored documents older than a field have its default."""

    mode: Mode = "semantic"
    threshold: float | None = None
    max_false_per_request: float = 0.01
    max_false_per_hit: float = 0.05
    explore: float = 0.05
    ttl_s: float = 86_400.0
    ttl_jitter: float = 0.1
    reserve_entries: int = 0
    reserve_bytes: int = 0
    max_entries: int | None = None
    max_bytes: int | None = None
    guard: bool = True
    turns: Literal["first", "equal"] = "first"
    relax_similarity: float = 0.0
    relax_ttl: float = 0.0
    compare: Literal["equal", "verdict", "judge"] = "verdict"
    judge_url: str | None = None
    example_threshold: float | None = None
    examples: tuple[ExampleVector, ...] = ()

    @property
    def stores(self) -> bool:
        return self.mode != "off"

    @property
    def compares(self) -> bool:
        """Whether near entries are looked for at all."""
        return self.mode in ("shadow", "semantic")

    def life_ms(self, draw: float, load: float, ttl_s: float | None = None) -> int:
        """Milliseconds that an entry lives: `ttl_s` (of the request; at most the policy's), less a jitter by `draw`
        (0 to 1), more under load."""
        longest_s = self.ttl_s * (1.0 + self.relax_ttl * load)
        chosen_s = longest_s if ttl_s is None else min(ttl_s, longest_s)
        return max(1, int(1e3 * min(chosen_s * (1.0 - self.ttl_jitter * draw), LONGEST_TTL_S)))


STRICTEST = Policy(mode="exact", max_false_per_request=0.0, max_false_per_hit=0.0)
"""Where nothing else is said: equal questions only."""


def strictest(policies: Iterable[Policy]) -> Policy:
    """Each field as the strictest of all has it; `STRICTEST` where there are none. Nothing is reserved."""
    known = list(policies)
    if not known:
        return STRICTEST
    thresholds = [policy.threshold for policy in known]
    fixed = [threshold for threshold in thresholds if threshold is not None]
    offered = [policy.example_threshold for policy in known]
    return Policy(
        mode=MODES[min(MODES.index(policy.mode) for policy in known)],
        threshold=max(fixed) if len(fixed) == len(known) else None,
        max_false_per_request=min(policy.max_false_per_request for policy in known),
        max_false_per_hit=min(policy.max_false_per_hit for policy in known),
        explore=max(policy.explore for policy in known),
        ttl_s=min(policy.ttl_s for policy in known),
        ttl_jitter=max(policy.ttl_jitter for policy in known),
        max_entries=_least(policy.max_entries for policy in known),
        max_bytes=_least(policy.max_bytes for policy in known),
        guard=any(policy.guard for policy in known),
        turns="equal" if all(policy.turns == "equal" for policy in known) else "first",
        relax_similarity=min(policy.relax_similarity for policy in known),
        relax_ttl=min(policy.relax_ttl for policy in known),
        compare="equal" if any(policy.compare == "equal" for policy in known) else "verdict",
        example_threshold=None if None in offered else max(value for value in offered if value is not None),
    )


def _least(caps: Iterable[int | None]) -> int | None:
    return min((cap for cap in caps if cap is not None), default=None)


class Policies:
    """The policies of a cache, in one immutable value: `of` is asked by every lookup."""

    __slots__ = ("_unknown", "by_category")

    def __init__(self, by_category: dict[str, Policy]) -> None:
        self.by_category = dict(sorted(by_category.items()))
        self._unknown = self.by_category.get(UNKNOWN) or strictest(self.by_category.values())

    def of(self, category: str) -> Policy | None:
        """The policy of a category; None where there is none of that name."""
        return self._unknown if category == UNKNOWN else self.by_category.get(category)

    def is_known(self, category: str) -> bool:
        return category == UNKNOWN or category in self.by_category

    def put(self, category: str, policy: Policy) -> "Policies":
        return Policies({**self.by_category, category: policy})

    def without(self, category: str) -> "Policies":
        return Policies({name: policy for name, policy in self.by_category.items() if name != category})
