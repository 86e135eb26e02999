"""Our backend against real servers over loopback, of a tiny model made on the spot: `pytest -m real_backend`.

`transformers serve` and `llama_cpp.server` run in the Pythons that REAL_BACKEND_PYTHON and REAL_LLAMA_PYTHON name, or
in this one; docs/models.md says which packages they need. Where these are missing it is skipped.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.rag.generate.chats import MESSAGES
from vdb.errors import ModelUnavailable
from vdb.rag.generate.base import Asked, Backend, Cancelled, ContextTooLong, Message, Stop
from vdb.rag.generate.tokens import prompt_tokens
from vdb.rag.models import Models

pytestmark = pytest.mark.real_backend

DOCUMENTS = sorted((Path(__file__).parents[1] / "documents").glob("*.*m*l")) + sorted(
    (Path(__file__).parents[1] / "documents").glob("*.md")
)
CONTEXT = 1024
START_S = 120.0
ASKED = Asked("q", (), MESSAGES, max_tokens=12, temperature=0.0, seed=1)
LONG = Asked("q", (), (Message("user", "Where is the library? " * 2000),), max_tokens=8)


def python_with(variable: str, *packages: str) -> str:
    """The Python that has the packages; the test is skipped where none has."""
    python = os.environ.get(variable, sys.executable)
    names = ", ".join(packages)
    if subprocess.run([python, "-c", f"import {names}"], capture_output=True).returncode:
        pytest.skip(f"{names} not installed: name a Python that has them by {variable}")
    return python


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model."""
    python = python_with("REAL_BACKEND_PYTHON", "torch", "transformers", "fastapi", "uvicorn")
    folder = tmp_path_factory.mktemp("tiny") / "tiny"
    script = Path(__file__).with_name("tiny_model.py")
    subprocess.run([python, str(script), str(folder), *map(str, DOCUMENTS)], check=True, capture_output=True)
    return folder


@contextmanager
def running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    """A server that is ended at the end; offline, its messages in a file."""
    (folder / "hub").mkdir(exist_ok=True)
    away = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_CACHE": str(folder / "hub")}
    with (folder / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | away, stdout=log, stderr=log)
    try:
        until = time.monotonic() + START_S
        while process.poll() is None and time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
                break
            time.sleep(0.1)
        assert process.poll() is None, (folder / f"{port}.log").read_text()[-2000:]
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:  # it waits for answers that never end
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module", params=["transformers", "llama-cpp-python"])
def served(request: pytest.FixtureRequest, model: Path) -> Iterator[tuple[str, int, str]]:
    """The kind of the server, its port, the model's name."""
    port = free_port()
    if request.param == "transformers":
        python = python_with("REAL_BACKEND_PYTHON", "transformers")
        serve = [str(Path(python).with_name("transformers")), "serve", str(model), "--device", "cpu"]
        command, name = [*serve, "--host", "127.0.0.1", "--port", str(port)], str(model)
    else:
        python = python_with("REAL_LLAMA_PYTHON", "llama_cpp.server.app")
        if not (model / "tiny.gguf").exists():
            pytest.skip("gguf not installed beside transformers: there is no file for llama.cpp")
        serve = [python, "-m", "llama_cpp.server", "--model", str(model / "tiny.gguf"), "--n_ctx", str(CONTEXT)]
        command, name = [*serve, "--host", "127.0.0.1", "--port", str(port)], "tiny"
    with running(command, port, model):
        yield request.param, port, name


@contextmanager
def backend_of(served: tuple[str, int, str], folder: Path, **more: Any) -> Iterator[Backend]:
    """A backend as the file of models describes it."""
    _, port, name = served
    table = {"kind": "openai", "url": f"http://127.0.0.1:{port}/v1/chat/completions", "model": name,
             "context_tokens": CONTEXT, "max_tokens": 16, "message_tokens": 4, "timeout_s": 20.0}  # fmt: skip
    path = folder / "models.toml"
    path.write_text(
        "[backends.real]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in (table | more).items())
    )
    models, _ = Models.of_file(str(path))
    try:
        found = models.backend("real")
        assert found is not None
        yield found
    finally:
        models.close()


def test_an_answer_is_streamed(served: tuple[str, int, str], tmp_path: Path) -> None:
    with backend_of(served, tmp_path) as backend:
        pieces: list[str] = []
        made = backend.generate(ASKED, pieces.append, Stop())
    assert "".join(pieces) == made.text and len(pieces) > 1
    assert made.finish_reason in ("stop", "length")
    assert made.model.startswith(served[2][:100])


def test_the_same_seed_says_the_same_again(served: tuple[str, int, str], tmp_path: Path) -> None:
    with backend_of(served, tmp_path) as backend:
        texts = {backend.generate(ASKED, lambda _: None, Stop()).text for _ in range(3)}
    assert len(texts) == 1


