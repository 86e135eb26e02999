"""One question through both backends: the same citations, and the answer says which it was."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.answering.world import Scripted, World, world
from tests.engine.driver import WAIT_S, wait_until
from vdb.kernels.numpy_device import NumpyDevice
from vdb.protocol.answer_answers import RetrievalEvent
from vdb.protocol.requests import Empty, SearchParams
from vdb.rag.generate.base import Cancelled

GPU, CPU = SearchParams(backend="gpu"), SearchParams(backend="cpu")
MANY = {f"note-{i}": f"Note {i} is about part {i % 9}. Its colour is {'red' if i % 2 else 'blue'}." for i in range(60)}


@pytest.fixture
def indexed(tmp_path: Path) -> Iterator[World]:
    """The notes of acme and more of them, their index on a device."""
    with world(tmp_path, device=NumpyDevice(), index_from_points=40) as made:
        made.put("acme", MANY)
        document = made.services.usable(made.driver.caller(None), "notes")
        with made.services.shards.use(document) as shard:
            assert shard.index.work()
        wait_until(lambda: backend_of(made.ask(params=GPU, cache="off")) == "gpu")
        yield made


def backend_of(answer: Any) -> str:
    return str(answer.context.backend)


def cited(answer: Any) -> list[Any]:
    """Sentences with what they cite: owner, id and version."""
    keys = [(one.owner, one.id, one.version) for one in answer.references]
    return [(sentence.text, [keys[place] for place in sentence.citations]) for sentence in answer.answer]


@pytest.mark.parametrize("mode", ["hybrid", "dense"])
@pytest.mark.parametrize("is_scripted", [False, True])
def test_a_question_has_the_same_citations_by_either_backend(indexed: World, mode: Any, is_scripted: bool) -> None:
    if is_scripted:
        indexed.use(Scripted("Five days. [1] The rest is colours. [2][3]"))
    there, here = (indexed.ask(params=params, mode=mode, cache="off", with_texts=True) for params in (GPU, CPU))
    assert (backend_of(there), backend_of(here)) == ("gpu", "cpu")
    assert cited(there) == cited(here) and cited(there)
    assert there.support == pytest.approx(here.support, abs=1e-6)
    assert [one.text for one in there.references] == [one.text for one in here.references]


def test_the_event_of_retrieval_says_which_it_was(indexed: World) -> None:
    for params, name in ((GPU, "gpu"), (CPU, "cpu")):
        running, events = indexed.begin(params=params, cache="off")
        running.future.result(WAIT_S)
        (told,) = [event for event in events if isinstance(event, RetrievalEvent)]
        assert told.context.backend == name


def test_what_was_found_for_an_answer_says_which_found_it_when_it_is_used_again(indexed: World) -> None:
    first, second = (indexed.ask(params=GPU) for _ in range(2))
    assert indexed.services.result_sets.n_hits >= 1
    assert backend_of(first) == backend_of(second) == "gpu"


def test_an_answer_of_words_alone_is_the_cpus(indexed: World) -> None:
    assert backend_of(indexed.ask(mode="sparse", params=GPU, cache="off")) == "cpu"


def test_a_question_that_is_given_up_is_not_searched(indexed: World, monkeypatch: pytest.MonkeyPatch) -> None:
    accelerator = indexed.services.accelerator
    search = accelerator.search
    wanted: list[bool] = []

    def stopped(index: Any, tenant: int, asks: Any, is_wanted: Any) -> Any:
        running.stop.request()
        wanted.append(is_wanted())
        return search(index, tenant, asks, is_wanted)

    monkeypatch.setattr(accelerator, "search", stopped)
    before = accelerator.figures.n_searched
    running, _ = indexed.begin(params=GPU, cache="off")
    with pytest.raises(Cancelled):
        running.future.result(WAIT_S)
    assert wanted == [False]
    assert (accelerator.figures.n_searched - before, accelerator.figures.n_abandoned) == (0, 1)


def test_statistics_and_answers_go_on_where_the_device_is_lost(indexed: World) -> None:
    here = indexed.ask(params=CPU, cache="off")
    indexed.services.accelerator.device.is_lost = True
    there = indexed.ask(params=GPU, cache="off")
    assert cited(there) == cited(here) and backend_of(there) == "cpu"
    assert indexed.driver.run("collection_stats", None, ("notes",), Empty()).index.device is None
