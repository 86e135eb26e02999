"""Who goes with whom: batches, their bounds, whose turn it is, and who is left out."""

import threading
from functools import partial

import numpy as np
import pytest

from tests.engine.acceleration.fakes import Script, Searching, accelerated, ask, small_index, tags
from tests.engine.driver import wait_until
from vdb.engine.acceleration.figures import Declined
from vdb.index.curator.index import CuratorIndex


@pytest.fixture
def index() -> CuratorIndex:
    return small_index()


def test_one_request_alone_is_launched_at_once(index: CuratorIndex) -> None:
    script = Script()
    with accelerated(script, wait_s=10.0) as accelerator:
        for tag in range(5):
            assert tags(accelerator.search(index, 1, [ask(index, tag)])) == [tag]
        assert accelerator.figures.n_waits == 0
    assert script.batches == [[0], [1], [2], [3], [4]]


def test_requests_that_come_while_the_device_is_busy_go_together(index: CuratorIndex) -> None:
    script = Script()
    with accelerated(script) as accelerator:
        script.gate.clear()
        first = Searching(lambda: accelerator.search(index, 1, [ask(index, 0)]))
        assert script.begun.wait(20.0)
        others = [Searching(partial(accelerator.search, index, tag, [ask(index, tag)])) for tag in range(1, 9)]
        wait_until(lambda: accelerator.n_waiting == 8)
        script.gate.set()
        assert tags(first.found()) == [0]
        assert [tags(other.found()) for other in others] == [[tag] for tag in range(1, 9)]
        assert accelerator.figures.n_batches == 2
        assert accelerator.figures.n_requests == 9
    assert [sorted(batch) for batch in script.batches] == [[0], list(range(1, 9))]


def test_a_batch_waits_for_those_who_went_together_before_and_no_longer_than_it_may(index: CuratorIndex) -> None:
    script = Script()
    with accelerated(script, wait_s=20.0) as accelerator:
        script.gate.clear()
        rounds = threading.Barrier(4)

        def come_twice(tag: int) -> list[list[int | str]]:
            rounds.wait(20.0)
            return [tags(accelerator.search(index, tag, [ask(index, tag)])) for _ in range(2)]

        first = Searching(lambda: accelerator.search(index, 9, [ask(index, 9)]))
        assert script.begun.wait(20.0)
        others = [Searching(partial(come_twice, tag)) for tag in range(4)]
        wait_until(lambda: accelerator.n_waiting == 4)
        script.gate.set()
        first.found()
        assert [other.found() for other in others] == [[[tag], [tag]] for tag in range(4)]
    together = [sorted(batch) for batch in script.batches]
    # Whoever comes back while all but itself are under way is waited for, up to the wait: never left behind for good.
    assert together[:2] == [[9], [0, 1, 2, 3]]
    assert sorted(tag for batch in together[2:] for tag in batch) == [0, 1, 2, 3]


def test_a_batch_has_no_more_queries_than_it_may(index: CuratorIndex) -> None:
    script = Script()
    with accelerated(script, n_queries=16) as accelerator:
        found = accelerator.search(index, 1, [ask(index, tag) for tag in range(100)])
    assert tags(found) == list(range(100))
    assert max(len(batch) for batch in script.batches) == 16
    assert [tag for batch in script.batches for tag in batch] == list(range(100))


def test_many_queries_of_one_tenant_hold_another_up_for_one_batch_at_most(index: CuratorIndex) -> None:
    script = Script()
    with accelerated(script, n_queries=16) as accelerator:
        script.gate.clear()
        long = Searching(lambda: accelerator.search(index, 1, [ask(index, 1000 + i) for i in range(128)]))
        assert script.begun.wait(20.0)
        short = Searching(lambda: accelerator.search(index, 2, [ask(index, 7)]))
        wait_until(lambda: accelerator.n_waiting == 128 - 16 + 1)
        script.gate.set()
        assert tags(short.found()) == [7]
        long.found()
    assert 7 in script.batches[1]


