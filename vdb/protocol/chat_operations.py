"""The lines of the table of operations that speak OpenAI's language. See `vdb.protocol.operations`."""

from vdb.protocol import chat_answers
from vdb.protocol.chat_requests import Chat
from vdb.protocol.operation import Operation
from vdb.protocol.requests import Empty

CHAT_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "chat",
        "POST",
        "/v1/chat/completions",
        Chat,
        chat_answers.ChatCompletion,
        "read",
        "Answer the last message of a chat, as OpenAI's clients ask",
        shape="openai",
        streams=True,
    ),
    Operation(
        "list_models",
        "GET",
        "/v1/models",
        Empty,
        chat_answers.Models,
        "any",
        "List what the key may chat with",
        shape="openai",
    ),
    Operation(
        "get_model",
        "GET",
        "/v1/models/{model}",
        Empty,
        chat_answers.Model,
        "any",
        "Describe one of them",
        shape="openai",
    ),
)
