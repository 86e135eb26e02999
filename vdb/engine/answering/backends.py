"""Who is to write an answer: the backend that is named, or those that come into question, in the order to be tried."""

from collections.abc import Callable, Sequence

from vdb.engine.answering.question import Question
from vdb.engine.services import Services
from vdb.errors import ModelNotFound
from vdb.rag.generate.base import Asked, Backend, Generated, Stop, TokenCounter, Usage
from vdb.storage.catalog import CollectionDocument

__all__ = ["BUILT_IN", "EXTRACTIVE", "FirstSentences", "Words", "backend_names", "backends_for"]


EXTRACTIVE = "extractive"


class Words:
    """Counts words."""

    is_exact: bool = True

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


class FirstSentences:
    """The first line of the first passage, cited."""

    name = model = "extractive"
    context_tokens = 65_536
    max_tokens = 256
    message_tokens = 0
    categories: frozenset[str] = frozenset()
    counter: TokenCounter = Words()
    load = 0.0

    def generate(self, asked: Asked, emit: Callable[[str], None], stop: Stop) -> Generated:
        text = f"{asked.passages[0].text.partition('. ')[0]}. [1]"
        emit(text)
        return Generated(text, "stop", Usage(0, len(text.split()), True), self.model)

    def close(self) -> None:
        pass


BUILT_IN = FirstSentences()


def backends_for(services: Services, collection: CollectionDocument, question: Question) -> list[Backend]:
    """At least one, in the order in which they are to be tried; raises ModelNotFound for a name that is none."""
    if question.backend not in (None, BUILT_IN.name):
        raise ModelNotFound.at(question.backend_at, "the server knows no backend of that name")
    return [BUILT_IN]


def backend_names(services: Services) -> list[str]:
    """The names that a request may give, in order."""
    return sorted({BUILT_IN.name, *getattr(services.models, "backend_names", ())})
