"""The embedding that a collection names, held against the models of the server."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.engine.driver import Driver, opened
from vdb.engine.models import embedder_of
from vdb.errors import ModelMismatch
from vdb.protocol.requests import EmbeddingModel, UpdateCollection
from vdb.rag.models import Models


class Fixed:
    """An embedder for vectors of 3 components."""

    name, version, is_quick = "fixed", "7", True
    least_dimension = most_dimension = 3
    is_closed = False

    def embed_queries(self, texts: Sequence[str], dimension: int) -> NDArray[np.float32]:
        return np.ones((len(texts), dimension), np.float32)

    embed_documents = embed_queries

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with opened(tmp_path / "data") as driver:
        yield driver


def model(name: str, version: str) -> EmbeddingModel:
    return EmbeddingModel(model=name, version=version)


def test_the_built_in_embedder_is_there(driver: Driver) -> None:
    driver.create("docs", 32, embedding=model("lexical", "1"))
    driver.create("plain", 3)
    catalog, services = driver.engine.services.catalog, driver.engine.services
    collection, plain = catalog.collection("docs"), catalog.collection("plain")
    assert collection is not None and plain is not None
    embedder = embedder_of(services, collection)
    assert embedder is not None and embedder.name == "lexical"
    assert embedder_of(services, plain) is None


@pytest.mark.parametrize(("version", "dimension", "said"), [("2", 64, "version '1'"), ("1", 31, "32 to 65536")])
def test_a_model_that_is_not_what_is_named_is_refused(driver: Driver, version: str, dimension: int, said: str) -> None:
    with pytest.raises(ModelMismatch, match=said) as caught:
        driver.create("docs", dimension, embedding=model("lexical", version))
    assert [problem.pointer for problem in caught.value.problems] == ["/embedding"]
    driver.create("docs", dimension, embedding=model("mine", version))
    with pytest.raises(ModelMismatch, match=said) as caught:
        driver.run("update_collection", None, ("docs",), UpdateCollection(embedding=model("lexical", version)))
    assert [problem.pointer for problem in caught.value.problems] == ["/embedding"]
    collection = driver.engine.services.catalog.collection("docs")
    assert collection is not None and collection.embedding is not None and collection.embedding.model == "mine"
    assert embedder_of(driver.engine.services, collection) is None


def test_a_collection_older_than_the_model_of_its_name_says_so_when_it_is_used(driver: Driver) -> None:
    driver.create("docs", 4, embedding=model("fixed", "7"))
    collection = driver.engine.services.catalog.collection("docs")
    assert collection is not None
    driver.engine.services.models = Models([Fixed()])
    with pytest.raises(ModelMismatch, match="makes vectors of 3 components"):
        embedder_of(driver.engine.services, collection)
    driver.run("update_collection", None, ("docs",), UpdateCollection(name="papers"))  # other changes are not held up
    driver.run("update_collection", None, ("papers",), UpdateCollection(embedding=None))


def test_the_engine_closes_its_models(tmp_path: Path) -> None:
    fixed = Fixed()
    with opened(tmp_path / "data") as driver:
        driver.engine.services.models = Models([fixed])
        assert not fixed.is_closed
    assert fixed.is_closed
