"""The file of models: what it may say, and that every fault is refused with its place."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from tests.rag.model_server import DIMENSION, Say, embeddings, serving, vector_of
from vdb.errors import InvalidArgument
from vdb.rag.backends_file import BackendEntry
from vdb.rag.embed.local import LocalEmbedder
from vdb.rag.embed.openai import OpenAIEmbedder
from vdb.rag.models import Models
from vdb.rag.models_file import EmbedderEntry, RerankerEntry, read_models

WHOLE = """
[embedders.mini]
kind = "openai"
url = "http://127.0.0.1:8000/v1/embeddings"
model = "all-MiniLM-L6-v2"
version = "2"
dimension = 384
query_prefix = "query: "
timeout_s = 5
retries = 0

[embedders."BAAI/bge-small"]
kind = "fastembed"
model = "BAAI/bge-small-en-v1.5"
version = "1.5"
dimension = 384

[rerankers.cross]
url = "https://rank.example/v2/rerank"
model = "rank-3"

[rerankers.tei]
url = "http://127.0.0.1:9000/rerank"
shape = "tei"
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "models.toml"
    path.write_text(text)
    return path


def test_every_kind_of_model_is_read(tmp_path: Path) -> None:
    models, warnings = Models.of_file(str(written(tmp_path, WHOLE)))
    assert (models.embedder_names, models.reranker_names) == (("BAAI/bge-small", "lexical", "mini"), ("cross", "tei"))
    mini = models.embedder("mini")
    assert mini is not None and (mini.version, mini.least_dimension, mini.is_quick) == ("2", 384, False)
    assert (models.embedder("nobody"), models.reranker("nobody"), warnings) == (None, None, ())
    kinds = [type(embedder) for embedder in read_models(written(tmp_path, WHOLE)).embedders]
    assert kinds == [OpenAIEmbedder, LocalEmbedder]
    models.close()


def test_without_a_file_there_is_the_built_in_one() -> None:
    models, _ = Models.of_file("")
    assert (models.embedder_names, models.reranker_names) == (("lexical",), ())


LEAST = 'kind = "openai"\nurl = "http://a/"\nmodel = "m"\nversion = "1"\ndimension = 3\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[embedder.a]", "'embedder' is no table of models: did you mean 'embedders'?"),
        ("embedders = 5", "embedders is a table of tables"),
        ("[embedders]\na = 5", "embedders.a is a table: write [embedders.a]"),
        ('[embedders.""]', "1 to 256 printable characters"),
        ('[embedders."a\\n"]', "1 to 256 printable characters"),
        ("[embedders.a]\n", "embedders.a: 'kind' is missing"),
        ("[embedders.a]\n" + LEAST.replace("url", "uri"), "'uri' is no key of a model"),
        (f"[embedders.a]\n{LEAST}api_key = 'x'", "'api_key' is no key of a model: did you mean 'api_key_file'?"),
        (f"[embedders.a]\n{LEAST}batch = 0", "embedders.a.batch must be 1 to 4096, not 0"),
        (f"[embedders.a]\n{LEAST}timeout_s = 0", "embedders.a.timeout_s must be"),
        (f"[embedders.a]\n{LEAST}timeout_s = nan", "embedders.a.timeout_s must be"),
        (f"[embedders.a]\n{LEAST}retries = '2'", "embedders.a.retries has a value of wrong form"),
        (f"[embedders.a]\n{LEAST}encoding_format = 'int8'", "encoding_format must be one of float, base64"),
        ("[embedders.a]\n" + LEAST.replace("openai", "cohere"), "kind must be one of openai, sentence-transformers"),
        ("[embedders.a]\n" + LEAST.replace("openai", "fastembed"), "'url' goes with kind 'openai'"),
        ("[embedders.a]\n" + LEAST.replace("http://a/", "a/b"), "embedders.a.url is an http or https URL"),
        ("[embedders.a]\n" + LEAST.replace("http://a/", ""), "embedders.a: 'url' is missing"),
        (f"[embedders.lexical]\n{LEAST}", "that name is the built-in embedder's"),
        ('[rerankers.a]\nurl = "http://a/"', "rerankers.a: 'model' is missing"),
        ('[rerankers.a]\nurl = "http://a/"\nmodel = "m"\nshape = "x"', "shape must be one of cohere, jina, vllm, tei"),
        ('[rerankers.a]\nkind = "openai"', "'kind' is no key of a model"),
        ("not toml", "models.toml"),
    ],
)  # fmt: skip
def test_a_fault_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(said)):
        read_models(written(tmp_path, text))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot read models_file"):
        Models.of_file(str(tmp_path / "absent.toml"))


def test_keys_come_from_files_that_nobody_else_reads(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("secret-key\n")
    key.chmod(0o600)
    with serving(lambda request, _: Say(embeddings(request))) as server:
        text = f'[embedders.a]\nkind = "openai"\nurl = "{server.url}"\nmodel = "m"\nversion = "1"\ndimension = 4\n'
        path = written(tmp_path, f'{text}api_key_file = "{key}"\n')
        models, warnings = Models.of_file(str(path))
        embedder = models.embedder("a")
        assert embedder is not None and not warnings
        assert embedder.embed_queries(["text"], DIMENSION).tolist() == [vector_of("text")]
        assert server.asked[0].headers["authorization"] == "Bearer secret-key"
        models.close()
        key.chmod(0o644)
        (warning,) = read_models(path).warnings
        assert "embedders.a.api_key_file" in warning and "chmod 600" in warning
        for wrong in ("", "two words", "two\nlines", "ключ"):
            key.write_text(wrong)
            with pytest.raises(InvalidArgument, match=r"embedders\.a\.api_key_file") as caught:
                read_models(path)
            assert not wrong or wrong not in str(caught.value)


def test_calls_are_counted_by_model(tmp_path: Path) -> None:
    with serving(lambda request, number: Say(embeddings(request), 400 if number else 200)) as server:
        text = f'[embedders.a]\nkind = "openai"\nurl = "{server.url}"\nmodel = "m"\nversion = "1"\ndimension = 4\n'
        models, _ = Models.of_file(str(written(tmp_path, text)))
        embedder = models.embedder("a")
        assert embedder is not None
        embedder.embed_queries(["one", "two"], DIMENSION)
        with pytest.raises(InvalidArgument):
            embedder.embed_documents(["three"], DIMENSION)
        models.close()
    figures = {(kind, name): (found.n_calls, found.n_failed, found.n_texts) for kind, name, found in models.figures()}
    assert figures == {("embedder", "a"): (2, 1, 3), ("embedder", "lexical"): (0, 0, 0)}
    assert all(found.seconds > 0 for _, name, found in models.figures() if name == "a")


@pytest.mark.parametrize("shape", [EmbedderEntry, RerankerEntry, BackendEntry])
def test_every_key_stands_in_its_document(shape: type) -> None:
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    assert [field.name for field in fields(shape) if f"`{field.name}`" not in text] == []
