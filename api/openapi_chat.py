"""What the OpenAPI document says of the OpenAI surface, and of answers that come as events."""

from typing import Any

Schema = dict[str, Any]

CHAT_EXAMPLES: dict[str, Any] = {
    "chat": {
        "model": "notes/extractive",
        "messages": [{"role": "user", "content": "How long do refunds take?"}],
        "stream": False,
        "rag": {"vector": [1, 0, 0], "limit": 20},
    },
}

MODEL: Schema = {"type": "string", "minLength": 1, "description": "`collection` or `collection/backend`."}
ERROR_NAME = "OpenAIError"
_TEXT: Schema = {"type": "string"}


def refine_chat(asked: dict[str, Schema]) -> None:
    """Lay the bounds of fields over the request schemas of chats."""
    chat = asked["Chat"]["properties"]
    chat["model"] |= {"minLength": 1}
    chat["messages"] |= {"minItems": 1}
    for name in ("Chat", "Turn", "Part", "StreamOptions"):
        asked[name].pop("additionalProperties", None)


def openai_response(status: int) -> str:
    """The name of the response that an error has in OpenAI's shape."""
    return f"openai-{status}"


def openai_responses(titles: dict[int, str]) -> Schema:
    """Errors by the names of their responses."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{ERROR_NAME}"}}}
    return {openai_response(status): {"description": title, "content": content} for status, title in titles.items()}


def openai_error_schema() -> Schema:
    """The body of an error in OpenAI's shape."""
    nullable = {"type": ["string", "null"]}
    error: Schema = {
        "type": "object",
        "properties": {"message": _TEXT, "type": _TEXT, "param": nullable, "code": _TEXT},
        "required": ["message", "type", "param", "code"],
    }
    return {"type": "object", "properties": {"error": error}, "required": ["error"]}


def event_stream(schemas: list[Schema]) -> Schema:
    """The media type of an answer that comes as events; `schemas` are those of their data."""
    return {
        "schema": {
            "type": "string",
            "description": "Server-sent events, as `stream` asks for them; `x-event-data` is what one of them holds.",
        },
        "x-event-data": {"anyOf": schemas},
    }
