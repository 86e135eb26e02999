"""Request shapes of the OpenAI surface. Conventions: `vdb.protocol.requests`, but for fields nobody here knows.

Client libraries send new fields all the time, so unknown ones are ignored, at the top level and in messages. `rag` is
ours and as strict as everywhere. What would change the answer and is not done here (tools, several choices, pictures)
is refused by the engine.
"""

from typing import Any, Literal

from msgspec import UNSET, UnsetType

from vdb.protocol.answer_requests import AnswerOptions
from vdb.protocol.requests import Request


class Part(Request, forbid_unknown_fields=False):
    """A part of a message; only texts are read."""

    type: str
    text: str | None = None


class Turn(Request, forbid_unknown_fields=False):
    """A message of a chat."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    tool_calls: Any = None
    function_call: Any = None


class StreamOptions(Request, forbid_unknown_fields=False):
    """`include_usage`: one more chunk before the end tells the tokens."""

    include_usage: bool | None = None


class Chat(Request, forbid_unknown_fields=False):
    """Answer the last message of a chat from a collection. `model` is `collection` or `collection/backend`."""

    model: str
    messages: list[Turn]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    logprobs: bool | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    functions: list[Any] | None = None
    function_call: Any = None
    response_format: Any = None
    modalities: list[str] | None = None
    rag: AnswerOptions | None | UnsetType = UNSET
