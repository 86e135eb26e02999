"""The text of a question as the exact tier compares it."""

import re
import unicodedata

_SPACES = re.compile(r"\s+")


def normalise(text: str) -> str:
    """NFC, without white space at the ends, single spaces within; case and punctuation stay: C++ is not C#."""
    if text.isascii():
        return " ".join(text.split())
    return _SPACES.sub(" ", unicodedata.normalize("NFC", text)).strip()
