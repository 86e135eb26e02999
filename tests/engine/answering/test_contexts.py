"""What goes into a prompt: never more than a backend's context holds; everything, where it fits."""

from dataclasses import replace

import numpy as np
import pytest
from msgspec.structs import replace as replace_wish

from tests.engine.answering.world import QUESTION, TEXTS, Letters, Scripted, World
from tests.engine.driver import WAIT_S
from vdb.engine.answering.question import question_of
from vdb.engine.answering.run import ask
from vdb.errors import BudgetTooSmall
from vdb.protocol.answer_requests import Answer, ContextOptions
from vdb.protocol.answering import Answering
from vdb.protocol.requests import Search, TextIndex, UpdateCollection
from vdb.rag.generate.base import Asked, Message

MANY = {f"d{i}": f"Refund number {i} takes {i} days. " * (1 + i % 7) for i in range(60)}


def n_letters(backend: Scripted, asked: Asked) -> int:
    """The whole of a context: what is sent, and what may come back."""
    sent = sum(Letters().count([message.content for message in asked.messages]))
    return sent + backend.message_tokens * len(asked.messages) + (asked.max_tokens or 0)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("context_tokens", [1_200, 1_500, 2_345, 6_000])
def test_a_prompt_and_its_answer_never_exceed_the_backends_context(
    made: World, context_tokens: int, whole: bool
) -> None:
    made.put("acme", MANY)
    backend = Scripted(context_tokens=context_tokens)
    made.use(backend)
    answer = made.ask(context=ContextOptions(whole=whole))
    assert n_letters(backend, backend.asked[0]) <= context_tokens
    assert answer.context.tokens <= answer.context.budget_tokens
    assert answer.context.passages == len(backend.asked[0].passages) >= 1
    assert not answer.context.whole


def test_a_budget_bounds_the_passages(made: World) -> None:
    made.put("acme", MANY)
    made.use(Scripted())
    answer = made.ask(context=ContextOptions(tokens=400), explain=True)
    assert answer.context.budget_tokens == 400 and answer.context.tokens <= 400
    assert isinstance(answer.context.dropped, list) and answer.context.dropped
    assert {dropped.reason for dropped in answer.context.dropped} <= {
        "budget", "redundant", "worthless", "empty", "duplicate",
    }  # fmt: skip
    assert answer.context.passages + len(answer.context.dropped) <= 50


@pytest.mark.parametrize("most", [None, 3])
def test_the_best_passages_come_into_question_and_the_others_are_told(made: World, most: int | None) -> None:
    made.put("acme", MANY)
    backend = Scripted()
    made.use(backend)
    wish = ContextOptions(whole=False, redundancy=0.0, cost=0.0)
    answer = made.ask(context=wish if most is None else replace_wish(wish, passages=most), limit=50, explain=True)
    assert 1 <= answer.context.passages <= (most or 20)
    dropped = answer.context.dropped
    assert isinstance(dropped, list)
    assert len(dropped) + answer.context.passages == 50
    assert len({one.id for one in dropped} | {one.id for one in backend.asked[0].passages}) == 50
    scores = [passage.score for passage in backend.asked[0].passages]
    best = made.driver.run("search", "acme", ("notes",), Search(text=QUESTION, limit=50)).hits[: most or 20]
    assert set(scores) <= {hit.score for hit in best}


def test_the_collections_budget_holds_where_a_question_has_none(made: World) -> None:
    made.put("acme", MANY)
    made.use(Scripted())
    stated = UpdateCollection(answering=Answering(context_tokens=300, limit=5))
    made.driver.run("update_collection", None, ("notes",), stated)
    assert made.ask().context.budget_tokens == 300
    assert made.ask(context=ContextOptions(tokens=500)).context.budget_tokens == 500


def test_a_budget_smaller_than_a_passage_is_refused(made: World) -> None:
    backend = Scripted()
    made.use(backend)
    with pytest.raises(BudgetTooSmall) as caught:
        made.ask(context=ContextOptions(tokens=3))
    assert [problem.pointer for problem in caught.value.problems] == ["/context/tokens"]
    assert backend.asked == []


def test_a_tenant_whose_points_all_fit_gets_all_of_them_in_their_order(made: World) -> None:
    backend = Scripted()
    made.use(backend)
    answer = made.ask(limit=1)
    assert answer.context.whole
    assert [passage.document for passage in backend.asked[0].passages] == list(TEXTS)
    assert not made.ask(limit=1, context=ContextOptions(whole=False)).context.whole
    assert len(backend.asked[1].passages) == 1


def test_a_filter_bounds_everything(made: World) -> None:
    backend = Scripted()
    made.use(backend)
    made.ask(filter={"field": "document", "eq": "pumps"})
    assert [passage.document for passage in backend.asked[0].passages] == ["pumps"]


@pytest.mark.parametrize("whole", [True, False])
def test_references_have_the_scores_of_the_search(made: World, whole: bool) -> None:
    made.use(Scripted("It does [1]."))
    answer = made.ask(context=ContextOptions(whole=whole))
    assert answer.references[0].document == "refunds" and answer.references[0].score > 0


def test_a_collection_without_a_text_index_is_searched_by_vector_alone(made: World) -> None:
    made.driver.create("dense", dimension=2)
    made.driver.upsert("acme", "dense", ["a"], [[1.0, 0.0]], payloads=[{"text": "By vector."}])
    backend = Scripted()
    made.use(backend)
    made.ask(collection="dense", vector=[1.0, 0.0], context=ContextOptions(whole=False))
    assert [passage.text for passage in backend.asked[0].passages] == ["By vector."]


def test_a_collection_without_a_model_is_searched_by_words_alone(made: World) -> None:
    made.driver.create("sparse", dimension=2, text=TextIndex(fields={"body": 1}))
    made.driver.upsert(
        "acme", "sparse", ["a", "b"], np.eye(2, dtype=np.float32),
        payloads=[{"body": "Refunds take long.", "text": "not this"}, {"body": "Nothing.", "title": 3, "heading": "x"}],
    )  # fmt: skip
    backend = Scripted()
    made.use(backend)
    made.ask(QUESTION, collection="sparse", context=ContextOptions(whole=False))
    (passage,) = backend.asked[0].passages
    assert (passage.text, passage.title, passage.document, passage.chunk) == ("Refunds take long.", "", "", None)


@pytest.mark.parametrize("n_tokens", [1_024, 8_192, 100_000])
def test_the_built_in_backend_answers_however_much_it_may_say(made: World, n_tokens: int) -> None:
    answer = made.ask(max_tokens=n_tokens)
    assert (answer.backend, answer.found, answer.finish_reason) == ("extractive", True, "stop")


def test_a_long_chat_leaves_the_built_in_backend_its_passages(made: World) -> None:
    said = Message("user", "Hello. " * 20_000)
    question = replace(question_of(Answer(collection="notes", question=QUESTION, threshold=0.0)), history=(said,))
    answer = ask(made.services, made.driver.caller("acme"), question, None).future.result(WAIT_S)
    assert (answer.backend, answer.found) == ("extractive", True)