def test_usage_is_the_server_s_or_counted_here(served: tuple[str, int, str], model: Path, tmp_path: Path) -> None:
    """llama-cpp-python tells none in a stream."""
    file = {"tokens": "tokenizer", "tokenizer_file": str(model / "tokenizer.json")}
    with backend_of(served, tmp_path, **file) as backend:
        made = backend.generate(ASKED, lambda _: None, Stop())
        counted = prompt_tokens(backend, MESSAGES)
    assert made.usage.is_counted == (served[0] == "llama-cpp-python")
    assert 0 < made.usage.completion_tokens <= 12
    assert made.usage.prompt_tokens <= counted <= made.usage.prompt_tokens + 4 * len(MESSAGES)


def test_the_server_and_the_tokenizer_count_alike(served: tuple[str, int, str], model: Path, tmp_path: Path) -> None:
    kind, port, _ = served
    if kind != "llama-cpp-python":
        pytest.skip("transformers serve counts no tokens")
    texts = ["Where is the library?", "", "Größe – 東京", "a" * 300]
    url = f"http://127.0.0.1:{port}/extras/tokenize/count"
    with backend_of(served, tmp_path, tokens="url", tokens_url=url, tokens_shape="llama-cpp-python") as backend:
        asked = backend.counter.count(texts)
    with backend_of(served, tmp_path, tokens="tokenizer", tokenizer_file=str(model / "tokenizer.json")) as backend:
        assert backend.counter.count(texts) == asked
    with backend_of(served, tmp_path) as backend:
        assert all(few <= many for few, many in zip(asked, backend.counter.count(texts), strict=True))


def test_a_model_that_is_not_there_is_unavailable_or_answers(served: tuple[str, int, str], tmp_path: Path) -> None:
    """llama-cpp-python takes any name, and says it back."""
    with backend_of(served, tmp_path, model="nobody") as backend:
        if served[0] == "llama-cpp-python":
            assert backend.generate(ASKED, lambda _: None, Stop()).model == "nobody"
        else:
            with pytest.raises(ModelUnavailable, match="answered 400"):
                backend.generate(ASKED, lambda _: None, Stop())


def test_a_prompt_that_is_too_long_is_told(served: tuple[str, int, str], model: Path, tmp_path: Path) -> None:
    """transformers generates beyond the context of a model, without a word."""
    with backend_of(served, tmp_path) as backend:
        if served[0] == "transformers":
            made = backend.generate(LONG, lambda _: None, Stop())
            assert made.usage.prompt_tokens > CONTEXT
            return
        with pytest.raises(ContextTooLong) as caught:
            backend.generate(LONG, lambda _: None, Stop())
    with backend_of(served, tmp_path, tokens="tokenizer", tokenizer_file=str(model / "tokenizer.json")) as backend:
        (n_tokens,) = backend.counter.count([LONG.messages[0].content])
    assert n_tokens - CONTEXT <= caught.value.n_over <= n_tokens - CONTEXT + 32


def test_several_are_answered_and_none_is_taken_for_whole_that_is_not(
    served: tuple[str, int, str], tmp_path: Path
) -> None:
    """llama-cpp-python breaks off an answer when the next question comes, and says `[DONE]`."""
    asked = Asked("q", (), MESSAGES, max_tokens=40, temperature=0.0, seed=1)
    with backend_of(served, tmp_path, concurrency=1) as backend:
        one_by_one = all_of(backend, asked)
    assert len(one_by_one) == 4
    with backend_of(served, tmp_path, concurrency=4, retries=1) as backend:
        at_once = all_of(backend, asked)
    assert all(len(text) > 0.7 * len(one_by_one[0]) for text in at_once), "rounding may change single words"


def all_of(backend: Backend, asked: Asked) -> list[str]:
    """What four threads are answered, those left out that are answered by an error."""
    made: list[str] = []

    def ask() -> None:
        with suppress(ModelUnavailable):
            made.append(backend.generate(asked, lambda _: None, Stop()).text)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return made


def test_a_stop_ends_the_answer_and_the_server_answers_the_next(served: tuple[str, int, str], tmp_path: Path) -> None:
    """The last, because llama-cpp-python now and then answers nobody any more once a client has gone away."""
    with backend_of(served, tmp_path, max_tokens=900) as backend:
        stop, pieces = Stop(), list[str]()

        def emit(piece: str) -> None:
            pieces.append(piece)
            if len(pieces) == 3:
                threading.Thread(target=stop.request).start()
                assert not stopped.wait(0.2)

        stopped = threading.Event()
        with pytest.raises(Cancelled):
            backend.generate(Asked("q", (), MESSAGES, max_tokens=900), emit, stop)
        assert 3 <= len(pieces) < 900
        if served[0] != "llama-cpp-python":
            assert backend.generate(ASKED, lambda _: None, Stop()).text
