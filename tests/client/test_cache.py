"""What the SDK adds to a cache's operations: `answer`, sources of hits, retrievals, waits and repeats."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import vdb
from tests.client.scripted import Reply, problem, serving
from vdb.client import Answered, AsyncClient, Cache, Client, Fresh, Hits, cache_calls, retrieval
from vdb.errors import InvalidArgument, PolicyNotFound, TransportError, Unauthenticated, Unavailable
from vdb.local import Database
from vdb.protocol.answers import Hit

WHO = "Who?"
X, Y = [1.0, 0.0], [0.0, 1.0]
NEAREST: dict[str, Any] = {"threshold": 0.9, "explore": 0.0, "guard": False}
DOWN = Reply(503, b"no", {"Retry-After": "0"})


class Model:
    """Answers, and counts how often it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.found: list[Any] = []

    def __call__(self, found: Any) -> Any:
        self.found.append(found)
        made = self.answers.pop(0)
        if isinstance(made, BaseException):
            raise made
        return made


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with vdb.open(tmp_path / "data", compile_kernels=False) as opened:
        opened.create_cache("answers", 2)
        opened.cache("answers").put_policy("faq", **NEAREST)
        opened.create_collection("docs", 2, "l2")
        yield opened


@pytest.fixture
def answers(database: Database) -> Cache:
    return database.cache("answers", tenant="acme")


def test_a_question_is_answered_once(answers: Cache) -> None:
    model = Model({"text": "I."})
    first = answers.answer(WHO, X, model, category="faq")
    again = answers.answer(WHO, None, model, category="faq")
    near = answers.answer("Who is it?", np.array([0.99, 0.1]), model, category="faq")
    assert [made.answer for made in (first, again, near)] == [{"text": "I."}] * 3
    assert [made.is_hit for made in (first, again, near)] == [False, True, True]
    assert first.stored is not None and first.stored.reason == "stored" and len(model.found) == 1
    assert again.found is not None and again.found.hit == "exact"


def test_an_error_of_the_model_goes_on_and_gives_the_lease_back(answers: Cache) -> None:
    model = Model(KeyboardInterrupt(), ValueError("no"), "I.")
    for error in (KeyboardInterrupt, ValueError):
        with pytest.raises(error):
            answers.answer(WHO, X, model, category="faq")
    answers.answer(WHO, X, model, category="faq")
    assert all(found.lease is not None for found in model.found), "whoever failed gave the lease back"
    assert answers.stats().n_entries == 1


def test_what_is_private_is_returned_and_not_stored(answers: Cache) -> None:
    made = answers.answer(WHO, X, Model(Fresh("Mine.", outcome="private")), category="faq")
    assert (made.answer, answers.stats().n_entries) == ("Mine.", 0)
    assert made.stored is not None and made.stored.reason == "private"


def test_a_category_that_is_off_asks_the_model_and_stores_nothing(database: Database, answers: Cache) -> None:
    database.cache("answers").put_policy("faq", mode="off")
    made = answers.answer(WHO, X, Model("I."), category="faq")
    assert (made.answer, made.stored, made.error) == ("I.", None, None)


def test_a_verdict_on_the_candidate_comes_with_the_answer(answers: Cache) -> None:
    answers.answer(WHO, X, Model("I."), category="faq")
    model = Model(Fresh("That.", verdict="wrong"))
    made = answers.answer("What?", Y, model, category="faq", with_candidate=True)
    assert model.found[0].candidate.answer == "I."
    assert made.stored is not None and made.stored.label == "wrong"


