"""The state machine: Hypothesis draws operations of every tenant and role, and shrinks what fails to a short story.

After every rule one tenant looks at one collection in full, in turn, so that each looks often and none is favoured.
"""

import itertools
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bench.isolation.clock import START_MS, Clock
from bench.isolation.model import Matches, Written
from bench.isolation.world import DIMENSION, TENANTS, World
from vdb.index.curator import index as curator_index
from vdb.index.spann import index as lists_index
from vdb.types import EVERYONE, Role, Tier

MEMORY_BYTES = (1 << 30, 4_000, 1)
"""Room for every reading, for some of them, for one at a time."""

INDEX_FROM_POINTS = (0, 3, 8)
LEAST_CHANGES = 4
"""Never an index, one nearly always, one that comes and goes; it is laid out after so many changes."""

IN_MEMORY = "/dev/shm"
"""Where there is one, the data lies in it: this run is not about disks."""

THOROUGH_EVERY = 5

Filter = tuple[Any, Matches]

FILTERS: tuple[Filter, ...] = (
    (None, lambda payload: True),
    ({"field": "n", "gte": 2}, lambda payload: payload.get("n", -1) >= 2),
    ({"field": "tag", "eq": "x"}, lambda payload: payload.get("tag") == "x"),
    ({"not": {"field": "tag", "eq": "x"}}, lambda payload: payload.get("tag") != "x"),
    ({"or": [{"field": "n", "eq": 0}, {"field": "tag", "exists": False}]}, lambda p: p.get("n") == 0 or "tag" not in p),
)

totals: Counter[str] = Counter()
"""Operations of every machine that has ended in this process."""

ids = st.sampled_from("abcd")
id_lists = st.lists(ids, min_size=1, max_size=4, unique=True)
aims = st.sampled_from([True] * 7 + [False])
"""Whether ids are those of points that are there, or any."""

memberships = st.sampled_from([frozenset(TENANTS), frozenset(TENANTS[:2]), frozenset(TENANTS[1:]), frozenset()])
collections = st.integers(0, 2)
tenants = st.sampled_from(TENANTS)
roles = st.sampled_from([*[Role.WRITE, Role.SERVICE, Role.ADMIN] * 3, Role.READ])
vectors = st.tuples(*[st.integers(-2, 2).map(float)] * DIMENSION)
payloads = st.fixed_dictionaries({}, optional={"n": st.integers(0, 4), "tag": st.sampled_from("xy")})
patches = st.fixed_dictionaries({}, optional={"n": st.integers(0, 4), "tag": st.sampled_from(["x", "y", None])})
grantees = st.frozensets(st.sampled_from([*TENANTS, EVERYONE]), min_size=1, max_size=2)
any_grantees = st.one_of(*[grantees] * 15, st.just(frozenset({"nobody"})))
no_grantees = st.none()
lives_ms = st.sampled_from([None, None, 1_000, 1_000, 5_000, -1_000])
filters = st.sampled_from(FILTERS)


@st.composite
def written(draw: Callable[..., Any], shared: Any = no_grantees) -> dict[str, Any]:
    """One point of an upsert; its expiry is still relative."""
    condition = draw(st.sampled_from([*[{}] * 27, {"if_absent": True}, {"if_version": 1}, {"if_version": 7}]))
    return {
        "vector": draw(st.one_of(vectors, vectors, vectors, st.none())),
        "payload": draw(payloads),
        "life_ms": draw(lives_ms),
        "shared": draw(shared),
        **condition,
    }


batches = st.dictionaries(ids, written(), min_size=1, max_size=4)
shared_batches = st.dictionaries(ids, written(st.one_of(st.just(frozenset()), any_grantees)), min_size=1, max_size=3)
sharing_roles = st.sampled_from([*[Role.ADMIN, Role.SERVICE] * 3, Role.WRITE, Role.READ])


