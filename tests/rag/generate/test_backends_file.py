"""Backends in the file of models: what a table may say, and what is counted of their calls."""

import re
from pathlib import Path

import pytest

from tests.rag.generate.chats import ASKED, TEXT, WHOLE
from tests.rag.model_server import Say, serving
from vdb.errors import InvalidArgument, ModelUnavailable
from vdb.rag.generate.base import Backend, Cancelled, Stop
from vdb.rag.generate.estimate import Estimate
from vdb.rag.generate.tokens import ByteBound, TokenizerCounter, UrlCounter
from vdb.rag.models import Models
from vdb.rag.models_file import read_models

LEAST = 'kind = "openai"\nurl = "http://a/v1/chat/completions"\nmodel = "m"\ncontext_tokens = 4096\n'


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "models.toml"
    path.write_text(text)
    return path


def named(models: Models, name: str) -> Backend:
    found = models.backend(name)
    assert found is not None
    return found


def test_backends_are_read_with_their_counters(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    text = (
        f"[backends.one]\n{LEAST}categories = ['code', 'law']\nmax_tokens = 100\nmessage_tokens = 3\n"
        f"[backends.two]\n{LEAST}tokens = 'estimate'\n"
        f"[backends.three]\n{LEAST}tokens = 'tokenizer'\ntokenizer_file = '{tmp_path / 'tokenizer.json'}'\n"
        f"[backends.four]\n{LEAST}tokens = 'url'\ntokens_url = 'http://a/tokenize'\ntokens_shape = 'vllm'\n"
    )
    models, warnings = Models.of_file(str(written(tmp_path, text)))
    assert {"four", "one", "three", "two"} <= set(models.backend_names) and not warnings
    assert list(models.backend_names) == sorted(models.backend_names) == [each.name for each in models.backends]
    one = named(models, "one")
    assert (one.model, one.context_tokens, one.max_tokens, one.message_tokens) == ("m", 4096, 100, 3)
    assert (one.categories, one.load) == (frozenset(("code", "law")), 0.0)
    counters = [type(named(models, name).counter) for name in ("one", "two", "three", "four")]
    assert counters == [ByteBound, Estimate, TokenizerCounter, UrlCounter]
    assert models.backend("nobody") is None
    assert [(row.use, row.name, row.kind, row.model) for row in read_models(written(tmp_path, text)).listed] == [
        ("backend", name, "openai", "m") for name in ("one", "two", "three", "four")
    ]
    models.close()
    with pytest.raises(ModelUnavailable, match="shutting down"):
        one.generate(ASKED, lambda _: None, Stop())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[backends.a]\n", "backends.a: 'kind' is missing"),
        ("[backends.a]\n" + LEAST.replace("model", "modell"), "did you mean 'model'?"),
        ("[backends.a]\n" + LEAST.replace("openai", "ollama"), "backends.a.kind must be one of openai"),
        ("[backends.a]\n" + LEAST.replace("context_tokens = 4096", ""), "'context_tokens' is missing"),
        (f"[backends.a]\n{LEAST}max_tokens = 4096", "max_tokens must be less than context_tokens"),
        (f"[backends.a]\n{LEAST}temperature = 3", "backends.a.temperature must be 0 to 2"),
        (f"[backends.a]\n{LEAST}temperature = -1", "backends.a.temperature must be 0 to 2"),
        (f"[backends.a]\n{LEAST}idle_timeout_s = 0", "backends.a.idle_timeout_s must be"),
        (f"[backends.a]\n{LEAST}concurrency = 0", "backends.a.concurrency must be 1 to 1024"),
        (f"[backends.a]\n{LEAST}categories = 'code'", "backends.a.categories has a value of wrong form"),
        (f"[backends.a]\n{LEAST}categories = [5]", "backends.a.categories has a value of wrong form"),
        (f"[backends.a]\n{LEAST}categories = ['']", "backends.a.categories holds an empty name"),
        (f"[backends.a]\n{LEAST}stream_usage = 1", "backends.a.stream_usage has a value of wrong form"),
        (f"[backends.a]\n{LEAST}tokens = 'tiktoken'", "tokens must be one of bound, estimate, tokenizer, url"),
        (f"[backends.a]\n{LEAST}tokens = 'tokenizer'", "'tokenizer_file' is missing"),
        (f"[backends.a]\n{LEAST}tokens = 'tokenizer'\ntokenizer_file = '/absent'", "there is no file /absent"),
        (f"[backends.a]\n{LEAST}tokenizer_file = '/absent'", "'tokenizer_file' goes with tokens = 'tokenizer'"),
        (f"[backends.a]\n{LEAST}tokens = 'url'\ntokens_url = 'http://a/'", "'tokens_shape' is missing"),
        (f"[backends.a]\n{LEAST}tokens = 'url'\ntokens_url = 'a'\ntokens_shape = 'vllm'", "tokens_url is an http"),
        (f"[backends.extractive]\n{LEAST}", "that name is the built-in backend's"),
        (f"[backends.'a/b']\n{LEAST}", "a backend's name has 1 to 64 letters"),
        (f"[backends.'ä']\n{LEAST}", "a backend's name has 1 to 64 letters"),
    ],
)
def test_a_fault_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(said)):
        read_models(written(tmp_path, text))


def test_the_built_in_backend_is_there_and_says_that_it_quotes() -> None:
    models, _ = Models.of_file("")
    assert models.backend_names == ("extractive",)
    assert getattr(named(models, "extractive"), "is_verbatim", False) is True
    models.close()


def test_calls_are_counted_by_backend(tmp_path: Path) -> None:
    said = [WHOLE, Say({}, 500), Say({}, 400), WHOLE]
    with serving(lambda request, number: said[number]) as server:
        text = LEAST.replace("http://a/v1/chat/completions", server.url)
        models, _ = Models.of_file(str(written(tmp_path, f"[backends.a]\n{text}retries = 0\n")))
        backend = named(models, "a")
        assert backend.generate(ASKED, lambda _: None, Stop()).text == TEXT
        with pytest.raises(ModelUnavailable):
            backend.generate(ASKED, lambda _: None, Stop())
        with pytest.raises(InvalidArgument):
            backend.generate(ASKED, lambda _: None, Stop())
        stop = Stop()
        with pytest.raises(Cancelled):
            backend.generate(ASKED, lambda _: stop.request(), stop)
        models.close()
    figures = dict(models.backend_figures())["a"]
    assert (figures.n_calls, figures.n_failed, figures.n_refused, figures.n_cancelled) == (4, 1, 1, 1)
    assert (figures.prompt_tokens, figures.completion_tokens, figures.n_first, figures.n_retries) == (40, 9, 2, 0)
    assert figures.seconds >= figures.first_token_seconds > 0.0 and not figures.is_open
