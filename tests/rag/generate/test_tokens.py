"""Tokens counted: by a bound, an estimate, a tokenizer, a server."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tests.rag.generate.chats import MESSAGES, asking, chunks, streamed, usage
from tests.rag.model_server import Request, Say, serving
from vdb.errors import ModelUnavailable
from vdb.rag.connection import address_of
from vdb.rag.endpoint import Endpoint, Patience
from vdb.rag.generate.base import Asked, Message, Stop
from vdb.rag.generate.estimate import FIRST_SHARE, Estimate
from vdb.rag.generate.tokens import ByteBound, TokenizerCounter, UrlCounter, prompt_tokens, upper_bound

TEXTS = ("The library is opposite the town hall.", "Größe – 東京 😀", "", "a" * 500, "\ud800")
PROSE = "The library is opposite the town hall, and it opens at nine. " * 40


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE trained on the spot."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([PROSE], trainer)
    tokenizer.enable_truncation(8)
    path = tmp_path_factory.mktemp("tokens") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_the_bound_is_bytes() -> None:
    counter = ByteBound()
    assert counter.count(TEXTS[:4]) == [38, len(TEXTS[1].encode()), 0, 500] and not counter.is_exact
    assert counter.count(["\ud800"]) == [3]


@given(st.text(max_size=200))
def test_no_text_has_more_tokens_than_bytes(text: str) -> None:
    """For a byte-level BPE: each byte is at most one token."""
    assert len(_TOKENIZER.encode(text, add_special_tokens=False).ids) <= upper_bound(text)


_TOKENIZER = Tokenizer(models.BPE())
_TOKENIZER.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
_TOKENIZER.train_from_iterator(
    [PROSE],
    trainers.BpeTrainer(vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False),
)


def test_a_tokenizer_counts_exactly_and_each_text_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = TokenizerCounter("backend 'b'", str(file))
    expected = [len(Tokenizer.from_file(str(file)).encode(text).ids) for text in ("town", "hall of")]
    assert counter.count(["town", "hall of", "town"]) == [expected[0], expected[1], expected[0]]
    assert counter.count(["a" * 500])[0] > 8, "what the file cuts is counted whole"
    assert counter.is_exact and counter.count([]) == [] and counter.count([""]) == [0]
    assert counter.count(TEXTS)[4] >= 1
    monkeypatch.setattr(counter, "_loaded", lambda: pytest.fail("it was counted already"))
    assert counter.count(["hall of", "town"]) == expected[::-1]


def test_a_tokenizer_that_is_none_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    counter = TokenizerCounter("backend 'b'", str(tmp_path / "tokenizer.json"))
    with pytest.raises(ModelUnavailable, match="backend 'b' cannot load its tokenizer_file"):
        counter.count(["text"])
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ModelUnavailable, match=r"pip install 'vdb\[tokenizers\]'"):
        counter.count(["text"])


SHAPES: dict[str, tuple[set[str], Callable[[Any], tuple[str, Any]]]] = {
    "llama-cpp-python": ({"input", "model"}, lambda body: (body["input"], {"count": len(body["input"].split())})),
    "llama-server": ({"content"}, lambda body: (body["content"], {"tokens": body["content"].split()})),
    "vllm": (
        {"model", "prompt", "add_special_tokens"},
        lambda body: (body["prompt"], {"count": len(body["prompt"].split()), "max_model_len": 10, "tokens": []}),
    ),
}


def counting(url: str, shape: str) -> UrlCounter:
    endpoint = Endpoint("backend 'b'", address_of(url, "url"), Patience(n_retries=0))
    return UrlCounter("backend 'b'", endpoint, shape, "m")


@pytest.mark.parametrize("shape", SHAPES)
def test_a_server_is_asked_in_its_way_and_once_per_text(shape: str) -> None:
    keys, answer = SHAPES[shape]
    with serving(lambda request, _: Say(answer(request.body)[1])) as server:
        counter = counting(server.url, shape)
        texts = ["one two three", "one", "one two", "one", *(f"passage {i}" for i in range(20))]
        assert counter.count(texts) == [len(text.split()) for text in texts]
        assert counter.count(texts[::-1]) == [len(text.split()) for text in texts[::-1]]
        assert counter.count([]) == [] and counter.is_exact
        assert {answer(request.body)[0] for request in server.asked} == set(texts)
        assert len(server.asked) == len(set(texts))
        assert all(set(request.body) == keys for request in server.asked)
        counter.close()
        with pytest.raises(ModelUnavailable):
            counter.count(["something", "else"])


@pytest.mark.parametrize(
    "say",
    [Say({}), Say({"count": -1}), Say({"count": "5"}), Say({"count": True}), Say({"tokens": 5}), Say([]), Say(b"x"),
     Say(b'{"count":"\xff"}'), Say({}, 500), Say({}, 400), Say({}, 404), Say({"count": 1.5}), Say({"count": 1 << 50})],
)  # fmt: skip
def test_a_server_that_does_not_tell_is_unavailable(say: Say) -> None:
    with serving(lambda *_: say) as server:
        counter = counting(server.url, "vllm")
        with pytest.raises(ModelUnavailable, match="backend 'b'"):
            counter.count(["text"])
        with pytest.raises(ModelUnavailable, match="backend 'b'"):
            counter.count(["one", "two"])
        counter.close()


def test_an_answer_is_given_though_its_tokens_cannot_be_counted() -> None:
    silent = TokenizerCounter("backend 'b'", "/absent")
    with asking(streamed(*chunks()), silent) as (backend, _):
        made = backend.generate(Asked("q", (), MESSAGES), lambda _: None, Stop())
    assert made.usage.is_counted and made.usage.completion_tokens == len(made.text)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    def script(request: Request, _: int) -> Say:
        return Say({"count": 1})

    monkeypatch.setattr("vdb.rag.generate.tokens._BYTES_PER_COUNT", 4 << 20)
    with serving(script) as server:
        counter = counting(server.url, "vllm")
        for text in ("a", "b", "a", "c", "a", "b"):
            counter.count([text])
        assert [request.body["prompt"] for request in server.asked] == ["a", "b", "c", "b"], "two fit, those used last"
        counter.close()


def test_an_estimate_comes_near_what_the_server_tells_and_stays_above() -> None:
    counter = Estimate()
    assert counter.count(["a" * 100, "", "é"]) == [50, 0, 2] and not counter.is_exact
    messages = (Message("user", PROSE),)
    told = usage(prompt=len(PROSE) // 4 + 8)
    with asking(streamed(*chunks(), told), counter) as (backend, _):
        backend.generate(Asked("q", (), messages), lambda _: None, Stop())
        (n,) = counter.count([PROSE])
        assert len(PROSE) / 4 < n < len(PROSE) / 4 * 1.15
        assert prompt_tokens(backend, messages) == n + backend.message_tokens


def test_an_estimate_keeps_the_highest_share_of_late_and_learns_nothing_from_little() -> None:
    counter = Estimate()
    for texts, n in (([], 5), (["short"], 100), (["a" * 2000 + "東" * 100], 2000), (["a" * 2000], 0)):
        counter.learn(texts, n)
    assert counter.share == FIRST_SHARE
    counter.learn(["a" * 2000], 1000)
    for _ in range(31):
        counter.learn(["a" * 2000], 400)
    assert counter.share == pytest.approx(0.55)
    counter.learn(["a" * 2000], 400)
    assert counter.share == pytest.approx(0.22)
    counter.learn(["a" * 2000], 100_000)
    assert counter.share == 1.0


def test_several_threads_count(file: Path) -> None:
    counter = TokenizerCounter("backend 'b'", str(file))
    found: list[list[int]] = []
    threads = [threading.Thread(target=lambda: found.append(counter.count(TEXTS))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [found[0]] * 6 and len(found) == 6
