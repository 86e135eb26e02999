"""Long texts: where two of them differ, with the words around, so that a check stays cheap whatever their length.

A text of up to `MAX_CHARACTERS` is read whole. Of longer ones the shared start and end are left out but for `CONTEXT`
characters; what is left may have `MAX_CHARACTERS`, or the guard does not vouch for the pair (rule `length`).
"""

MAX_CHARACTERS = 2048
CONTEXT = 200


def excerpt(one: str, other: str) -> tuple[str, str] | None:
    """The parts of two texts to compare, or None where they differ over too long a stretch."""
    if max(len(one), len(other)) <= MAX_CHARACTERS:
        return one, other
    start = _word_start(one, _shared_start(one, other) - CONTEXT)
    rest, of_other = one[start:], other[start:]
    end = _shared_start(rest[::-1], of_other[::-1]) - CONTEXT
    if end > 0:
        rest, of_other = rest[: len(rest) - end], of_other[: len(of_other) - end]
    return (rest, of_other) if max(len(rest), len(of_other)) <= MAX_CHARACTERS else None


def _shared_start(one: str, other: str) -> int:
    """How many characters both texts begin with, by bisection over slices."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _word_start(text: str, at: int) -> int:
    return text.rfind(" ", 0, at) + 1 if at > 0 else 0
