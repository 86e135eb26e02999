"""A collection of short texts to be asked, and backends that write what a test has them write.

The threshold of a question is 0 unless a test gives one: whatever is found is answered from.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.engine.driver import WAIT_S, Driver, opened
from vdb.engine.answering import asking
from vdb.engine.answering.question import question_of
from vdb.engine.answering.run import Running, ask
from vdb.protocol.answer_answers import CitedAnswer, Event
from vdb.protocol.answer_requests import Answer
from vdb.protocol.document_requests import PutDocument, PutDocuments
from vdb.protocol.requests import EmbeddingModel, TextIndex
from vdb.rag.generate.base import Asked, Cancelled, Generated, Stop, TokenCounter, Usage
from vdb.types import Caller

TEXTS = {
    "refunds": "Refunds take five days. Ask again after a week.",
    "returns": "Print the label. Hand the parcel in at any shop.",
    "pumps": "The pump leaks at the valve. Close the valve first.",
}
QUESTION = "How long do refunds take?"


class Letters:
    """Counts characters: never less than any tokenizer."""

    is_exact: bool = True

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(text) for text in texts]


Write = Callable[[Asked, Callable[[str], None], Stop], str]


class Scripted:
    """Writes what `write` returns; keeps what it was asked. Raises what `write` raises."""

    def __init__(self, write: Write | str = "It says so. [1]", name: str = "scripted", **given: Any) -> None:
        self.name, self.model = name, f"{name}-1"
        self.context_tokens: int = given.get("context_tokens", 100_000)
        self.max_tokens: int = given.get("max_tokens", 100)
        self.message_tokens: int = given.get("message_tokens", 8)
        self.categories: frozenset[str] = frozenset(given.get("categories", ()))
        self.counter: TokenCounter = Letters()
        self.load: float = given.get("load", 0.0)
        self.finish_reason: Any = given.get("finish_reason", "stop")
        self.asked: list[Asked] = []
        self._write = write

    def generate(self, asked: Asked, emit: Callable[[str], None], stop: Stop) -> Generated:
        self.asked.append(asked)
        if isinstance(self._write, str):
            text = self._write
            for start in range(0, len(text), 5):
                emit(text[start : start + 5])
        else:
            text = self._write(asked, emit, stop)
        return Generated(text, self.finish_reason, Usage(10, 3, False), self.model)

    def close(self) -> None:
        """Nothing is open."""


def failing(error: Exception, after: str = "") -> Write:
    """Write `after`, then fail."""

    def write(asked: Asked, emit: Callable[[str], None], stop: Stop) -> str:
        if after:
            emit(after)
        raise error

    return write


def until_stopped(asked: Asked, emit: Callable[[str], None], stop: Stop) -> str:
    """Write one word, then wait until nobody wants more."""
    emit("Well ")
    stopped = threading.Event()
    stop.ends(stopped.set)
    assert stopped.wait(WAIT_S)
    raise Cancelled


class World:
    """A driver with the collection `notes` of acme's texts."""

    def __init__(self, driver: Driver, patch: pytest.MonkeyPatch) -> None:
        self.driver, self.engine, self._patch = driver, driver.engine, patch

    @property
    def services(self) -> Any:
        return self.engine.services

    def use(self, *backends: Scripted) -> None:
        """The server's backends from now on."""
        self._patch.setattr(asking, "backends_for", lambda *_: list(backends))

    def put(self, tenant: str, texts: dict[str, str], collection: str = "notes", **given: Any) -> None:
        documents = [PutDocument(id=name, text=text) for name, text in texts.items()]
        self.driver.run("put_documents", tenant, (collection,), PutDocuments(documents=documents, **given))

    def ask(
        self, question: str = QUESTION, tenant: str = "acme", collection: str = "notes", **given: Any
    ) -> CitedAnswer:
        request = Answer(collection=collection, question=question, **{"threshold": 0.0, **given})
        answer: CitedAnswer = self.driver.run("answer", tenant, (), request)
        return answer

    def begin(
        self,
        question: str = QUESTION,
        tenant: str = "acme",
        collection: str = "notes",
        caller: Caller | None = None,
        **given: Any,
    ) -> tuple[Running, list[Event]]:
        """An answer under way, and its events as they come."""
        events: list[Event] = []
        request = Answer(collection=collection, question=question, **{"threshold": 0.0, **given})
        return ask(self.services, caller or self.driver.caller(tenant), question_of(request), events.append), events


@contextmanager
def world(path: Path, **given: Any) -> Iterator[World]:
    """A world whose engine is closed at the end."""
    with opened(path, **given) as driver, pytest.MonkeyPatch.context() as patch:
        driver.create(
            "notes",
            dimension=32,
            text=TextIndex(fields={"text": 1}),
            embedding=EmbeddingModel(model="lexical", version="1"),
        )
        made = World(driver, patch)
        made.put("acme", TEXTS)
        yield made