def test_answers_of_one_batch_are_never_mixed(index: CuratorIndex, rng: np.random.Generator) -> None:
    other = small_index(1)
    script = Script()
    with accelerated(script, n_queries=24) as accelerator:

        def search(first: int, n: int) -> bool:
            asked = list(range(first, first + n))
            searched = index if first % 2 else other
            return tags(accelerator.search(searched, first % 5, [ask(searched, tag) for tag in asked])) == asked

        sizes = rng.integers(1, 40, 60).tolist()
        threads = [Searching(partial(search, 1000 * i, n)) for i, n in enumerate(sizes)]
        assert all(thread.found() for thread in threads)
    assert sum(len(batch) for batch in script.batches) == sum(sizes)


def test_what_nobody_waits_for_any_more_is_not_searched(index: CuratorIndex) -> None:
    script, is_wanted = Script(), threading.Event()
    is_wanted.set()
    with accelerated(script) as accelerator:
        script.gate.clear()
        first = Searching(lambda: accelerator.search(index, 1, [ask(index, 0)]))
        assert script.begun.wait(20.0)
        gone = Searching(lambda: accelerator.search(index, 1, [ask(index, 1)] * 3, is_wanted.is_set))
        wait_until(lambda: accelerator.n_waiting == 3)
        is_wanted.clear()
        script.gate.set()
        first.found()
        assert tags(gone.found()) == [Declined.BUSY] * 3
        assert accelerator.figures.n_abandoned == 3
    assert script.batches == [[0]]


def test_a_search_whose_turn_does_not_come_in_time_goes_to_the_cpu_and_is_not_searched(index: CuratorIndex) -> None:
    script = Script()
    with accelerated(script, patience_s=0.01) as accelerator:
        script.gate.clear()
        first = Searching(lambda: accelerator.search(index, 1, [ask(index, 0)]))
        assert script.begun.wait(20.0)
        assert tags(accelerator.search(index, 1, [ask(index, 1)])) == [Declined.BUSY]
        script.gate.set()
        assert tags(first.found()) == [0], "what has begun is waited for"
        wait_until(lambda: accelerator.n_waiting == 0)
        assert accelerator.figures.declined == {Declined.BUSY: 1}
    assert script.batches == [[0]]


def test_of_too_many_that_wait_one_tenant_is_refused_and_another_is_not(index: CuratorIndex) -> None:
    script = Script()
    with accelerated(script, n_queries=8) as accelerator:
        script.gate.clear()
        first = Searching(lambda: accelerator.search(index, 1, [ask(index, 0)]))
        assert script.begun.wait(20.0)
        long = Searching(lambda: accelerator.search(index, 1, [ask(index, 1)] * 100))
        wait_until(lambda: accelerator.n_waiting == 100)
        assert tags(accelerator.search(index, 1, [ask(index, 2)])) == [Declined.BUSY]
        other = Searching(lambda: accelerator.search(index, 2, [ask(index, 3)]))
        wait_until(lambda: accelerator.n_waiting == 101)
        script.gate.set()
        assert tags(other.found()) == [3]
        assert tags(long.found()) == [1] * 100
        first.found()


def test_a_shutdown_answers_all_that_wait(index: CuratorIndex) -> None:
    script = Script()
    with accelerated(script) as accelerator:
        script.gate.clear()
        first = Searching(lambda: accelerator.search(index, 1, [ask(index, 0)]))
        assert script.begun.wait(20.0)
        others = [Searching(lambda: accelerator.search(index, 2, [ask(index, 1)])) for _ in range(5)]
        wait_until(lambda: accelerator.n_waiting == 5)
        closing = Searching(accelerator.close)
        assert [tags(other.found()) for other in others] == [[Declined.STOPPING]] * 5
        script.gate.set()
        assert tags(first.found()) == [0]
        closing.found()
        assert tags(accelerator.search(index, 1, [ask(index, 2)])) == [Declined.STOPPING]
    assert script.batches == [[0]]
