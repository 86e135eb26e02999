"""Answers that nobody waits for any more, and the end of the server."""

import threading
import time
from pathlib import Path

import pytest

from tests.engine.answering.world import Scripted, World, until_stopped, world
from tests.engine.driver import WAIT_S, wait_until
from vdb.errors import ShuttingDown
from vdb.rag.generate.base import Cancelled


def test_an_answer_stops_while_its_backend_writes(made: World) -> None:
    made.use(Scripted(until_stopped))
    running, events = made.begin()
    wait_until(lambda: any(type(event).__name__ == "DeltaEvent" for event in events))
    running.stop.request()
    with pytest.raises(Cancelled):
        running.future.result(WAIT_S)
    assert type(events[-1]).__name__ == "DeltaEvent"
    assert made.services.answers.outcomes["cancelled"] == 1
    wait_until(lambda: made.services.generations.n_under_way == 0)


def test_an_answer_that_was_stopped_before_its_turn_asks_nobody(made: World) -> None:
    backend = Scripted(until_stopped)
    made.use(backend)
    begun = [made.begin()[0] for _ in range(17)]  # one more than a tenant has threads
    wait_until(lambda: len(backend.asked) == 16)
    begun[-1].stop.request()
    for running in begun[:-1]:
        running.stop.request()
    for running in begun:
        with pytest.raises(Cancelled):
            running.future.result(WAIT_S)
    assert len(backend.asked) == 16


def test_a_tenant_leaves_threads_to_the_others(made: World) -> None:
    made.put("globex", {"other": "A text of globex."})
    backend = Scripted(until_stopped)
    made.use(backend)
    begun = [made.begin()[0] for _ in range(20)]
    wait_until(lambda: len(backend.asked) == 16)
    made.use(Scripted())
    assert made.ask(tenant="globex").found
    for running in begun:
        running.stop.request()


def test_slow_backends_of_many_tenants_leave_the_built_in_one_alone(made: World) -> None:
    backend = Scripted(until_stopped)
    made.use(backend)
    begun = []
    for i in range(8):
        made.put(f"slow-{i}", {"other": "A text of theirs."})
        begun += [made.begin(tenant=f"slow-{i}")[0] for _ in range(20)]
    wait_until(lambda: len(backend.asked) == 8 * 16)
    made.use(Scripted(name="extractive"))
    assert made.ask().found
    for running in begun:
        running.stop.request()


def test_the_end_of_the_server_ends_answers(tmp_path: Path) -> None:
    with world(tmp_path) as made:
        made.use(Scripted(until_stopped))
        running, events = made.begin()
        wait_until(lambda: any(type(event).__name__ == "DeltaEvent" for event in events))
        closing = threading.Thread(target=made.engine.close)
        began = time.monotonic()
        closing.start()
        with pytest.raises(ShuttingDown):
            running.future.result(WAIT_S)
        closing.join(WAIT_S)
        assert not closing.is_alive() and time.monotonic() - began < WAIT_S
