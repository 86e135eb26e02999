"""Refusals of prompts that are too long, in the words of every server that is known."""

import json
from typing import Any

import pytest

from tests.rag.generate.chats import ASKED, asking, streamed
from tests.rag.model_server import Say
from vdb.errors import InvalidArgument, ModelUnavailable
from vdb.rag.generate.base import ContextTooLong, Stop
from vdb.rag.generate.estimate import FIRST_SHARE, Estimate
from vdb.rag.generate.too_long import tokens_over, tokens_over_in

SAID: list[tuple[Any, int]] = [
    # OpenAI
    ({"error": {"message": "This model's maximum context length is 4097 tokens. However, your messages resulted in "
                "5000 tokens. Please reduce the length of the messages.", "type": "invalid_request_error",
                "code": "context_length_exceeded"}}, 903),
    ({"error": {"message": "Input is bad", "code": "context_length_exceeded"}}, 0),
    # vLLM, by release
    ({"object": "error", "message": "This model's maximum context length is 2048 tokens. However, you requested 2500 "
      "tokens (2000 in the messages, 500 in the completion). Please reduce the length of the messages or completion.",
      "type": "BadRequestError", "code": 400}, 452),
    ({"error": {"message": "'max_tokens' or 'max_completion_tokens' is too large: 500. This model's maximum "
                "context length is 2048 tokens and your request has 2000 input tokens (500 > 2048 - 2000).",
                "code": 400}}, 452),
    ({"error": {"message": "The decoder prompt (length 5000) is longer than the maximum model length of 2048.",
                "type": "BadRequestError"}}, 2952),
    ({"error": {"message": "You passed 2040 input tokens and requested 100 output tokens. However, the model's context "
                "length is only 2048 tokens. This model's maximum context length is 2048 tokens."}}, 92),
    # llama-server
    ({"error": {"code": 400, "message": "the request exceeds the available context size, try increasing it",
                "type": "exceed_context_size_error", "n_prompt_tokens": 5000, "n_ctx": 4096}}, 904),
    ({"error": {"code": 400, "message": "request (5000 tokens) exceeds the available context size (4096 tokens), try "
                "increasing it", "type": "invalid_request_error"}}, 904),
    # llama-cpp-python
    ({"error": {"message": "This model's maximum context length is 512 tokens. However, you requested 912 tokens (900 "
                "in the messages, 12 in the completion). Please reduce the length of the messages or completion.",
                "type": "invalid_request_error", "param": "messages", "code": "context_length_exceeded"}}, 400),
    ({"error": {"message": "Requested tokens (5000) exceed context window of 4096", "type": "internal_error"}}, 904),
    # others
    ({"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` "
      "tokens and 512 `max_new_tokens`", "error_type": "validation"}, 1416),
    ({"error": {"message": "prompt is too long: 210000 tokens > 200000 maximum", "type": "invalid_request"}}, 10_000),
    ({"error": {"message": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
                "code": 400}}, 151_424),
    ({"detail": "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context "
      "length"}, 7232),
    ("the prompt exceeds the context window", 0),
]  # fmt: skip


@pytest.mark.parametrize(("refusal", "n_over"), SAID)
def test_each_server_is_understood(refusal: Any, n_over: int) -> None:
    assert tokens_over(refusal) == n_over
    data = refusal.encode() if isinstance(refusal, str) else json.dumps(refusal).encode()
    assert tokens_over_in(data) == n_over
    for status in (400, 413, 422, 500):
        with asking(Say(data, status), n_retries=2) as (backend, server):
            with pytest.raises(ContextTooLong) as caught:
                backend.generate(ASKED, lambda _: None, Stop())
            assert caught.value.n_over == n_over and len(server.asked) == 1


@pytest.mark.parametrize(
    "refusal",
    [{"error": {"message": "temperature must be in [0, 2]", "code": "invalid"}}, {"error": {"message": 5}}, {}, [],
     5, {"error": None}, "Bad Request", {"error": {"code": ["context_length_exceeded"]}}],
)  # fmt: skip
def test_other_refusals_are_none(refusal: Any) -> None:
    assert tokens_over(refusal) is None
    with asking(Say(refusal, 400)) as (backend, _), pytest.raises(InvalidArgument):
        backend.generate(ASKED, lambda _: None, Stop())


def test_too_many_tokens_in_a_minute_are_no_long_prompt() -> None:
    limit = {"error": {"message": "Too many tokens, please wait before trying again.", "code": 429}}
    for say in (Say(limit, 429, {"Retry-After": "31"}), streamed(limit)):
        with asking(say) as (backend, _), pytest.raises(ModelUnavailable, match=r"429|an error"):
            backend.generate(ASKED, lambda _: None, Stop())


def test_numbers_that_are_too_long_or_make_no_sense_are_no_fault() -> None:
    long = {"error": {"message": f"maximum context length is {'9' * 5000} tokens, you requested {'9' * 5000} tokens"}}
    assert tokens_over(long) == 0
    assert tokens_over({"error": {"message": "maximum context length is 500 tokens, you requested 5 tokens"}}) == 0
    assert tokens_over_in(b"\xff" * 100) is None and tokens_over_in(b"") is None


def test_an_error_in_a_stream_says_so_too_before_the_first_piece() -> None:
    refusal, n_over = SAID[0]
    with asking(streamed(refusal)) as (backend, _):
        with pytest.raises(ContextTooLong) as caught:
            backend.generate(ASKED, lambda _: None, Stop())
        assert caught.value.n_over == n_over
    with asking(Say(refusal)) as (backend, _), pytest.raises(ContextTooLong):
        backend.generate(ASKED, lambda _: None, Stop())
    begun = {"choices": [{"delta": {"content": "x"}}]}
    with asking(streamed(begun, refusal)) as (backend, _), pytest.raises(ModelUnavailable, match="context_length_exc"):
        backend.generate(ASKED, lambda _: None, Stop())


def test_an_estimate_learns_that_it_was_too_low() -> None:
    counter = Estimate()
    with asking(Say(SAID[0][0], 400), counter) as (backend, _), pytest.raises(ContextTooLong):
        backend.generate(ASKED, lambda _: None, Stop())
    assert counter.share > FIRST_SHARE