def test_hits_are_sources_and_a_search_is_a_retrieval(database: Database, answers: Cache) -> None:
    docs = database.collection("docs", tenant="acme")
    docs.upsert(["a", "b"], [X, Y])

    def model(found: Any) -> Fresh:
        hits = docs.search(X, limit=1)
        return Fresh("Of a.", {"docs": hits}, retrieval("docs", X, limit=1, hits=hits))

    asked: dict[str, Any] = {"category": "faq", "retrieval": retrieval("docs", limit=1)}
    made = answers.answer(WHO, X, model, **asked)
    assert made.stored is not None and made.stored.reason == "stored"
    found = answers.lookup(WHO, **asked)
    assert found.entry is not None and isinstance(found.entry.sources, list)
    assert [(source.collection, source.owner, source.id) for source in found.entry.sources] == [("docs", "acme", "a")]
    docs.upsert(["far"], [[5.0, 5.0]])
    assert answers.lookup(WHO, **asked).hit == "exact"
    docs.update_payload(["a"], {"changed": True})
    assert answers.lookup(WHO, **asked).reason == "stale" or answers.lookup(WHO, **asked).hit is None


def test_sources_are_named_in_any_of_three_ways() -> None:
    hit = Hit(id="a", owner="acme", distance=0.5, version=3)
    wanted = [{"collection": "docs", "owner": "acme", "id": "a", "version": 3}]
    assert cache_calls.sources_of({"docs": [hit]}, None) == wanted
    assert cache_calls.sources_of([hit], "docs") == wanted
    assert cache_calls.sources_of(wanted, "other") == wanted
    with pytest.raises(InvalidArgument, match="name the collection"):
        cache_calls.sources_of([hit], None)
    with pytest.raises(InvalidArgument, match="hits, points or mappings"):
        cache_calls.sources_of({"docs": ["a"]}, None)


def test_a_retrieval_has_a_distance_only_where_there_were_hits_enough() -> None:
    hits = Hits([Hit(id="a", owner="acme", distance=0.5, version=3)], 7)
    full = retrieval("docs", X, limit=1, filter={"field": "lang", "eq": "en"}, hits=hits)
    assert (full["distance"], full["sequence"], full["filter"]) == (0.5, 7, {"field": "lang", "eq": "en"})
    assert "distance" not in retrieval("docs", X, limit=2, hits=hits)
    assert retrieval("docs", limit=2) == {"collection": "docs", "limit": 2}
    with pytest.raises(InvalidArgument, match="one vector"):
        retrieval("docs", [X, Y])


def test_a_retrieval_by_words_names_its_hits_and_has_no_distance() -> None:
    hits = Hits([Hit(id="a", owner="acme", score=0.5, version=3)], 7)
    made = retrieval("docs", limit=1, hits=hits, text="pump", mode="sparse", depth=9)
    named = {"hits": [{"id": "a", "owner": "acme"}], "sequence": 7, "limit": 1, "collection": "docs"}
    assert made == named | {"text": "pump", "mode": "sparse", "depth": 9}
    assert retrieval("docs", mode="whole", hits=hits)["mode"] == "whole"


@pytest.mark.parametrize("down", [DOWN, problem(503, "shutting_down"), problem(500, "internal_error")])
def test_a_cache_that_is_down_leaves_the_model_to_answer(down: Reply) -> None:
    with serving(down) as script, Client(script.url, "key", n_retries=0) as client:
        made = client.cache("answers").answer(WHO, X, Model("I."))
        assert (made.answer, made.found, made.is_hit) == ("I.", None, False) and made.error is not None
        with pytest.raises((Unavailable, TransportError, vdb.errors.InternalError)):
            client.cache("answers").answer(WHO, X, Model("I."), fails_open=False)


def test_a_wrong_key_is_no_cache_that_is_down() -> None:
    with serving(problem(401, "unauthenticated")) as script, Client(script.url, "key") as client:
        model = Model("I.")
        with pytest.raises(Unauthenticated):
            client.cache("answers").answer(WHO, X, model)
        assert model.found == []


