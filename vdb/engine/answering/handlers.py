"""Which use case answers which operation on answers, and which of them can come as a stream."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from vdb.engine.answering.calibrating import calibrate_answers
from vdb.engine.answering.chat import chat, stream_chat
from vdb.engine.answering.listed import get_model, list_models
from vdb.engine.answering.question import question_of
from vdb.engine.answering.run import Running, ask
from vdb.engine.answering.telling import Emit
from vdb.engine.answering.templates import delete_template, get_template, list_templates, put_template
from vdb.engine.answering.trec_form import check_form, trec_answer
from vdb.engine.services import Services
from vdb.protocol.answer_answers import CitedAnswer, TrecAnswer
from vdb.protocol.answer_requests import Answer
from vdb.types import Caller

__all__ = ["ANSWER_HANDLERS", "STREAMS", "answer", "stream_answer"]


def answer(
    services: Services, caller: Caller, path: tuple[str, ...], request: Answer
) -> "Future[CitedAnswer | TrecAnswer]":
    """The whole answer. Raises what is wrong with the request; see `vdb.engine.answering.run.ask`."""
    future: Future[Any] = stream_answer(services, caller, path, request, None).future
    return future


def stream_answer(
    services: Services, caller: Caller, path: tuple[str, ...], request: Answer, emit: Emit | None
) -> Running:
    """The same as it comes."""
    check_form(request)
    running = ask(services, caller, question_of(request), emit)
    if request.format == "vdb":
        return running
    future: Future[Any] = Future()
    running.future.add_done_callback(lambda done: _in_form(future, done, request))
    return Running(future, running.stop)


def _in_form(future: "Future[TrecAnswer]", done: "Future[CitedAnswer]", request: Answer) -> None:
    error = done.exception()
    if error is not None:
        future.set_exception(error)
        return
    try:
        future.set_result(trec_answer(done.result(), request))
    except Exception as exc:  # it belongs to whoever waits
        future.set_exception(exc)


ANSWER_HANDLERS: dict[str, Callable[[Services, Caller, tuple[str, ...], Any], Any]] = {
    "answer": answer,
    "calibrate_answers": calibrate_answers,
    "delete_template": delete_template,
    "get_template": get_template,
    "list_templates": list_templates,
    "put_template": put_template,
    "chat": chat,
    "list_models": list_models,
    "get_model": get_model,
}

STREAMS: dict[str, Callable[[Services, Caller, tuple[str, ...], Any, Emit | None], Running]] = {
    "answer": stream_answer,
    "chat": stream_chat,
}
