"""When a backend is left alone for a while: after failures of its own, never for what somebody asked of it."""

import threading
from math import isinf
from typing import Any

import pytest

from tests.rag.generate.chats import ASKED, DONE, asking, chunk, chunks, streamed
from tests.rag.model_server import Say
from vdb.errors import ModelUnavailable
from vdb.rag.breaker import N_FAILURES
from vdb.rag.generate.base import Stop


def failed(say: Say, times: int, **given: Any) -> float:
    """The load of a backend after it failed so often."""
    with asking(say, **given) as (backend, _):
        for _ in range(times):
            with pytest.raises(ModelUnavailable):
                backend.generate(ASKED, lambda _: None, Stop())
        return backend.load


@pytest.mark.parametrize(
    "say",
    [
        streamed(chunk({"role": "assistant", "content": ""}), chunk(finish="length"), DONE),
        streamed(chunk({"content": " "}), chunk(finish="stop"), DONE),
        streamed(chunk({"content": "No"}), chunk(finish="content_filter"), DONE),
        streamed(chunk({"tool_calls": [{"id": "a"}]}), chunk(finish="tool_calls"), DONE),
    ],
    ids=["nothing within max_tokens", "stopped at once", "filtered", "a tool is called"],
)
def test_answers_that_a_question_may_provoke_do_not_keep_a_backend_from_the_others(say: Say) -> None:
    assert not isinf(failed(say, 2 * N_FAILURES))


def test_an_answer_longer_than_the_time_does_not_keep_a_backend_from_the_others() -> None:
    assert not isinf(failed(streamed(chunks()[1], threading.Event()), N_FAILURES, timeout_s=0.2))


@pytest.mark.parametrize("say", [Say(status=500), Say(body=b"<html>")], ids=["500", "a page"])
def test_a_backend_that_fails_is_left_alone(say: Say) -> None:
    assert isinf(failed(say, N_FAILURES))
