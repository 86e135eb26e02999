"""Publication of small writes: what is merged answers as if it had come one by one."""

import numpy as np

from vdb.engine.readings import Change, Reading, Readings
from vdb.index.flat import FlatSegment
from vdb.types import Metric


def insert(sequence: int, owner: int, pid: int) -> Change:
    vector = np.array([[pid, 1]], np.float32)
    pids, expiries = np.array([pid], np.uint32), np.zeros(1, np.int64)
    return Change(sequence, owner, pids, vector, expiries, {owner: None}, inserts_only=True)


def kill(sequence: int, owner: int, pid: int) -> Change:
    nothing = np.empty((0, 2), np.float32)
    return Change(sequence, owner, np.empty(0, np.uint32), nothing, np.empty(0, np.int64), {}, {owner: [pid]})


def resident(*tenants: int) -> Readings:
    readings = Readings(2, Metric.L2, 0)
    for tenant in tenants:
        readings.load(tenant, lambda _: (Reading(FlatSegment(2, Metric.L2), None), 0))
    return readings


def pids_at(readings: Readings, tenant: int, sequence: int) -> list[int]:
    reading = readings.get(tenant)
    assert reading is not None
    state = reading.own.state
    rows = reading.own.search(state, np.zeros((1, 2), np.float32), 10, sequence, 0).row[0]
    return [int(state.pids[row]) for row in rows if row >= 0]


def test_inserts_of_one_commit_each_appear_at_their_own_sequence() -> None:
    readings = resident(1)
    readings.publish([insert(5, 1, 10), insert(6, 1, 11), insert(7, 1, 12)], 7)
    assert [pids_at(readings, 1, sequence) for sequence in (4, 5, 6, 7)] == [[], [10], [10, 11], [10, 11, 12]]


def test_a_delete_between_inserts_of_a_commit_keeps_its_place() -> None:
    readings = resident(1, 2)
    readings.publish([insert(1, 1, 10), insert(2, 2, 11), kill(3, 1, 10), insert(4, 1, 12), insert(5, 1, 13)], 5)
    assert pids_at(readings, 1, 2) == [10]
    assert pids_at(readings, 1, 5) == [12, 13]
    assert pids_at(readings, 2, 5) == [11]
