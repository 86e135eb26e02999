"""What is wrong with a question is told before any work, at the member at fault; what is hidden is not there."""

from typing import Any

import pytest

from tests.engine.answering.world import QUESTION, Scripted, World
from tests.engine.driver import Driver
from vdb.errors import CollectionNotFound, SequenceTimeout, TenantNotFound, VdbError
from vdb.protocol.answer_requests import Answer, ContextOptions
from vdb.protocol.requests import Fusion, Reranker, SearchParams

BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "an empty question": ({"question": ""}, "invalid_argument", "/question"),
    "a question of blanks": ({"question": " \n"}, "invalid_argument", "/question"),
    "a question that is too long": ({"question": "x" * 70_000}, "too_large", "/question"),
    "a question that is no Unicode": ({"question": "\ud800"}, "invalid_argument", "/question"),
    "a limit of none": ({"limit": 0}, "invalid_argument", "/limit"),
    "a limit beyond all": ({"limit": 10**9}, "invalid_argument", "/limit"),
    "a vector of another dimension": ({"vector": [1.0]}, "dimension_mismatch", "/vector"),
    "a vector with NaN": ({"vector": [float("nan")] * 32}, "non_finite_vector", "/vector"),
    "a filter that is none": ({"filter": {"field": 3}}, "invalid_filter", "/filter/field"),
    "an effort that is none": ({"params": SearchParams(recall=2.0)}, "invalid_argument", "/params/recall"),
    "a depth that is none": ({"fusion": Fusion(depth=0)}, "invalid_argument", "/fusion/depth"),
    "a reranker that is not there": (
        {"reranker": Reranker(by="model", model="nobody")}, "invalid_argument", "/reranker/model",
    ),
    "a budget of nothing": ({"context": ContextOptions(tokens=0)}, "invalid_argument", "/context/tokens"),
    "a negative cost": ({"context": ContextOptions(cost=-1.0)}, "invalid_argument", "/context/cost"),
    "no passages": ({"context": ContextOptions(passages=0)}, "invalid_argument", "/context/passages"),
    "a redundancy that is no number": (
        {"context": ContextOptions(redundancy=float("nan"))}, "invalid_argument", "/context/redundancy",
    ),
    "a threshold above one": ({"threshold": 1.5}, "invalid_argument", "/threshold"),
    "a threshold that is no number": ({"threshold": float("nan")}, "invalid_argument", "/threshold"),
    "no tokens for the answer": ({"max_tokens": 0}, "invalid_argument", "/max_tokens"),
    "a temperature beyond all": ({"temperature": 9.0}, "invalid_argument", "/temperature"),
    "a negative sequence": ({"min_sequence": -1}, "invalid_argument", "/min_sequence"),
    "a backend that is not there": ({"backend": "nobody"}, "model_not_found", "/backend"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_is_told_at_the_member_at_fault(made: World, what: str) -> None:
    given, code, pointer = BAD[what]
    request = Answer(**{"collection": "notes", "question": QUESTION, **given})
    before = made.services.generations.n_under_way
    with pytest.raises(VdbError) as caught:
        made.engine.run("answer", made.driver.caller("acme"), (), request)  # at once, not by the future
    assert caught.value.code == code
    assert [problem.pointer for problem in caught.value.problems] == [pointer]
    assert made.services.generations.n_under_way == before
    assert made.services.answers.outcomes["error"] == 1


def test_a_sequence_that_is_not_there_yet_is_waited_for_by_whoever_asked(made: World) -> None:
    with pytest.raises(SequenceTimeout):
        made.engine.run(
            "answer", made.driver.caller("acme"), (), Answer(collection="notes", question=QUESTION, min_sequence=99)
        )


def test_a_collection_that_is_hidden_is_not_there(made: World) -> None:
    made.put("globex", {"other": "A text of globex."})
    made.driver.create("hidden", dimension=2, tenants=["acme"])
    with pytest.raises(CollectionNotFound) as hidden:
        made.ask(tenant="globex", collection="hidden")
    with pytest.raises(CollectionNotFound) as absent:
        made.ask(tenant="globex", collection="absent")
    assert str(hidden.value) == str(absent.value)
    with pytest.raises(TenantNotFound):
        made.ask(tenant="nobody")


def test_a_collection_that_cannot_be_searched_by_the_question_says_what_is_missing(made: World) -> None:
    driver: Driver = made.driver
    driver.create("plain", dimension=2)
    driver.upsert("acme", "plain", ["a"], [[1.0, 0.0]])
    with pytest.raises(VdbError, match="no text index") as caught:
        made.ask(collection="plain")
    assert [problem.pointer for problem in caught.value.problems] == ["/question"]


def test_nothing_of_another_tenant_reaches_a_prompt(made: World) -> None:
    backend = Scripted()
    made.use(backend)
    made.put("globex", {"secret": "Refunds of globex take ninety days."})
    for whole in (True, False):
        made.ask(context=ContextOptions(whole=whole))
    assert all("ninety" not in message.content for asked in backend.asked for message in asked.messages)
    assert {passage.owner for asked in backend.asked for passage in asked.passages} == {"acme"}


def test_what_is_shared_with_a_tenant_and_what_everyone_sees_are_passages(made: World) -> None:
    backend = Scripted()
    made.use(backend)
    made.put("globex", {"own": "A text of globex."})
    made.driver.share("acme", "notes", ["refunds#0"], ["globex"])
    for whole in (True, False):
        made.ask(tenant="globex", context=ContextOptions(whole=whole))
    everything, searched = ({(p.document, p.owner) for p in asked.passages} for asked in backend.asked)
    assert everything == {("own", "globex"), ("refunds", "acme")}
    assert ("refunds", "acme") in searched
