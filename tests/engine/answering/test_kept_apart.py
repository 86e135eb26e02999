"""What a cached answer must not outlive, and what must not be answered with it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.answering.asker import OTHER_WORDS, Asker, cited, passages_of
from tests.engine.driver import opened
from vdb.protocol.answering import Answering
from vdb.protocol.cache_requests import PutPolicy, UpdateCache
from vdb.protocol.requests import FusionChoice, TextIndex, UpdateCollection


@pytest.fixture
def asker(tmp_path: Path) -> Iterator[Asker]:
    with opened(tmp_path / "data") as driver:
        made = Asker(driver)
        made.fill()
        yield made


@pytest.mark.parametrize(
    "changed",
    [
        {"text": TextIndex(fields={"text": 1, "title": 3})},
        {"text": TextIndex(language="german")},
        {"text": None},
        {"fusion": FusionChoice(kind="rrf", weight=0.1)},
        {"embedding": None},
    ],
    ids=["fields", "language", "no index", "fusion", "embedding"],
)
def test_an_answer_dies_with_what_its_collection_was_searched_by(asker: Asker, changed: dict[str, Any]) -> None:
    asker.ask()
    assert asker.is_hit()
    asker.driver.run("update_collection", None, ("docs",), UpdateCollection(**changed))
    assert not asker.is_hit()


def test_an_answer_outlives_what_a_search_does_not_go_by(asker: Asker) -> None:
    asker.ask()
    own = Answering(cache="replies", category="faq", threshold=0.3)
    asker.driver.run("update_collection", None, ("docs",), UpdateCollection(metadata={"a": "b"}, answering=own))
    assert asker.is_hit()


def test_equal_words_with_a_vector_of_something_else_are_another_question(asker: Asker) -> None:
    one, other = asker.embedded(["the pump leaks oil", "a gasket"])
    asker.ask(vector=one)
    assert asker.is_hit(vector=one)
    assert not asker.is_hit(vector=other) and not asker.is_hit()


def test_a_vector_that_the_cache_cannot_compare_tells_questions_apart(asker: Asker) -> None:
    asker.driver.run("update_cache", None, ("replies",), UpdateCache(embedding_version="of another model"))
    one, other = asker.embedded(["the pump leaks oil", "a gasket"])
    asker.ask(vector=one)
    assert asker.is_hit(vector=one) and not asker.is_hit(vector=other)


def test_words_and_vectors_that_are_nearly_the_same_are_a_hit(asker: Asker) -> None:
    (one,) = asker.embedded(["the pump leaks oil"])
    asker.ask(vector=one)
    assert asker.is_hit(text=OTHER_WORDS, vector=(one + np.float32(1e-4)).astype(np.float32))


def test_an_answer_dies_with_the_sources_of_the_example_that_it_was_written_after(asker: Asker) -> None:
    policy = PutPolicy(threshold=0.999, explore=0.0, guard=False, example_threshold=0.1)
    asker.driver.run("put_policy", None, ("replies", "faq"), policy)
    asker.ask(n_packed=1)  # from "first"
    with asker.front(text=OTHER_WORDS) as front:
        said = front.look_up()
        assert said.answer is None and said.examples
        found = asker.found(front)
        passages = [passage for passage in passages_of(found) if passage.id == "second"]
        front.store(cited(found, passages), passages, found)
    assert asker.is_hit(text=OTHER_WORDS)
    asker.driver.delete("acme", "docs", ["first"])
    assert not asker.is_hit(text=OTHER_WORDS)
