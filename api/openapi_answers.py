"""What the OpenAPI document says of answers beyond their shapes: examples of requests, bounds of fields."""

from typing import Any

from vdb.config import Limits

Schema = dict[str, Any]

ANSWER_EXAMPLES: dict[str, Any] = {
    "answer": {
        "collection": "notes",
        "question": "How long do refunds take?",
        "vector": [1, 0, 0],
        "filter": {"field": "lang", "eq": "en"},
        "context": {"tokens": 1000, "order": "score"},
        "cache": "off",
    },
    "calibrate_answers": {
        "questions": [
            {"text": "How long do refunds take?", "answerable": True},
            {"text": "Who painted the ceiling?", "answerable": False},
        ],
        "max_lost": 0.1,
        "dry_run": True,
    },
    "put_template": {"system": "Answer in one sentence, from these passages:\n{context}"},
}

_NAME: Schema = {"pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"}
_SHARE: Schema = {"minimum": 0, "maximum": 1}


def refine_answers(asked: dict[str, Schema], limits: Limits) -> None:
    """Lay the bounds of fields over the request schemas of answers."""
    answer = asked["Answer"]["properties"]
    answer["collection"] |= _NAME
    answer["question"] |= {"minLength": 1}
    answer["max_tokens"] |= {"minimum": 1}
    answer["temperature"] |= {"minimum": 0, "maximum": 2}
    answer["threshold"] |= _SHARE
    context = asked["ContextOptions"]["properties"]
    context["tokens"] |= {"minimum": 1}
    context["passages"] |= {"minimum": 1}
    context["redundancy"] |= {"minimum": 0}
    context["cost"] |= {"minimum": 0}
