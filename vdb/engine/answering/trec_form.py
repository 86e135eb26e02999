"""Answers in the form of the TREC 2024 RAG track, where a request wants them so."""

import msgspec
from msgspec import UnsetType

from vdb.errors import InvalidArgument
from vdb.protocol.answer_answers import CitedAnswer, TrecAnswer
from vdb.protocol.answer_requests import Answer
from vdb.rag.trec import trec_rag

__all__ = ["DEFAULT_RUN", "DEFAULT_TOPIC", "MAX_NAME_CHARS", "check_form", "trec_answer"]

MAX_NAME_CHARS = 256
DEFAULT_RUN, DEFAULT_TOPIC = "vdb", "1"


def check_form(request: Answer) -> None:
    """Raise InvalidArgument where the form and what goes with it contradict each other."""
    is_trec = request.format == "trec_rag"
    for name in ("topic_id", "run_id"):
        given = getattr(request, name)
        if isinstance(given, UnsetType):
            continue
        if not is_trec:
            raise InvalidArgument.at(f"/{name}", f"{name} goes with format trec_rag")
        if not given.strip() or len(given) > MAX_NAME_CHARS:
            raise InvalidArgument.at(f"/{name}", f"{name} has 1 to {MAX_NAME_CHARS} characters")
    if is_trec and request.stream:
        raise InvalidArgument.at("/stream", "an answer of format trec_rag does not come as a stream")


def trec_answer(answer: CitedAnswer, request: Answer) -> TrecAnswer:
    """The record of an answer, cut to what the rules allow."""
    topic = DEFAULT_TOPIC if isinstance(request.topic_id, UnsetType) else request.topic_id
    run = DEFAULT_RUN if isinstance(request.run_id, UnsetType) else request.run_id
    return msgspec.convert(trec_rag(answer, request.question, topic, run), TrecAnswer)
