"""Answers behind a cache: asked twice, written once; gone with what they were written from; nothing half is kept."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET

from tests.engine.answering.world import QUESTION, TEXTS, Scripted, World, Write, failing, until_stopped, world
from tests.engine.driver import WAIT_S, wait_until
from vdb.errors import ModelUnavailable
from vdb.protocol.answer_requests import AnswerCache, ContextOptions
from vdb.protocol.answering import Answering
from vdb.protocol.cache_requests import CreateCache, PutPolicy, ScrollEntries
from vdb.protocol.requests import Empty, UpdateCollection
from vdb.rag.generate.base import Asked, Cancelled, Stop
from vdb.types import Role

SEARCHED = ContextOptions(whole=False)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    """The collection `notes` with the cache `replies` in front."""
    with world(tmp_path) as found:
        with_cache(found)
        yield found


def with_cache(made: World) -> None:
    made.driver.run("create_cache", None, (), CreateCache(name="replies", dimension=32))
    policy = PutPolicy(threshold=0.9, explore=0.0, guard=False)
    made.driver.run("put_policy", None, ("replies", "faq"), policy)
    stated = Answering(cache="replies", category="faq")
    made.driver.run("update_collection", None, ("notes",), UpdateCollection(answering=stated))


def entries(made: World, tenant: str = "acme") -> list[Any]:
    found: list[Any] = made.driver.run("scroll_entries", tenant, ("replies",), ScrollEntries(limit=100)).entries
    return found


def leases(made: World) -> int:
    """Leases that somebody holds."""
    document = made.services.catalog.cache("replies")
    with made.services.caches.use(document) as shard:
        return len(shard.leases._held)


@pytest.mark.parametrize("context", [SEARCHED, UNSET], ids=["searched", "whole"])
def test_a_question_asked_twice_is_written_once(made: World, context: Any) -> None:
    backend = Scripted()
    made.use(backend)
    first, second = made.ask(context=context), made.ask(context=context)
    assert (first.cache.hit, second.cache.hit) == (None, "exact")
    assert first.cache.stored == second.cache.entry_id is not None
    assert len(backend.asked) == 1
    assert (second.text, second.answer, second.references) == (first.text, first.answer, first.references)
    assert second.usage.completion_tokens == 0 and second.timings.cache_ms > 0 == second.timings.generation_ms
    assert made.services.answers.outcomes["cached"] == 1


def test_a_cached_answer_comes_as_the_same_events(made: World) -> None:
    made.use(Scripted())
    first, told = made.begin()
    first.future.result(WAIT_S)
    second, again = made.begin()
    answer = second.future.result(WAIT_S)
    assert answer.cache.hit == "exact"
    kinds = [type(event).__name__ for event in again]
    assert kinds == ["RetrievalEvent", "DeltaEvent", "CitationsEvent", "UsageEvent", "DoneEvent"]
    assert again[2] == told[-3]


@pytest.mark.parametrize("context", [SEARCHED, UNSET], ids=["searched", "whole"])
@pytest.mark.parametrize("what", ["edited", "deleted", "added"])
def test_an_answer_goes_with_what_it_was_written_from(made: World, what: str, context: Any) -> None:
    backend = Scripted()
    made.use(backend)
    made.ask(context=context)
    if what == "edited":
        made.put("acme", {"refunds": "Refunds take ninety days."})
    elif what == "deleted":
        made.driver.delete("acme", "notes", ["refunds#0"])
    else:
        made.put("acme", {"news": QUESTION})
    assert made.ask(context=context).cache.hit is None
    assert len(backend.asked) == 2
    texts = [passage.text for passage in backend.asked[1].passages]
    assert (TEXTS["refunds"] in texts) == (what == "added")


def test_an_answer_goes_with_a_grant_that_is_revoked(made: World) -> None:
    backend = Scripted()
    made.use(backend)
    made.put("globex", {"own": "A text of globex about refunds."})
    made.driver.share("acme", "notes", ["refunds#0"], ["globex"])
    made.ask(tenant="globex")
    assert made.ask(tenant="globex").cache.hit == "exact"
    made.driver.share("acme", "notes", ["refunds#0"], ["globex"], action="revoke")
    fresh = made.ask(tenant="globex")
    assert fresh.cache.hit is None
    assert {passage.owner for passage in backend.asked[1].passages} == {"globex"}


def test_a_tenant_is_never_served_what_was_written_for_another(made: World) -> None:
    backend = Scripted()
    made.use(backend)
    made.put("globex", TEXTS)
    made.ask()
    assert made.ask(tenant="globex").cache.hit is None
    assert len(backend.asked) == 2


@pytest.mark.parametrize(
    "given", [{"threshold": 0.01}, {"max_tokens": 5}, {"temperature": 0.3}, {"seed": 1}, {"limit": 2},
              {"mode": "sparse"}, {"filter": {"field": "document", "eq": "refunds"}},
              {"context": ContextOptions(tokens=500)}, {"cache": AnswerCache(scope="other")}],
    ids=lambda given: next(iter(given)),
)  # fmt: skip
def test_what_was_asked_for_otherwise_is_another_answer(made: World, given: dict[str, Any]) -> None:
    backend = Scripted()
    made.use(backend)
    made.ask()
    assert made.ask(**given).cache.hit is None
    assert made.ask(with_texts=True, explain=True).cache.hit == "exact"
    assert len(backend.asked) == 2


def test_another_backend_is_another_answer(made: World) -> None:
    made.use(Scripted(name="first"))
    made.ask()
    made.use(Scripted(name="second"))
    assert made.ask().cache.hit is None


@pytest.mark.parametrize(
    "write", [failing(ModelUnavailable("down")), failing(ModelUnavailable("cut"), after="Half an "),
              failing(RuntimeError("bug"))],
    ids=["down", "broken off", "a bug"],
)  # fmt: skip
def test_what_failed_is_not_kept_and_nobody_waits_for_it(made: World, write: Write) -> None:
    made.use(Scripted(write))
    running, _ = made.begin()
    assert running.future.exception(WAIT_S) is not None
    assert entries(made) == [] and leases(made) == 0
    made.use(Scripted())
    assert made.ask().cache.hit is None


def test_what_was_cut_off_is_given_and_not_kept(made: World) -> None:
    made.use(Scripted(finish_reason="length"))
    answer = made.ask()
    assert answer.found and answer.cache.stored is None
    assert entries(made) == [] and leases(made) == 0


def test_what_was_stopped_is_not_kept_and_nobody_waits_for_it(made: World) -> None:
    made.use(Scripted(until_stopped))
    running, events = made.begin()
    wait_until(lambda: any(type(event).__name__ == "DeltaEvent" for event in events))
    assert leases(made) == 1
    running.stop.request()
    with pytest.raises(Cancelled):
        running.future.result(WAIT_S)
    assert entries(made) == [] and leases(made) == 0


def test_what_was_stopped_at_its_very_end_is_not_kept(made: World) -> None:
    def write(asked: Asked, emit: Callable[[str], None], stop: Stop) -> str:
        emit("All of it [1].")
        stop.request()
        return "All of it [1]."

    made.use(Scripted(write))
    running, _ = made.begin()
    with pytest.raises(Cancelled):
        running.future.result(WAIT_S)
    assert entries(made) == [] and leases(made) == 0


def test_questions_that_come_together_are_written_once(made: World) -> None:
    go = threading.Event()

    def write(asked: Asked, emit: Callable[[str], None], stop: Stop) -> str:
        assert go.wait(WAIT_S)
        emit("It says so [1].")
        return "It says so [1]."

    backend = Scripted(write)
    made.use(backend)
    begun = [made.begin()[0] for _ in range(6)]
    wait_until(lambda: len(backend.asked) == 1)
    go.set()
    answers = [running.future.result(WAIT_S) for running in begun]
    assert len(backend.asked) == 1
    assert sorted(str(answer.cache.hit) for answer in answers) == ["None", *["exact"] * 5]


def test_not_found_is_kept_until_anything_new_comes(made: World) -> None:
    question = "Which emperor built the northern wall?"
    first, second = made.ask(question, threshold=UNSET), made.ask(question, threshold=UNSET)
    assert not first.found and not second.found
    assert (first.cache.hit, second.cache.hit) == (None, "exact")
    made.put("acme", {"wall": "The emperor Hadrian built the northern wall."})
    fresh = made.ask(question, threshold=UNSET)
    assert fresh.found and fresh.cache.hit is None


@pytest.mark.parametrize("use", ["off", "refresh"])
def test_a_question_may_do_without_the_cache_or_fill_it_only(made: World, use: Any) -> None:
    backend = Scripted()
    made.use(backend)
    made.ask()
    answer = made.ask(cache=use)
    assert answer.cache.hit is None and answer.cache.reason == use
    assert len(backend.asked) == 2
    assert (answer.cache.stored is None) == (use == "off")


def test_a_key_that_may_only_read_is_served_and_keeps_nothing(made: World) -> None:
    backend = Scripted()
    made.use(backend)
    caller = made.engine.local_caller(Role.READ, "acme")
    running, _ = made.begin(caller=caller)
    assert running.future.result(WAIT_S).cache.stored is None
    assert entries(made) == [] and leases(made) == 0
    made.ask()
    running, _ = made.begin(caller=caller)
    assert running.future.result(WAIT_S).cache.hit == "exact"


def test_a_near_miss_is_an_example_of_form(made: World) -> None:
    policy = PutPolicy(threshold=0.9999, explore=0.0, guard=False, example_threshold=0.1)
    made.driver.run("put_policy", None, ("replies", "faq"), policy)
    backend = Scripted("Five days it is [1].")
    made.use(backend)
    made.ask("How long do refunds take?")
    made.ask("How long do refunds of parcels take?")
    assert "Five days it is" in backend.asked[1].messages[0].content


def test_a_cache_that_is_gone_fails_no_answer(made: World) -> None:
    made.use(Scripted())
    made.driver.run("delete_cache", None, ("replies",), Empty())
    assert made.ask().cache.reason == "off"
