"""Whoever follows the log of changes knows at every moment what the store holds: no write is missing, none too much.

Random operations, refused ones, shared commits, restarts and dropped entries among them.
"""

from collections import defaultdict
from pathlib import Path

import pytest

from tests.engine.driver import WAIT_S, opened
from tests.engine.test_owner_usage_random import STEPS, Walk
from vdb.engine.shard import Shard
from vdb.storage.catalog import iterate_prefix
from vdb.storage.changes import LoggedChange, drop_changes, iterate_changes, read_changes_from
from vdb.storage.check import check_directory
from vdb.storage.codec import decode_record
from vdb.storage.env import Transaction
from vdb.storage.keyspace import Space, pair_of
from vdb.storage.meta import read_sequence

Audiences = dict[int, dict[int, int]]
"""Audience → pid → expiry, of the points that have a vector."""


def stored(txn: Transaction) -> Audiences:
    found: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for key, value in iterate_prefix(txn, bytes((Space.RECORD,))):
        (owner, pid), record = pair_of(key), decode_record(value)
        if record.has_vector:
            for audience in (owner, *(-grantee for grantee in record.shared)):
                found[audience][pid] = record.expires_at_ms
    return dict(found)


class Follower:
    """What an index knows: made from the store at one sequence, then led by the log alone."""

    def __init__(self, shard: Shard) -> None:
        with shard.env.read() as txn:
            self.sequence, self.audiences = read_sequence(txn), stored(txn)

    def catch_up(self, shard: Shard) -> None:
        with shard.env.read() as txn:
            changes_from = read_changes_from(txn)
            assert changes_from is not None and changes_from <= self.sequence + 1
            for _, change in iterate_changes(txn, self.sequence):
                self._follow(change)
            self.sequence = read_sequence(txn)
            assert self.audiences == stored(txn)

    def _follow(self, change: LoggedChange) -> None:
        for audience, pids in change.kills.items():
            for pid in pids:
                self.audiences.get(audience, {}).pop(int(pid), None)
        expiries = dict(zip(change.pids.tolist(), change.expires_at_ms.tolist(), strict=True))
        for audience, positions in change.puts.items():
            chosen = change.pids if positions is None else change.pids[positions]
            if change.inserts_only:
                assert not expiries.keys() & self.audiences.get(audience, {}).keys()
            self.audiences.setdefault(audience, {}).update({pid: expiries[pid] for pid in chosen.tolist()})
        self.audiences = {audience: points for audience, points in self.audiences.items() if points}


class LoggedWalk(Walk):
    """Random operations, with a follower per collection that catches up now and then."""

    followers: dict[int, Follower]
    n_caught_up = 0

    def furnish(self) -> None:
        super().furnish()
        self.followers = {}
        for _ in range(5):
            self.together()
        for name in self.names.values():
            self.driver.keep_changes(name)
        for shard in self.driver.engine.services.each_shard():
            self.followers[shard.collection.id] = Follower(shard)

    def compare(self) -> None:
        for shard in self.driver.engine.services.each_shard():
            if self.rng.random() < 0.3:
                follower = self.followers[shard.collection.id]
                follower.catch_up(shard)
                self.n_caught_up += 1
                self._drop(shard, follower.sequence - self.rng.randint(0, 2), self.rng.randint(1, 20))

    @staticmethod
    def _drop(shard: Shard, until_sequence: int, n_max: int) -> None:
        shard.queue.submit(lambda group: drop_changes(group.txn, until_sequence, n_max)).result(WAIT_S)


@pytest.mark.parametrize("seed", range(4))
def test_the_log_leads_whoever_follows_it_to_what_is_stored(tmp_path: Path, seed: int) -> None:
    walk = LoggedWalk(tmp_path / "data", seed)
    for life in range(3):
        with opened(walk.path) as driver:
            walk.begin(driver)
            if not life:
                walk.furnish()
            for _ in range(STEPS // 3):
                walk.step()
        assert check_directory(walk.path) == []
    assert walk.n_caught_up > 10 and walk.n_refused > 10