FIRST_POINTS = (
    Written("a", (1.0, 0.0, 2.0), {"n": 1, "tag": "x"}, 0, frozenset()),
    Written("b", (0.0, 1.0, 1.0), {"n": 2}, 0, frozenset({"globex"})),
    Written("c", (1.0, 0.0, 2.0), {}, 0, frozenset({EVERYONE})),
    Written("d", (2.0, 2.0, 0.0), {"tag": "y"}, START_MS + 1_000, frozenset({EVERYONE})),
)
"""What every tenant owns at first in every collection that it may use; `d` expires soon."""


class IsolationMachine(RuleBasedStateMachine):
    """One world from its first start to its last check."""

    def __init__(self) -> None:
        super().__init__()
        self._opened = ExitStack()
        self._n_looks = 0
        self.world: World

    @initialize(
        memory_bytes=st.sampled_from(MEMORY_BYTES),
        index_from_points=st.sampled_from(INDEX_FROM_POINTS),
        tier=st.sampled_from(("auto", "disk")),
    )
    def begin(self, memory_bytes: int, index_from_points: int, tier: str) -> None:
        self._opened.enter_context(mock.patch.object(curator_index, "LEAST_CHANGES", LEAST_CHANGES))
        self._opened.enter_context(mock.patch.object(lists_index, "LEAST_FOLD", LEAST_CHANGES))
        self._opened.enter_context(mock.patch.object(lists_index, "FULL_FOLDS", 1_000))  # nobody waits for folds
        folder = Path(tempfile.mkdtemp(prefix="vdb-isolation-", dir=IN_MEMORY if os.path.isdir(IN_MEMORY) else None))
        self._opened.callback(shutil.rmtree, folder, ignore_errors=True)
        self.clock = self._opened.enter_context(Clock())
        self.world = World(folder / "data", self.clock, memory_bytes, index_from_points, tier)
        self._opened.callback(self.world.close)
        for collection, tenant in itertools.product(self.world.collections, TENANTS):
            self.world.upsert(collection, tenant, Role.ADMIN, FIRST_POINTS)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            totals.update(self.world.n_operations)
        self._opened.close()

    @rule(
        collection=collections,
        tenant=tenants,
        role=roles,
        batch=st.dictionaries(ids, written(), min_size=1, max_size=4),
    )
    def upsert(self, collection: int, tenant: str, role: Role, batch: dict[str, dict[str, Any]]) -> None:
        self._upsert(collection, tenant, role, batch)

    @rule(collection=collections, tenant=tenants, role=sharing_roles, batch=shared_batches)
    def upsert_shared(self, collection: int, tenant: str, role: Role, batch: dict[str, dict[str, Any]]) -> None:
        self._upsert(collection, tenant, role, batch)

    def _upsert(self, collection: int, tenant: str, role: Role, batch: dict[str, dict[str, Any]]) -> None:
        points = []
        for point_id, given in batch.items():
            life_ms = given.pop("life_ms")
            expires_at_ms = self.clock.now_ms + life_ms if life_ms is not None else 0
            points.append(Written(id=point_id, expires_at_ms=expires_at_ms, **given))
        self.world.upsert(self.world.collections[collection], tenant, role, points)

    def _aimed(self, collection: int, tenant: str, chosen: list[str]) -> list[str]:
        """As many of the tenant's live points as there are chosen ids; the ids themselves where it has none."""
        found = self.world.collections[collection].visible(tenant, self.clock.now_ms, "own")
        live = [place[1] for place, _ in found]
        return sorted({live[ord(point_id) % len(live)] for point_id in chosen}) if live else chosen

    @rule(collection=collections, tenant=tenants, role=roles, chosen=id_lists)
    def delete(self, collection: int, tenant: str, role: Role, chosen: list[str]) -> None:
        self.world.delete(self.world.collections[collection], tenant, role, chosen[:2])

    @rule(collection=collections, tenant=tenants, role=roles, chosen=st.sampled_from(FILTERS[1:]))
    def delete_where(self, collection: int, tenant: str, role: Role, chosen: Filter) -> None:
        self.world.delete_where(self.world.collections[collection], tenant, role, *chosen)

    @rule(
        collection=collections,
        tenant=tenants,
        role=roles,
        chosen=id_lists,
        aim=aims,
        patch=patches,
        mode=st.sampled_from(["merge", "replace"]),
    )
    def update_payload(
        self, collection: int, tenant: str, role: Role, chosen: list[str], aim: bool, patch: dict[str, Any], mode: str
    ) -> None:
        chosen = self._aimed(collection, tenant, chosen) if aim else chosen
        if mode == "replace":
            patch = {name: value for name, value in patch.items() if value is not None}
        self.world.update_payload(self.world.collections[collection], tenant, role, chosen, patch, mode)

    @rule(
        collection=collections,
        tenant=tenants,
        role=sharing_roles,
        action=st.sampled_from(["grant", "revoke"]),
        chosen=id_lists,
        to=any_grantees,
        aim=aims,
    )
    def share(
        self, collection: int, tenant: str, role: Role, action: str, chosen: list[str], to: frozenset[str], aim: bool
    ) -> None:
        chosen = self._aimed(collection, tenant, chosen) if aim else chosen
        self.world.share(self.world.collections[collection], tenant, role, action, chosen, to)

    @rule(collection=collections, tenant=tenants, owner=tenants, chosen=id_lists)
    def write_to_others(self, collection: int, tenant: str, owner: str, chosen: list[str]) -> None:
        self.world.write_to_others(self.world.collections[collection], tenant, owner, chosen)

    @rule(milliseconds=st.sampled_from([1, 999, 1_000, 4_000]))
    def let_time_pass(self, milliseconds: int) -> None:
        self.clock.now_ms += milliseconds

    @rule()
    def purge(self) -> None:
        self.world.purge()

    @rule()
    def work_on_indexes(self) -> None:
        self.world.work_on_indexes()

    @rule()
    def restart(self) -> None:
        self.world.restart()

    @rule(members=memberships)
    def set_members(self, members: frozenset[str]) -> None:
        self.world.set_members(self.world.collections[2], members)

    @rule(collection=collections)
    def rename(self, collection: int) -> None:
        self.world.rename(self.world.collections[collection])

    @rule(collection=collections, tier=st.sampled_from(list(Tier)))
    def move(self, collection: int, tier: Tier) -> None:
        self.world.move(self.world.collections[collection], tier)

    @rule()
    def swap_aliases(self) -> None:
        self.world.swap_aliases()

    @rule(tenant=tenants)
    def replace_tenant(self, tenant: str) -> None:
        self.world.replace_tenant(tenant)

    @rule(collection=collections, tenant=tenants, chosen=filters, limit=st.integers(1, 12), query=vectors)
    def search(self, collection: int, tenant: str, chosen: Filter, limit: int, query: tuple[float, ...]) -> None:
        self.world.search(self.world.collections[collection], tenant, query, limit, *chosen)

    @rule(collection=collections, tenant=tenants, chosen=filters, scope=st.sampled_from(["own", "visible"]))
    def scroll(self, collection: int, tenant: str, chosen: Filter, scope: str) -> None:
        self.world.scroll(self.world.collections[collection], tenant, scope, *chosen)

    @invariant()
    def nobody_sees_what_is_not_theirs(self) -> None:
        if not hasattr(self, "world"):
            return
        self._n_looks += 1
        collection, tenant = divmod(self._n_looks % (3 * len(TENANTS)), len(TENANTS))
        query = tuple(float((self._n_looks * step) % 5 - 2) for step in range(1, DIMENSION + 1))
        self.world.look(self.world.collections[collection], TENANTS[tenant], query, self._n_looks % THOROUGH_EVERY == 0)
