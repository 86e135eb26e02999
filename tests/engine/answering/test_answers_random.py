"""Answers under faults of every kind, in any order: nothing half is ever kept, nobody holds a lease at the end.

Whatever a backend does, an answer that is served from the cache is one that was written whole.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.answering.test_with_a_cache import entries, leases, with_cache
from tests.engine.answering.world import Scripted, World, world
from tests.engine.driver import WAIT_S
from vdb.errors import InvalidArgument, ModelUnavailable
from vdb.rag.generate.base import Asked, Cancelled, ContextTooLong, Stop

WHOLE = "So it is [1]. And so [2]. Whole."
QUESTIONS = ("How long do refunds take?", "Where is the label printed?", "Which valve of the pump leaks?")

FAULTS = (
    "down",
    "refused",
    "too long",
    "bug",
    "cut",
    "cut by a bug",
    "stopped",
    "stopped at the end",
    "length",
    "blank",
)
STEPS = st.lists(
    st.tuples(st.sampled_from(QUESTIONS), st.sampled_from((*FAULTS, "whole", "whole", "whole")), st.booleans()),
    min_size=1,
    max_size=12,
)
RAISED: dict[str, Exception] = {
    "down": ModelUnavailable("down"), "refused": InvalidArgument("refused"), "too long": ContextTooLong(5),
    "bug": RuntimeError("a bug"), "cut": ModelUnavailable("broke off"), "cut by a bug": KeyError("a bug"),
    "stopped": Cancelled(),
}  # fmt: skip


def write_with(fault: str) -> Callable[[Asked, Callable[[str], None], Stop], str]:
    """A backend's way of answering."""

    def write(asked: Asked, emit: Callable[[str], None], stop: Stop) -> str:
        if fault in ("down", "refused", "too long", "bug"):
            raise RAISED[fault]
        if fault == "blank":
            return ""
        emit(WHOLE[:11])
        if fault == "stopped":
            stop.request()
        if fault in RAISED:
            raise RAISED[fault]
        emit(WHOLE[11:])
        if fault == "stopped at the end":
            stop.request()
        return WHOLE

    return write


def run_step(made: World, question: str, fault: str, is_stream: bool) -> None:
    made.use(Scripted(write_with(fault), finish_reason="length" if fault == "length" else "stop"))
    running, events = made.begin(question, stream=is_stream)
    error = running.future.exception(WAIT_S)
    if error is None:
        answer = running.future.result()
        is_whole = answer.text in (WHOLE, "The passages do not hold an answer to this question.")
        assert is_whole, answer.text
        assert fault in ("whole", "length", "blank") or answer.cache.hit is not None
        assert answer.cache.hit is None or answer.finish_reason == "stop"
    else:
        assert fault not in ("whole", "length", "blank"), error
        assert type(events[-1]).__name__ != "DoneEvent" if events else True


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_nothing_half_is_kept_and_no_lease_is_left(steps: list[tuple[str, str, bool]]) -> None:
    with TemporaryDirectory() as folder, world(Path(folder)) as made:
        with_cache(made)
        for step in steps:
            run_step(made, *step)
            assert leases(made) == 0, step
        kept = entries(made)
        whole = {question for question, fault, _ in steps if fault in ("whole", "blank")}
        assert {entry.text for entry in kept} <= whole
        assert made.services.generations.n_under_way == 0
        assert sum(made.services.answers.outcomes.values()) == len(steps)
