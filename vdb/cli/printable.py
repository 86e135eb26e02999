"""Text that cannot steer the operator's terminal, whatever is stored."""

import re

__all__ = ["UNSAFE", "printable"]

UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
"""Control characters, marks that turn the direction of writing, line separators, halves of characters."""


def printable(text: str) -> str:
    """`text` on one line, with what is unsafe as escapes such as `\\x1b`."""
    return UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
