"""`vdb models`: the models of a file, and whether each answers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.rag.generate.chats import WHOLE
from tests.rag.model_server import ModelServer, Request, Say, embeddings, serving
from vdb.cli.exit_codes import ExitCode


def answered(request: Request, number: int) -> Say:
    if "messages" in request.body:
        return WHOLE if request.body["model"] == "m" else Say({"error": {"code": "model_not_found"}}, 404)
    if "documents" in request.body:
        return Say({"results": [{"index": 0, "relevance_score": 0.5}]})
    return Say({}, 404) if request.body["model"] == "absent" else Say(embeddings(request))


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with serving(answered) as running:
        yield running


@pytest.fixture
def file(server: ModelServer, tmp_path: Path) -> Path:
    path = tmp_path / "models.toml"
    path.write_text(
        f'[embedders.good]\nkind = "openai"\nurl = "{server.url}"\nmodel = "m"\nversion = "2"\ndimension = 4\n'
        f'[embedders.bad]\nkind = "openai"\nurl = "{server.url}"\nmodel = "absent"\nversion = "1"\ndimension = 4\n'
        f'[rerankers.rank]\nurl = "{server.url}"\nmodel = "r"\n'
        f'[backends.chat]\nkind = "openai"\nurl = "{server.url}"\nmodel = "m"\ncontext_tokens = 4096\n'
        f'[backends.gone]\nkind = "openai"\nurl = "{server.url}"\nmodel = "absent"\ncontext_tokens = 4096\n'
    )
    return path


def test_models_are_listed_without_being_asked(command: Command, file: Path, server: ModelServer) -> None:
    ran = command("models", "--models-file", str(file))
    assert ran.code == ExitCode.OK and not server.asked
    assert ran.rows[1:] == [
        ["embedder", "lexical", "built-in", "lexical", "1", "–"],
        ["backend", "extractive", "built-in", "extractive", "–", "–"],
        ["embedder", "good", "openai", "m", "2", "4"],
        ["embedder", "bad", "openai", "absent", "1", "4"],
        ["reranker", "rank", "cohere", "r", "–", "–"],
        ["backend", "chat", "openai", "m", "–", "–"],
        ["backend", "gone", "openai", "absent", "–", "–"],
    ]
    assert "127.0.0.1" not in ran.out and "localhost" not in ran.out


def test_a_test_asks_each_once_and_says_which_failed(command: Command, file: Path, server: ModelServer) -> None:
    ran = command("models", "--models-file", str(file), "--test", "--json")
    assert ran.code == ExitCode.REFUSED
    states = {model["name"]: model["state"] for model in ran.document["models"]}
    assert states == {
        "lexical": "ok",
        "extractive": "ok",
        "good": "ok",
        "bad": "model 'bad' answered 404",
        "rank": "ok",
    } | {
        "chat": "ok",
        "gone": "backend 'gone' answered 404 (model_not_found)",
    }
    assert len(server.asked) == 6
    assert all(model["seconds"] > 0 for model in ran.document["models"])


def test_the_setting_names_the_file(command: Command, file: Path, tmp_path: Path) -> None:
    config = tmp_path / "vdb.toml"
    config.write_text(f'models_file = "{file}"\nadmin_key_file = "/nobody/may/read/it"\n')
    assert len(command("models", "--config", str(config), "--json").document["models"]) == 7
    built_in, answering = command("models", "--test", "--json").document["models"]
    assert (built_in["name"], built_in["version"], built_in["state"]) == ("lexical", "1", "ok")
    assert (answering["name"], answering["state"]) == ("extractive", "ok")


def test_a_file_with_a_fault_is_refused(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    path.write_text("[embedders.a]\nkind = 5\n")
    ran = command("models", "--models-file", str(path))
    assert ran.code == ExitCode.REFUSED and "embedders.a.kind" in ran.err