def test_an_answer_that_cannot_be_stored_is_returned_with_the_error() -> None:
    missed: dict[str, Any] = {
        "lookup_id": "0" * 16,
        "hit": None,
        "reason": "empty",
        "category": "faq",
        "category_from": "none",
    }
    with serving(Reply(200, missed), problem(404, "lookup_not_found")) as script, Client(script.url, "key") as client:
        made = client.cache("answers").answer(WHO, X, Model("I."))
        assert made.answer == "I." and made.error is not None and made.error.code == "lookup_not_found"


def test_a_store_is_sent_again_only_where_it_was_refused() -> None:
    stored = Reply(200, {"entry_id": "0" * 16, "reason": "stored", "label": None, "sequence": 1})
    with serving(problem(503, "queue_full"), stored) as script, Client(script.url, "key") as client:
        assert client.cache("answers").store("0" * 16, "I.").sequence == 1
        assert len(script.asked) == 2
    with serving(Reply(hangs_up=True), stored) as script, Client(script.url, "key") as client:
        with pytest.raises(TransportError):
            client.cache("answers").store("0" * 16, "I.")
        assert len(script.asked) == 1


def test_a_lookup_is_sent_again_after_a_broken_connection() -> None:
    missed: dict[str, Any] = {
        "lookup_id": "0" * 16,
        "hit": None,
        "reason": "empty",
        "category": "faq",
        "category_from": "none",
    }
    with serving(Reply(hangs_up=True), Reply(200, missed)) as script, Client(script.url, "key") as client:
        assert client.cache("answers").lookup(WHO, X).reason == "empty"
        sent = msgspec.json.decode(script.asked[1].body)
        assert sent == {"text": WHO, "vector": "AACAPwAAAAA="}, "defaults stay at home, vectors travel as bytes"


def test_a_client_waits_as_long_as_the_server_may() -> None:
    call = cache_calls.lookup("answers", {"text": WHO}, 0.0, True, 2_500, False)
    assert call.wait_s == 2.5
    assert cache_calls.lookup("answers", {"text": WHO}, 0.0, True, -1, False).wait_s == 0.0


def test_names_that_no_path_can_carry_are_not_found(answers: Cache) -> None:
    with pytest.raises(PolicyNotFound):
        answers.policy("../faq")
    with pytest.raises(InvalidArgument):
        answers.put_policy("../faq")
    with pytest.raises(vdb.errors.EntryNotFound):
        answers.get_entry("..")


def test_examples_are_pairs_or_mappings(database: Database) -> None:
    cache = database.cache("answers")
    put = cache.put_policy("chat", examples=[(WHO, X), {"text": "What?", "vector": Y}])
    assert put.n_examples == 2


def test_a_coroutine_answers_for_the_asynchronous_client() -> None:
    missed: dict[str, Any] = {
        "lookup_id": "0" * 16,
        "hit": None,
        "reason": "empty",
        "category": "faq",
        "category_from": "none",
    }
    missed |= {"lease": {"id": "0" * 16, "expires_in_s": 30.0}}
    stored = {"entry_id": "0" * 16, "reason": "stored", "label": None, "sequence": 1}

    async def ask(url: str) -> tuple[Answered, bool]:
        async with AsyncClient(url, "key") as client:
            is_asked = asyncio.Event()

            async def model(found: Any) -> str:
                return "I."

            async def never(found: Any) -> str:
                is_asked.set()
                await asyncio.sleep(60)
                return "late"

            made = await client.cache("answers").answer(WHO, X, model)
            task = asyncio.create_task(client.cache("answers").answer(WHO, X, never))
            await is_asked.wait()
            task.cancel()
            done = await asyncio.gather(task, return_exceptions=True)
            return made, isinstance(done[0], asyncio.CancelledError)

    with serving(Reply(200, missed), Reply(200, stored), Reply(200, missed), Reply(200, stored)) as script:
        made, is_cancelled = asyncio.run(ask(script.url))
        assert made.answer == "I." and made.stored is not None and is_cancelled
        assert msgspec.json.decode(script.asked[3].body) == {"outcome": "error", "lookup_id": "0" * 16}
