"""The cache in front of answers: what is kept, what is served again and to whom, who waits for whom."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import UNSET

from tests.engine.answering.asker import OTHER_WORDS, QUESTION, TEXTS, Asker, cited, passages_of
from tests.engine.driver import opened
from vdb.engine.answering.cache_choices import cache_choice
from vdb.engine.answering.cached import fingerprint_of
from vdb.errors import CacheNotFound, TooLarge, UnknownCategory, VdbError
from vdb.protocol.answer_answers import Timings, TokenUsage
from vdb.protocol.answer_requests import AnswerCache
from vdb.protocol.cache_requests import CacheStore, PutPolicy, ScrollEntries, UpdateCache
from vdb.protocol.requests import Empty, Reranker
from vdb.rag.generate.base import Message, Stop
from vdb.rag.passage import Passage
from vdb.types import Role


@pytest.fixture
def asker(tmp_path: Path) -> Iterator[Asker]:
    with opened(tmp_path / "data") as driver:
        made = Asker(driver)
        made.fill()
        yield made


def test_the_second_ask_is_a_hit_and_says_so(asker: Asker) -> None:
    first = asker.ask()
    assert (first.answer, first.cache.hit, first.cache.reason) == (None, None, "empty")
    second = asker.ask()
    assert second.answer is not None and second.answer.cache is second.cache
    assert (second.cache.hit, second.cache.reason) == ("exact", "hit")
    assert second.cache.entry_id == first.cache.stored and second.cache.lookup_id != first.cache.lookup_id
    assert (second.answer.text, second.answer.found, second.answer.sequence) == ("The first. [1]", True, 2)
    assert second.answer.timings == Timings() and second.answer.usage.prompt_tokens == 0
    assert second.answer.context.dropped is UNSET and second.answer.references[0].text is UNSET


def test_the_same_in_other_words_is_a_hit_by_its_vector(asker: Asker) -> None:
    asker.ask()
    found = asker.ask(text=OTHER_WORDS)
    assert found.answer is not None and found.cache.hit == "semantic"
    assert found.vector is not None and np.allclose(found.vector, asker.embedded([OTHER_WORDS])[0])


def test_references_of_a_hit_have_their_texts_where_they_are_wanted(asker: Asker) -> None:
    asker.ask()
    with asker.front() as front:
        found = front.look_up(with_texts=True)
    assert found.answer is not None and found.answer.references[0].text == TEXTS["first"]


@pytest.mark.parametrize(
    "changed",
    [{"fingerprint": "g"}, {"limit": 2}, {"filter": {"field": "a", "eq": 1}}, {"mode": "sparse"},
     {"cache": AnswerCache(scope="night")}, {"history": [Message("user", "hello")]}, {"tenant": "globex"}],
)  # fmt: skip
def test_what_could_change_the_answer_keeps_it_from_being_served(asker: Asker, changed: dict[str, Any]) -> None:
    asker.ask()
    assert asker.is_hit()
    assert not asker.is_hit(**changed)


def test_a_later_turn_is_served_where_the_policy_says_so_and_its_history_is_equal(asker: Asker) -> None:
    history = [Message("user", "hello"), Message("assistant", "hi")]
    assert asker.ask(history=history).cache.reason == "later_turn" and asker.entries() == 0
    policy = PutPolicy(threshold=0.9, explore=0.0, guard=False, turns="equal")
    asker.driver.run("put_policy", None, ("replies", "faq"), policy)
    asker.ask(history=history)
    assert asker.is_hit(history=history) and not asker.is_hit(history=history[:1])


@pytest.mark.parametrize("point", ["first", "second"])
def test_any_passage_that_the_answer_was_written_from_ends_it_cited_or_not(asker: Asker, point: str) -> None:
    asker.ask()
    asker.driver.delete("acme", "docs", [point])
    assert not asker.is_hit()


def test_a_passage_left_out_of_the_context_does_not_end_it(asker: Asker) -> None:
    asker.ask()
    asker.driver.delete("acme", "docs", ["third", "fourth"])
    assert asker.is_hit()


def test_a_new_point_that_would_be_found_ends_it_and_another_does_not(asker: Asker) -> None:
    asker.ask()
    asker.put("acme", {"other": "seals and bolts"})
    asker.put("globex", {"foreign": "the pump leaks oil"})
    assert asker.is_hit()
    asker.put("acme", {"better": "which pump leaks oil: the pump leaks oil"})
    assert not asker.is_hit()


def test_a_revoked_passage_ends_the_answer_of_whom_it_was_granted_to(asker: Asker) -> None:
    asker.driver.delete("globex", "docs", list(TEXTS))
    asker.driver.share("acme", "docs", ["first", "second"], ["globex"])
    asker.ask("globex")
    asker.ask("acme")
    assert asker.is_hit("globex")
    asker.driver.share("acme", "docs", ["first"], ["globex"], "revoke")
    assert not asker.is_hit("globex") and asker.is_hit("acme")


def test_an_answer_from_everything_ends_with_any_new_point(asker: Asker) -> None:
    asker.ask(whole=True)
    assert asker.is_hit()
    asker.put("acme", {"other": "bolts"})
    assert not asker.is_hit()


def test_that_nothing_was_found_is_kept_until_a_point_is_new(asker: Asker) -> None:
    asker.ask(whole=True, answer={"found": False, "references": []})
    asker.driver.delete("acme", "docs", ["first"])
    assert asker.is_hit()
    (entry,) = asker.driver.run("scroll_entries", "acme", ("replies",), ScrollEntries()).entries
    assert entry.expires_at is not None and (entry.expires_at.timestamp() - time.time()) <= 300
    asker.put("acme", {"other": "bolts"})
    assert not asker.is_hit()


def test_an_answer_cut_short_is_not_kept_and_its_lease_goes_back(asker: Asker) -> None:
    asker.ask(answer={"finish_reason": "length"})
    assert asker.entries() == 0
    asker.ask()
    assert asker.entries() == 1


def test_leaving_without_an_answer_gives_the_lease_back(asker: Asker) -> None:
    with pytest.raises(ZeroDivisionError), asker.front() as front:
        front.look_up()
        raise ZeroDivisionError
    with asker.front() as front:
        front.look_up()
        front.give_up("private")
        front.give_up("error")
    with asker.front() as front:
        front.look_up()
        assert front._found is not None and front._found.lease is not None


def test_more_sources_than_a_cache_keeps_are_not_kept(asker: Asker) -> None:
    most = asker.services.settings.limits.max_cached_sources
    with asker.front() as front:
        front.look_up()
        found = asker.found(front)
        passages = [Passage(f"p{i}", "acme", 1, "a", 1.0) for i in range(most + 1)]
        told = front.store(cited(found, passages), passages, found)
    assert told.stored is None and asker.entries() == 0
    assert asker.ask().cache.reason == "empty"


def test_sources_that_changed_meanwhile_keep_the_answer_out(asker: Asker) -> None:
    with asker.front() as front:
        front.look_up()
        found = asker.found(front)
        asker.driver.delete("acme", "docs", ["first"])
        passages = passages_of(found)
        assert front.store(cited(found, passages), passages, found).stored is None
    assert asker.entries() == 0


def test_a_key_that_reads_is_served_and_keeps_nothing(asker: Asker) -> None:
    asker.ask(role=Role.READ)
    assert asker.entries() == 0
    asker.ask()
    assert asker.is_hit(role=Role.READ)


def test_refresh_asks_nothing_and_fills(asker: Asker) -> None:
    asker.ask()
    newer = asker.ask(cache="refresh", answer={"text": "Newer. [1]"})
    assert newer.answer is None and newer.cache.reason == "refresh" and newer.cache.stored is not None
    found = asker.ask()
    assert found.answer is not None and found.answer.text == "Newer. [1]" and asker.entries() == 1


def test_off_neither_asks_nor_fills(asker: Asker) -> None:
    for off in ("off", AnswerCache(use="off")):
        said = asker.ask(cache=off)
        assert (said.answer, said.cache.reason, said.cache.stored) == (None, "off", None)
    assert asker.entries() == 0


def test_a_reranked_answer_dies_with_what_the_reranker_could_have_chosen(asker: Asker) -> None:
    reranker = Reranker(by="full", depth=60)
    asker.ask(reranker=reranker, limit=1, n_packed=1)
    assert asker.is_hit(reranker=reranker, limit=1)
    asker.put("acme", {"other": "bolts"})
    assert not asker.is_hit(reranker=reranker, limit=1)


def test_those_who_ask_the_same_at_once_wait_for_one_answer(asker: Asker) -> None:
    n_written, lock, gate = 0, threading.Lock(), threading.Barrier(4)

    def ask() -> Any:
        nonlocal n_written
        gate.wait()
        with asker.front() as front:
            said = front.look_up()
            if said.answer is None:
                with lock:
                    n_written += 1
                found = asker.found(front)
                passages = passages_of(found)
                front.store(cited(found, passages), passages, found)
            return said.answer

    with ThreadPoolExecutor(4) as pool:
        answers = [future.result(30) for future in [pool.submit(ask) for _ in range(4)]]
    assert n_written == 1 and sum(answer is None for answer in answers) == 1


def test_whoever_waits_goes_on_when_the_answer_fails_or_nobody_wants_it_any_more(asker: Asker) -> None:
    stop = Stop()
    with ThreadPoolExecutor(2) as pool:
        with asker.front() as first:
            first.look_up()
            stopped = pool.submit(lambda: asker.front().look_up(stop))
            stop.request()
            assert stopped.result(30).answer is None
            waiting = pool.submit(lambda: asker.front().look_up())
        after = waiting.result(30)
    assert after.answer is None and after.cache.reason == "empty"


def test_what_a_cache_holds_that_is_no_answer_of_ours_is_a_miss(asker: Asker) -> None:
    with asker.front() as front:
        front.look_up()
        assert front._found is not None
        foreign = CacheStore(lookup_id=front._found.lookup_id, answer={"text": "foreign"})
        asker.driver.run("cache_store", "acme", ("replies",), foreign)
    said = asker.ask()
    assert (said.answer, said.cache.reason) == (None, "damaged")
    assert asker.services.answers.cache["unavailable"] == 1


def test_a_cache_that_goes_leaves_the_answer(asker: Asker) -> None:
    with asker.front() as front:
        front.look_up()
        asker.driver.run("delete_cache", None, ("replies",), Empty())
        found = asker.found(front)
        passages = passages_of(found)
        assert front.store(cited(found, passages), passages, found).stored is None
        assert front.look_up().cache.reason == "unavailable"
    assert asker.ask().cache.reason == "off"  # what the collection names is gone


def test_a_near_miss_is_offered_as_an_example(asker: Asker) -> None:
    policy = PutPolicy(threshold=1.0, explore=0.0, guard=False, example_threshold=0.5)
    asker.driver.run("put_policy", None, ("replies", "faq"), policy)
    asker.ask()
    assert asker.ask(text=OTHER_WORDS).examples == [(QUESTION, "The first. [1]")]


def test_answers_of_the_same_text_are_equal_whatever_they_took(asker: Asker) -> None:
    policy = PutPolicy(threshold=1.0, explore=0.0, guard=False, compare="equal")
    asker.driver.run("put_policy", None, ("replies", "faq"), policy)
    asker.ask()
    asker.ask(text=OTHER_WORDS, answer={"usage": TokenUsage(prompt_tokens=99, completion_tokens=1)})
    asker.ask(text="which of the pumps leaks oil", answer={"text": "Another."})
    found = asker.driver.run("cache_stats", "acme", ("replies",), Empty())
    (faq,) = [figures for figures in found.categories if figures.category == "faq"]
    assert (faq.labels_right, faq.labels_wrong) == (1, 1)


@pytest.mark.parametrize(
    ("changed", "has_vector"), [({"embedding_version": "1"}, True), ({"embedding_version": "lexical@1"}, True),
                                ({"embedding_version": "2"}, False)],
)  # fmt: skip
def test_vectors_of_another_kind_find_equal_words_only(asker: Asker, changed: dict[str, Any], has_vector: bool) -> None:
    asker.driver.run("update_cache", None, ("replies",), UpdateCache(**changed))
    asker.ask()
    assert asker.is_hit() and asker.is_hit(text=OTHER_WORDS) is has_vector


def test_what_a_request_names_and_is_not_there_is_refused(asker: Asker) -> None:
    cases: list[tuple[AnswerCache, type[VdbError], str]] = [
        (AnswerCache(name="nope"), CacheNotFound, "/rag/cache/name"),
        (AnswerCache(category="nope"), UnknownCategory, "/rag/cache/category"),
        (AnswerCache(scope="s" * 257), TooLarge, "/rag/cache/scope"),
    ]
    for given, error, pointer in cases:
        with pytest.raises(error) as caught:
            cache_choice(asker.services, asker.driver.caller("acme"), asker.collection, given, "/rag")
        assert [problem.pointer for problem in caught.value.problems] == [pointer]


def test_a_cache_of_other_tenants_does_not_exist(asker: Asker) -> None:
    asker.driver.run("update_cache", None, ("replies",), UpdateCache(tenants=["globex"]))
    assert asker.ask().cache.reason == "off"
    with pytest.raises(CacheNotFound):
        asker.ask(cache=AnswerCache(name="replies"))


def test_fingerprints_differ_where_a_part_does() -> None:
    assert fingerprint_of(1, None, {"a": 1}) == fingerprint_of(1, UNSET, {"a": 1})
    assert len({fingerprint_of("a", "b"), fingerprint_of("ab"), fingerprint_of("a", "b", None)}) == 3
