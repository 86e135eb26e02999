"""What every backend keeps to, whoever writes its answers."""

import threading
from collections.abc import Iterator

import pytest

from tests.rag.generate.chats import ASKED, DONE, WHOLE, asking, body, chunks, streamed, usage
from tests.rag.model_server import Say
from vdb.rag.extractive import Extractive
from vdb.rag.generate.base import Backend, Cancelled, Stop
from vdb.rag.generate.counted import CountedBackend

KINDS = {
    "events": WHOLE,
    "no usage": streamed(*chunks(), DONE),
    "no end": streamed(*chunks(), usage(), is_chunked=False),
    "one body": Say(body()),
}


@pytest.fixture(params=[*KINDS, "counted", "extractive"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    if request.param == "extractive":
        yield Extractive()
        return
    with asking(KINDS.get(request.param, WHOLE)) as (found, _):
        yield CountedBackend(found) if request.param == "counted" else found


def test_the_pieces_are_the_text(backend: Backend) -> None:
    pieces: list[str] = []
    made = backend.generate(ASKED, pieces.append, Stop())
    assert "".join(pieces) == made.text
    assert made.text.startswith("The library is opposite the town hall.") and made.text.endswith("[1]")
    assert made.finish_reason == "stop" and all(pieces)
    assert made.usage.prompt_tokens > 0 and made.usage.completion_tokens > 0
    assert made.support is None or 0.0 <= made.support <= 1.0


def test_the_same_is_answered_again_and_by_several_threads(backend: Backend) -> None:
    texts: list[str] = []
    threads = [
        threading.Thread(target=lambda: texts.append(backend.generate(ASKED, lambda _: None, Stop()).text))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(texts) == 6 and len(set(texts)) == 1
    assert backend.load == 0.0


def test_what_was_stopped_before_is_not_asked(backend: Backend) -> None:
    stop = Stop()
    stop.request()
    pieces: list[str] = []
    with pytest.raises(Cancelled):
        backend.generate(ASKED, pieces.append, stop)
    assert not pieces


def test_a_stop_at_a_piece_ends_the_answer(backend: Backend) -> None:
    stop = Stop()
    pieces: list[str] = []

    def emit(piece: str) -> None:
        pieces.append(piece)
        stop.request()

    try:
        made = backend.generate(ASKED, emit, stop)
    except Cancelled:
        made = None
    assert made is None or made.text == "".join(pieces), "what was under way ends, or was the last"
    assert backend.generate(ASKED, lambda _: None, Stop()).text.endswith("[1]"), "and the next is answered"


def test_it_says_what_it_is(backend: Backend) -> None:
    assert backend.name and backend.model
    assert 0 < backend.max_tokens < backend.context_tokens
    assert backend.message_tokens >= 0 and isinstance(backend.categories, frozenset)
    few, many = backend.counter.count(["a word", "a word and many more of them, as many as it takes"])
    assert 0 < few < many
    assert backend.counter.count([]) == [] and backend.counter.count([""]) == [0]
