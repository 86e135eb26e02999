"""Backends over HTTP: anything that answers `/v1/chat/completions` as OpenAI does. Answers are streamed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from vdb.errors import InvalidArgument, ModelUnavailable
from vdb.rag.generate.base import Asked, ContextTooLong, Generated, Message, Stop, TokenCounter, Usage
from vdb.rag.generate.estimate import Estimate
from vdb.rag.generate.stream import Reply
from vdb.rag.generate.tokens import UrlCounter, upper_bound
from vdb.rag.generate.upstream import Upstream
from vdb.rag.model_names import AnsweringModel

__all__ = ["BackendOptions", "OpenAIBackend"]


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """What a server is asked for, and what it can do; see docs/models.md."""

    model: str
    context_tokens: int
    max_tokens: int
    message_tokens: int = 8
    temperature: float | None = None
    """What is asked for where a question says nothing; None: the server's own."""
    categories: frozenset[str] = frozenset()
    has_stream_usage: bool = True
    """Whether the server knows `stream_options`."""
    max_tokens_field: str = "max_tokens"


class OpenAIBackend:
    """Any thread may call it; whoever made it closes it, and with it what it asks."""

    def __init__(self, name: str, options: BackendOptions, upstream: Upstream, counter: TokenCounter) -> None:
        self.name, self.model = name, options.model
        self.context_tokens, self.max_tokens = options.context_tokens, options.max_tokens
        self.message_tokens, self.categories = options.message_tokens, options.categories
        self.counter = counter
        self._options, self._upstream = options, upstream
        self._of_streams: dict[str, Any] = {"stream": True}
        if options.has_stream_usage:
            self._of_streams["stream_options"] = {"include_usage": True}
        self._answering = AnsweringModel(name)

    @property
    def load(self) -> float:
        return self._upstream.load

    @property
    def n_retries(self) -> int:
        """Attempts after the first, of all calls."""
        return self._upstream.n_retries

    def generate(self, asked: Asked, emit: Callable[[str], None], stop: Stop) -> Generated:
        """Have an answer written; pieces of its text go to `emit` as they come, on this thread.

        Raises ModelUnavailable, InvalidArgument (the backend refuses the request), ContextTooLong, Cancelled.
        """
        try:
            body = self._body(asked)
            streamed = msgspec.json.encode(body | self._of_streams)
        except UnicodeEncodeError as exc:
            raise InvalidArgument("a text is not valid Unicode") from exc
        try:
            reply = self._upstream.stream(streamed, lambda: msgspec.json.encode(body), lambda: Reply(emit), stop)
        except ContextTooLong:
            if isinstance(self.counter, Estimate):
                self.counter.was_too_low()
            raise
        return Generated(
            reply.text,
            reply.checked(),
            self._usage(asked.messages, reply),
            self._answering.compare(self.model, reply.model),
        )

    def close(self) -> None:
        """Calls under way fail."""
        self._upstream.close()
        if isinstance(self.counter, UrlCounter):
            self.counter.close()

    def _body(self, asked: Asked) -> dict[str, Any]:
        options = self._options
        body: dict[str, Any] = {
            "model": options.model,
            "messages": [{"role": message.role, "content": message.content} for message in asked.messages],
            options.max_tokens_field: options.max_tokens if asked.max_tokens is None else asked.max_tokens,
        }
        given = {
            "temperature": options.temperature if asked.temperature is None else asked.temperature,
            "top_p": asked.top_p,
            "seed": asked.seed,
            "stop": list(asked.stop) or None,
        }
        return body | {name: value for name, value in given.items() if value is not None}

    def _usage(self, messages: Sequence[Message], reply: Reply) -> Usage:
        """What the server told, else what is counted here: where it is asked for counts and fails, the upper bound."""
        contents = [message.content for message in messages]
        if reply.usage is not None:
            prompt, completion = reply.usage
            if isinstance(self.counter, Estimate):
                self.counter.learn(contents, prompt - len(contents) * self.message_tokens)
            return Usage(prompt, completion, is_counted=False)
        try:
            *prompts, completion = self.counter.count([*contents, reply.text])
        except ModelUnavailable:
            *prompts, completion = map(upper_bound, [*contents, reply.text])
        return Usage(sum(prompts) + len(contents) * self.message_tokens, completion, is_counted=True)
