"""Tokens estimated from bytes, by what a backend told of earlier prompts: nearer than a bound, and never certain.

ASCII bytes count by a share that is learned, other bytes as one token each, which is what a byte-level BPE makes of
them at most. The share is the highest of the last prompts and a margin; before the first it is one that English text
stays below by far. A prompt that is too long in spite of it is refused by the backend, and packed anew, smaller.
"""

import math
import threading
from collections import deque
from collections.abc import Sequence

__all__ = ["FIRST_SHARE", "Estimate"]

FIRST_SHARE = 0.5
"""Tokens per byte of ASCII before anything was learned; English prose has 0.2 to 0.3, code up to 0.45."""
_MARGIN = 1.1
_LEAST_SHARE = 0.15
_N_REMEMBERED = 32
_LEAST_BYTES = 1000
"""A prompt of fewer teaches nothing: what the chat's template adds would be too much of it."""
_ASCII = bytes(range(0x80))


class Estimate:
    """Any thread may count and teach."""

    is_exact = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shares: deque[float] = deque(maxlen=_N_REMEMBERED)
        self._share = FIRST_SHARE

    @property
    def share(self) -> float:
        """Tokens that a byte of ASCII counts as."""
        return self._share

    def count(self, texts: Sequence[str]) -> list[int]:
        share = self._share
        return [_estimated(text, share) for text in texts]

    def learn(self, texts: Sequence[str], n_tokens: int) -> None:
        """The texts had so many tokens together, as the backend says."""
        n_bytes, n_ascii = map(sum, zip(*map(_bytes_of, texts), strict=True)) if texts else (0, 0)
        n_other = n_bytes - n_ascii
        if n_ascii < _LEAST_BYTES or n_other > n_ascii / 10 or n_tokens <= 0:
            return
        self._note(max(n_tokens - n_other, 0) / n_ascii)

    def was_too_low(self) -> None:
        """A prompt that should have fitted did not."""
        self._note(self._share)

    def _note(self, share: float) -> None:
        with self._lock:
            self._shares.append(share)
            self._share = min(max(max(self._shares) * _MARGIN, _LEAST_SHARE), 1.0)


def _estimated(text: str, share: float) -> int:
    n_bytes, n_ascii = _bytes_of(text)
    return math.ceil(n_ascii * share) + n_bytes - n_ascii


def _bytes_of(text: str) -> tuple[int, int]:
    """Bytes in UTF-8, and how many of them are ASCII."""
    if text.isascii():
        return len(text), len(text)
    coded = text.encode("utf-8", "surrogatepass")
    return len(coded), len(coded) - len(coded.translate(None, _ASCII))  # half of what encoding it as ASCII takes
