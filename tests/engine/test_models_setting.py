"""The setting `models_file`: read when an engine opens."""

import logging
from pathlib import Path

import pytest

from tests.engine.driver import opened, small
from vdb.engine.engine import Engine
from vdb.errors import InvalidArgument, ModelMismatch
from vdb.protocol.requests import EmbeddingModel

MINI = """
[embedders.mini]
kind = "openai"
url = "http://127.0.0.1:1/v1/embeddings"
model = "mini"
version = "2"
dimension = 8
"""


def test_collections_are_held_against_the_models_of_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    key = tmp_path / "key"
    key.write_text("secret-key")
    key.chmod(0o644)
    (tmp_path / "models.toml").write_text(f'{MINI}api_key_file = "{key}"\n')
    with (
        caplog.at_level(logging.WARNING),
        opened(tmp_path / "data", models_file=str(tmp_path / "models.toml")) as driver,
    ):
        driver.create("docs", 8, embedding=EmbeddingModel(model="mini", version="2"))
        with pytest.raises(ModelMismatch, match="has version '2'"):
            driver.create("others", 8, embedding=EmbeddingModel(model="mini", version="3"))
    assert "chmod 600" in caplog.text and "secret-key" not in caplog.text


def test_a_file_with_a_fault_opens_nothing_and_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    path.write_text(f"{MINI}colour = 'red'\n")
    with pytest.raises(InvalidArgument, match="'colour' is no key"):
        Engine.open(small(tmp_path / "data", models_file=str(path)))
    path.write_text(MINI)
    Engine.open(small(tmp_path / "data", models_file=str(path))).close()
