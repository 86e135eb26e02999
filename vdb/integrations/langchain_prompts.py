"""What a LangChain prompt asks: the question, and what has to be equal besides.

A chat model's prompt is the JSON of its messages; a plain model's is the text. Of messages the last one is the question
if a human wrote it and it is text; system messages go with the model's parameters, all between are the earlier turns.
Anything else (images, results of tools, JSON that is no messages) is one text, found again only if it is equal.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["Prompt", "prompt_of"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """`turns` is "" for a first question; `is_text`: whether the text is a question that may be embedded."""

    text: str
    fingerprint: str
    turns: str
    is_text: bool = True


def prompt_of(prompt: str, llm_string: str) -> Prompt:
    """`llm_string` is what LangChain says of the model and its parameters."""
    messages = _messages(prompt)
    if messages is None:
        return Prompt(prompt, _hash((llm_string,)), "")
    *before, last = messages
    text = _text_of(last)
    if text is None:
        return Prompt(prompt, _hash((llm_string,)), "", is_text=False)
    systems = [json.dumps(message, sort_keys=True) for message in before if _kind(message) == "SystemMessage"]
    turns = [json.dumps(message, sort_keys=True) for message in before if _kind(message) != "SystemMessage"]
    return Prompt(text, _hash((llm_string, *systems)), _hash(turns) if turns else "")


def _messages(prompt: str) -> list[Any] | None:
    """The messages of a chat model's prompt; None for any other text."""
    if not prompt.startswith("["):
        return None
    try:
        found = json.loads(prompt)
    except (ValueError, RecursionError):
        return None
    is_messages = isinstance(found, list) and found and all(_kind(message) for message in found)
    return found if is_messages else None


def _kind(message: Any) -> str:
    """The class of a serialised message, "" for anything else."""
    named = message.get("id") if isinstance(message, dict) and message.get("lc") == 1 else None
    return named[-1] if isinstance(named, list) and named and isinstance(named[-1], str) else ""


def _text_of(message: Any) -> str | None:
    """The text of what a human wrote, and nothing but text; None for anything else."""
    content = message.get("kwargs", {}).get("content") if _kind(message) == "HumanMessage" else None
    if isinstance(content, list):
        parts = [part["text"] if _is_text_part(part) else part for part in content]
        texts = [part for part in parts if isinstance(part, str)]
        content = "\n".join(texts) if len(texts) == len(parts) else None
    return content if isinstance(content, str) and content.strip() else None


def _is_text_part(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and "text" in part


def _hash(parts: Iterable[str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        raw = part.encode(errors="surrogatepass")
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()
