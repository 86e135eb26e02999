"""What answers of model servers that are no success mean: what may work a second time, and what they say of it.

Of a refusal its status and its code are told, a word; never its text, which may repeat what was sent.
"""

import random
import re
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import msgspec

from vdb.errors import InvalidArgument, ModelUnavailable, VdbError
from vdb.rag.breaker import LONGEST_PAUSE_S

__all__ = [
    "FIRST_PAUSE_S",
    "MAX_REFUSAL_BYTES",
    "Failed",
    "Unusable",
    "code_in",
    "code_of",
    "is_of_the_text",
    "pause_s",
    "refusal",
    "shown_code",
]

FIRST_PAUSE_S = 0.25
MAX_REFUSAL_BYTES = 65_536

_AGAIN = frozenset((HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS))
_OF_THE_TEXT = frozenset((HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY))
_NO_MODEL = re.compile(
    r"model [^{}]{0,300}(not found|does not exist|is not available|is not loaded)|(unknown|no such) model|pinned to",
    re.IGNORECASE,
)
_OF_THE_KEY = frozenset((HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN))


class Unusable(Exception):
    """What came is no answer, and would be none a second time. `is_askers`: what was asked for may be why, so that it
    says nothing of the server."""

    def __init__(self, what: str, *, is_askers: bool = False) -> None:
        super().__init__(what)
        self.what, self.is_askers = what, is_askers


class Failed(Exception):
    """An attempt that may be repeated: what happened, and when to come back where the server said so. `is_askers` is as
    in `Unusable`."""

    def __init__(self, what: str, retry_after_s: float = 0.0, *, is_askers: bool = False) -> None:
        super().__init__(what)
        self.what, self.retry_after_s, self.is_askers = what, retry_after_s, is_askers


def refusal(name: str, status: int, headers: Message, body: bytes) -> Failed | VdbError:
    """What to raise for an answer of another status than 200."""
    shown = f"{status}{shown_code(code_of(body))}"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _AGAIN:
        return Failed(f"answered {shown}", _retry_after_s(headers))
    if is_of_the_text(status) and not _is_of_the_model(body):
        return InvalidArgument(f"{name} refused the text: {shown}")
    if status in _OF_THE_KEY:
        return ModelUnavailable(f"{name} refuses the server's key: {shown}")
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return ModelUnavailable(f"{name} redirects ({shown}): its url is to be where that leads")
    return ModelUnavailable(f"{name} answered {shown}")


def _is_of_the_model(body: bytes) -> bool:
    """Whether a refusal says that the server has no such model, which is nobody's fault who asks."""
    said = body[:MAX_REFUSAL_BYTES].decode("utf-8", "replace")
    return code_of(body) == "model_not_found" or _NO_MODEL.search(said) is not None


def is_of_the_text(status: int) -> bool:
    """Whether a status finds fault with what was sent."""
    return status in _OF_THE_TEXT


def pause_s(n_tried: int, first_s: float) -> float:
    """How long to wait after so many attempts: doubled each time, and never the same for all."""
    longest: float = min(first_s * 2.0 ** (n_tried - 1), LONGEST_PAUSE_S)
    return longest * (0.5 + 0.5 * random.random())


def code_of(body: bytes) -> str:
    """The code of a refusal of OpenAI's shape; "" where it has none that is a word."""
    try:
        found = msgspec.json.decode(body[:MAX_REFUSAL_BYTES])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    error = found.get("error", found) if isinstance(found, dict) else None
    return code_in(error) if isinstance(error, dict) else ""


def code_in(error: dict[str, Any]) -> str:
    """The same of what was decoded."""
    for name in ("code", "type"):
        code = error.get(name)
        if isinstance(code, str) and 1 <= len(code) <= 64 and code.isascii() and code.replace("_", "").isalnum():
            return code
    return ""


def shown_code(code: str) -> str:
    """` (code)`, or nothing."""
    return f" ({code})" if code else ""


def _retry_after_s(headers: Message) -> float:
    """What Retry-After says, seconds or a date; 0 where it says nothing that makes sense."""
    text = headers.get("Retry-After", "")
    try:
        if text.strip().isdecimal():
            return float(text)
        moment = parsedate_to_datetime(text)
        return max((moment - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return 0.0
