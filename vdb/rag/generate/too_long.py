"""Whether a refusal says that a prompt is too long, and by how many tokens: every server puts it in its own words.

Known are OpenAI, vLLM, llama.cpp's server, llama-cpp-python, text-generation-inference, Anthropic, Gemini, Mistral.
"""

import re
from typing import Any

import msgspec

from vdb.rag.refusals import MAX_REFUSAL_BYTES

__all__ = ["tokens_over", "tokens_over_in"]

_CODES = frozenset(("context_length_exceeded", "exceed_context_size_error", "string_above_max_length"))
_SAYS_SO = re.compile(
    r"maximum context length|context length exceeded|exceeds? (the )?(available |maximum )?context|context window"
    r"|longer than the maximum model length|maximum model length|prompt is too long|maximum number of tokens allowed"
    r"|too large for model with \d+ maximum context|`inputs` tokens \+ `max_new_tokens` must be|context_length_exceeded"
    r"|input (is )?too long|too many tokens|reduce the length of the (messages|prompt|input)",
    re.IGNORECASE,
)
_LIMITS = (
    r"maximum context length (?:is|of) (\d+)",
    r"available context size \((\d+)",
    r"context window (?:of|\()\s*(\d+)",
    r"maximum model length of (\d+)",
    r"> (\d+) maximum",
    r"tokens allowed \((\d+)",
    r"model with (\d+) maximum context",
    r"must be <= (\d+)",
)
_ASKED = (
    r"you requested (?:about )?(\d+) tokens",
    r"resulted in (\d+) tokens",
    r"requested tokens \((\d+)\)",
    r"request \((\d+) tokens\)",
    r"prompt \(length (\d+)\)",
    r"too long: (\d+) tokens",
    r"token count \((\d+)\)",
    r"prompt contains (\d+) tokens",
)
_SUMS = (
    r"given: (\d+) `inputs` tokens and (\d+) `max_new_tokens`",
    r"too large: (\d+)\..{0,80}your request has (\d+) input tokens",
    r"passed (\d+) input tokens and requested (\d+) output tokens",
)
_MAX_DIGITS = 12


def tokens_over_in(body: bytes) -> int | None:
    """As `tokens_over`, of a body of JSON or of plain text."""
    try:
        found = msgspec.json.decode(body[:MAX_REFUSAL_BYTES])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = body[:MAX_REFUSAL_BYTES].decode("utf-8", "replace")
    return tokens_over(found)


def tokens_over(refusal: Any) -> int | None:
    """How many tokens a prompt was too long by, 0 where that is not told; None where that is not why it was refused."""
    error = refusal.get("error", refusal) if isinstance(refusal, dict) else refusal
    if isinstance(error, dict):
        says_so = any(error.get(name) in _CODES for name in ("code", "type") if isinstance(error.get(name), str))
        message = next((error[name] for name in ("message", "detail") if isinstance(error.get(name), str)), "")
        n_asked, n_fit = error.get("n_prompt_tokens"), error.get("n_ctx")
        if says_so and type(n_asked) is int and type(n_fit) is int:
            return int(max(min(n_asked - n_fit, 10**_MAX_DIGITS), 0))
    else:
        says_so, message = False, error if isinstance(error, str) else ""
    message = message[:2000]
    if not says_so and not _SAYS_SO.search(message):
        return None
    n_fit, n_asked = _first(_LIMITS, message), _asked(message)
    return max(n_asked - n_fit, 0) if n_fit is not None and n_asked is not None else 0


def _asked(message: str) -> int | None:
    for pattern in _SUMS:
        found = re.search(pattern, message, re.IGNORECASE)
        if found:
            return sum(int(number[:_MAX_DIGITS]) for number in found.groups())
    return _first(_ASKED, message)


def _first(patterns: tuple[str, ...], message: str) -> int | None:
    for pattern in patterns:
        found = re.search(pattern, message, re.IGNORECASE)
        if found:
            return int(found[1][:_MAX_DIGITS])
    return None
