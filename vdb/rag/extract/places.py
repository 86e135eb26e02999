"""Text put together of pieces of a source, and where each of its characters comes from."""

from array import array
from bisect import bisect_right

__all__ = ["Places"]

_WEIGHTS = {" ": 1, "\t": 2, "\n": 3, "\n\n": 4}
"""Of separators that meet, the heaviest stays."""


class Places:
    """Pieces one after another, with separators between them that stand nowhere in the source. For one thread."""

    def __init__(self) -> None:
        self.n_characters = 0
        self._parts: list[str] = []
        self._separator = ""
        # One entry per piece: where it begins in the text, where it begins and ends in the source, whether it stands
        # there as it is, character by character.
        self._starts, self._source_starts, self._source_ends = array("q"), array("q"), array("q")
        self._are_exact = array("b")

    def put(self, piece: str, start: int, end: int) -> None:
        """Append what source[start:end] shows: itself, or what a character reference there stands for."""
        if not piece:
            return
        if self._separator and self._parts:
            self._parts.append(self._separator)
            self.n_characters += len(self._separator)
        self._separator = ""
        self._starts.append(self.n_characters)
        self._source_starts.append(start)
        self._source_ends.append(end)
        self._are_exact.append(end - start == len(piece))
        self._parts.append(piece)
        self.n_characters += len(piece)

    def space(self, separator: str) -> None:
        """A separator before the next piece, if there is one: a space, a tab, a line's end or a blank line."""
        if _WEIGHTS[separator] > _WEIGHTS.get(self._separator, 0):
            self._separator = separator

    def start_of_next(self) -> int:
        """Where in the text the next piece will begin, if no heavier separator comes."""
        return self.n_characters + (len(self._separator) if self._parts else 0)

    def text(self) -> str:
        """All of it."""
        return "".join(self._parts)

    def text_from(self, start: int) -> str:
        """The text from `start` on, which is near its end."""
        parts: list[str] = []
        missing = self.n_characters - start
        for part in reversed(self._parts):
            if missing <= 0:
                break
            parts.append(part)
            missing -= len(part)
        return "".join(reversed(parts))[max(0, -missing) :]

    def of(self, start: int, end: int) -> tuple[int, int]:
        """Where text[start:end] comes from in the source; neither of its ends may be a separator."""
        first = bisect_right(self._starts, start) - 1
        last = bisect_right(self._starts, end - 1) - 1
        source_start = self._source_starts[first]
        if self._are_exact[first]:
            source_start += start - self._starts[first]
        source_end = self._source_ends[last]
        if self._are_exact[last]:
            source_end = self._source_starts[last] + end - self._starts[last]
        return source_start, source_end
