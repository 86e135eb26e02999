"""What becomes of an answer where a backend fails, refuses, finds the prompt too long, or writes nothing of use."""

from collections.abc import Callable

import pytest

from tests.engine.answering.world import Scripted, World, failing
from tests.engine.driver import WAIT_S
from vdb.errors import BudgetTooSmall, InvalidArgument, ModelUnavailable
from vdb.protocol.answer_answers import RetrievalEvent
from vdb.rag.generate.base import Asked, ContextTooLong, Stop

DOWN = ModelUnavailable("the backend is down")


def too_long_at_first(n_over: int) -> Callable[[Asked, Callable[[str], None], Stop], str]:
    """Finds the first prompt too long."""
    n_calls = 0

    def write(asked: Asked, emit: Callable[[str], None], stop: Stop) -> str:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 1:
            raise ContextTooLong(n_over)
        emit("Now it fits [1].")
        return "Now it fits [1]."

    return write


def test_the_next_backend_answers_where_the_first_is_down(made: World) -> None:
    first, second = Scripted(failing(DOWN), "first"), Scripted(name="second")
    made.use(first, second)
    answer = made.ask()
    assert (answer.backend, answer.model) == ("second", "second-1")
    assert len(first.asked) == len(second.asked) == 1
    assert made.services.answers.n_failovers == 1


def test_a_backend_that_breaks_off_is_not_replaced(made: World) -> None:
    second = Scripted(name="second")
    made.use(Scripted(failing(DOWN, after="Half an "), "first"), second)
    running, _ = made.begin()
    with pytest.raises(ModelUnavailable):
        running.future.result(WAIT_S)
    assert second.asked == []
    assert made.services.answers.outcomes["error"] == 1


def test_the_first_error_is_told_where_none_answers(made: World) -> None:
    made.use(Scripted(failing(DOWN), "first"), Scripted(failing(ModelUnavailable("another")), "second"))
    with pytest.raises(ModelUnavailable, match="is down"):
        made.ask()


def test_a_request_that_a_backend_refuses_goes_to_no_other(made: World) -> None:
    second = Scripted(name="second")
    made.use(Scripted(failing(InvalidArgument("no such parameter")), "first"), second)
    with pytest.raises(InvalidArgument, match="no such parameter"):
        made.ask()
    assert second.asked == []


@pytest.mark.parametrize("n_over", [0, 30])
def test_a_prompt_that_is_too_long_is_made_shorter_once(made: World, n_over: int) -> None:
    backend = Scripted(too_long_at_first(n_over))
    made.use(backend)
    running, events = made.begin()
    answer = running.future.result(WAIT_S)
    first, second = backend.asked
    assert len("".join(p.text for p in second.passages)) < len("".join(p.text for p in first.passages))
    assert answer.text == "Now it fits [1]." and made.services.answers.n_repacked == 1
    told = [event for event in events if isinstance(event, RetrievalEvent)]
    assert len(told) == 2 and len(told[-1].passages) == len(second.passages)


def test_a_prompt_that_stays_too_long_is_an_error_of_the_budget(made: World) -> None:
    backend = Scripted(failing(ContextTooLong()))
    made.use(backend)
    with pytest.raises(BudgetTooSmall) as caught:
        made.ask()
    assert len(backend.asked) == 2
    assert [problem.pointer for problem in caught.value.problems] == ["/context/tokens"]


def test_a_prompt_too_long_for_one_backend_goes_to_the_next(made: World) -> None:
    made.use(Scripted(failing(ContextTooLong()), "first"), Scripted(name="second"))
    assert made.ask().backend == "second"


def test_a_backend_with_too_small_a_context_is_passed_over(made: World) -> None:
    small = Scripted(name="small", context_tokens=120)
    made.use(small, Scripted(name="large"))
    assert made.ask().backend == "large" and small.asked == []
    made.use(small)
    with pytest.raises(BudgetTooSmall):
        made.ask()


def test_an_error_that_nobody_foresaw_is_the_futures(made: World) -> None:
    made.use(Scripted(failing(RuntimeError("a bug"))))
    running, _ = made.begin()
    with pytest.raises(RuntimeError):
        running.future.result(WAIT_S)
    made.use(Scripted())
    assert made.ask().found
